"""A bundle's tasks and classes among those of a store."""

from dataclasses import replace

import pytest

from edgecl.bundle.matching import is_same_parent, match, task_names
from edgecl.errors import BadInput, UsageError
from edgecl.manifest import BACKGROUND, ClassEntry, Manifest, Recipe, Thresholds
from tests.bundle.builders import TASK, contents_and_parts

CONTENTS, _ = contents_and_parts()
TASKS = {"t0001-tea": "t0001-tea", TASK: "t0005-cans"}


def store_with(*classes: ClassEntry, next_row: int = 1) -> Manifest:
    """Version 4, which has the bundle's first task."""
    return Manifest(
        number=4,
        parent=3,
        operation="learn",
        task=None,
        capacity=16,
        next_row=next_row,
        classes=classes,
        recipe=Recipe(steps=CONTENTS.needed),
        thresholds=Thresholds(),
        temperature=1.0,
        seeds={},
        checks={},
        files={},
    )


def entry(id: str, row: int, name: str) -> ClassEntry:
    """A class that the first task taught."""
    return ClassEntry(id=id, row=row, name=name, tasks=("t0001-tea",))


TEA = entry("id-tea", 0, "tea")


def test_the_same_parent() -> None:
    """Recipe, classes with their rows, capacity and the next row decide; names and numbers do not."""
    assert is_same_parent(CONTENTS, store_with(replace(TEA, name="chai")))
    for other in (
        store_with(replace(TEA, row=1), next_row=2),
        store_with(TEA, next_row=2),
        store_with(replace(TEA, id="other")),
        replace(store_with(TEA), capacity=24),
        replace(store_with(TEA), recipe=Recipe()),
    ):
        assert not is_same_parent(CONTENTS, other)


def test_new_classes_get_rows_here() -> None:
    """As packed on an equal parent; else the next ones."""
    equal = match(CONTENTS, store_with(TEA), TASKS)
    assert equal.as_packed
    assert [(e.name, e.row, e.tasks) for e in equal.classes[1:]] == [("cola", 1, ("t0005-cans",)), ("fanta", 2, ("t0005-cans",))]
    other = match(CONTENTS, store_with(TEA, entry("x", 1, "x"), next_row=2), TASKS)
    assert not other.as_packed
    assert [(e.name, e.row) for e in other.classes[2:]] == [("cola", 2), ("fanta", 3)]
    assert (other.added, other.extended, other.next_row) == (("cola", "fanta"), (), 4)


def test_a_known_class_gets_the_task() -> None:
    """By its id, under the name and the row that it has here."""
    made = match(CONTENTS, store_with(TEA, entry("id-cola", 1, "Coke"), next_row=2), TASKS)
    assert made.extended == ("Coke",)
    assert made.classes[1] == ClassEntry(id="id-cola", row=1, name="Coke", tasks=("t0001-tea", "t0005-cans"))


def test_background_means_one_thing() -> None:
    """Nobody has to say so."""
    nothing = replace(CONTENTS.classes[0], name=BACKGROUND)
    contents = replace(CONTENTS, classes=(nothing, CONTENTS.classes[1]))
    made = match(contents, store_with(TEA, entry("mine", 1, BACKGROUND), next_row=2), TASKS)
    assert made.id_of == {"id-cola": "mine", "id-fanta": "id-fanta"}
    assert not made.as_packed


def test_one_name_stops() -> None:
    """Also where only the case differs, or two renamed ones meet."""
    with pytest.raises(BadInput, match=r"'cola' and this store's 'COLA' have one name and two ids"):
        match(CONTENTS, store_with(TEA, entry("x", 1, "COLA"), next_row=2), TASKS)
    with pytest.raises(BadInput, match=r"the bundle's 'fanta' cannot be called 'cola'"):
        match(CONTENTS, store_with(TEA), TASKS, rename={"fanta": "cola"})
    with pytest.raises(BadInput, match=r"'-' cannot be a class name"):
        match(CONTENTS, store_with(TEA), TASKS, rename={"fanta": "-"})


def test_idle_words_are_refused() -> None:
    """Whoever names a class that needs no word has another one in mind."""
    known = store_with(TEA, entry("id-cola", 1, "cola"), next_row=2)
    with pytest.raises(UsageError, match=r"--rename names 'cola', which this store knows already"):
        match(CONTENTS, known, TASKS, rename={"cola": "coke"})
    with pytest.raises(UsageError, match=r"--same-class names 'cola', but no other class"):
        match(CONTENTS, known, TASKS, same=["cola"])
    with pytest.raises(UsageError, match=r"--same-class names 'tea', but the bundle teaches cola, fanta"):
        match(CONTENTS, known, TASKS, same=["tea"])


def test_no_rows_left() -> None:
    """The message says how to make room."""
    with pytest.raises(BadInput, match=r"2 new classes do not fit: 1 of 16 rows are left.*edgecl grow"):
        match(CONTENTS, store_with(*(entry(f"x{row}", row, f"x{row}") for row in range(15)), next_row=15), TASKS)


def test_tasks_get_names_of_their_own() -> None:
    """The number of the version here, the name from there; two tasks of one name stay two."""
    assert task_names(CONTENTS, 5) == {TASK: "t0005-cans"}
    twice = replace(CONTENTS, tasks=("t0001-cans", "t0002-cans", "odd name"))
    assert list(task_names(twice, 12).values()) == ["t0012-cans", "t0012-cans-2", "t0012-odd-name"]
