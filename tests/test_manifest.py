"""The manifest, the memory's index, labels, names and rows."""

import contextlib
import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecl.errors import BadInput, EdgeclError, StoreDamaged
from edgecl.manifest import (
    ClassEntry,
    FileEntry,
    KeptPicture,
    Manifest,
    Recipe,
    RecipeStep,
    Thresholds,
    allocate_rows,
    canonical_json,
    labels_text,
    manifest_from_json,
    manifest_to_json,
    memory_from_json,
    memory_to_json,
    normal_name,
    pretty_json,
)

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
PARTS = st.floats(0, 1)
CLASSES = st.builds(
    ClassEntry,
    id=NAMES,
    row=st.integers(0, 15),
    name=st.text("aéß日_. ", min_size=1, max_size=12).map(str.strip).filter(bool),
    tasks=st.lists(NAMES, max_size=2).map(tuple),
)
STEPS = st.builds(RecipeStep, task=NAMES, adapter=HASHES, coefficients=st.dictionaries(NAMES, PARTS, max_size=2))
MANIFESTS = st.builds(
    Manifest,
    number=st.integers(500, 999),
    parent=st.none() | st.integers(0, 499),
    operation=st.sampled_from(["init", "learn", "forget", "rename", "grow"]),
    task=st.none() | NAMES,
    capacity=st.just(16),
    next_row=st.just(16),
    classes=st.lists(CLASSES, max_size=3, unique_by=(lambda c: c.id, lambda c: c.row, lambda c: c.name.casefold())).map(tuple),
    recipe=st.builds(Recipe, steps=st.lists(STEPS, max_size=2).map(tuple)),
    thresholds=st.builds(Thresholds, parameters=st.dictionaries(NAMES, PARTS, max_size=2), unknown_above=PARTS),
    temperature=st.floats(0.1, 10),
    seeds=st.dictionaries(NAMES, st.integers(0, 2**31), max_size=2),
    checks=st.dictionaries(NAMES, st.none() | st.booleans() | PARTS | st.lists(NAMES, max_size=2), max_size=2),
    files=st.dictionaries(NAMES, st.builds(FileEntry, sha256=HASHES, bytes=st.integers(0, 2**40)), max_size=2),
)
PICTURES = st.builds(
    KeptPicture,
    hash=HASHES,
    class_id=NAMES,
    role=st.sampled_from(["replay", "holdout"]),
    task=NAMES,
    source=HASHES,
    phash=NAMES,
    bytes=st.integers(0, 2**30),
)


def example() -> Manifest:
    """A manifest with something in each field."""
    return Manifest(
        number=3,
        parent=2,
        operation="learn",
        task="t0003-cans",
        capacity=16,
        next_row=2,
        classes=(ClassEntry(id="a", row=0, name="cola", tasks=("t0003-cans",)), ClassEntry(id="b", row=1, name="müsli", tasks=())),
        recipe=Recipe(steps=(RecipeStep(task="t0003-cans", adapter="0" * 64, coefficients={"*": 0.9}),)),
        thresholds=Thresholds(parameters={"temperature": 1.0}, unknown_above=0.6),
        temperature=1.5,
        seeds={"learn": 0},
        checks={"accuracy": {"validation": 0.97}},
        files={"model.onnx": FileEntry(sha256="1" * 64, bytes=5)},
    ).sealed()


@settings(max_examples=50)
@given(MANIFESTS)
def test_a_manifest_survives_its_file(manifest: Manifest) -> None:
    """Written and read it is the same, and so is its hash."""
    sealed = manifest.sealed()
    assert manifest_from_json(json.loads(pretty_json(manifest_to_json(sealed)))) == sealed
    assert replace(sealed, deterministic="").sealed() == sealed == sealed.sealed()


@settings(max_examples=50)
@given(st.lists(PICTURES, max_size=3))
def test_a_memory_index_survives_its_file(pictures: list[KeptPicture]) -> None:
    """Written and read it is the same, in its order."""
    assert memory_from_json(json.loads(pretty_json(memory_to_json(pictures)))) == tuple(pictures)


def test_every_field_is_under_the_hash() -> None:
    """Changing any field of the file without sealing it again is found."""
    changes: dict[str, Any] = {
        "number": 4,
        "parent": None,
        "operation": "forget",
        "task": None,
        "capacity": 24,
        "next_row": 3,
        "classes": [],
        "recipe": {"method": "task-arithmetic", "steps": []},
        "thresholds": {"score": "energy", "parameters": {}, "unknown_above": 1.0},
        "temperature": 1.25,
        "seeds": {},
        "checks": {},
        "files": {},
        "deterministic": "0" * 64,
    }
    fields = manifest_to_json(example())
    assert set(fields) == {"format", *changes}
    for name, value in changes.items():
        with pytest.raises(StoreDamaged, match=r"was changed: its hash does not match its content. Run: edgecl verify"):
            manifest_from_json({**fields, name: value})


@settings(max_examples=150)
@given(st.data())
def test_no_damage_to_a_file_is_a_traceback(data: st.DataObject) -> None:
    """A value anywhere in the two files replaced by another kind of value: read anyway, or StoreDamaged, nothing else."""
    for original, read in [
        (manifest_to_json(example()), manifest_from_json),
        (memory_to_json([KeptPicture(hash="0", class_id="a", role="replay", task="t", source="1", phash="2", bytes=3)]), memory_from_json),
    ]:
        fields = copy.deepcopy(json.loads(pretty_json(original)))
        where: Any = fields
        while True:
            key = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else range(len(where))))
            inner = where[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                break
            where = inner
        where[key] = data.draw(st.sampled_from([None, True, -1, 0.5, "x", [], {}, [1], {"x": 1}, [[]], [{}], {"x": {}}, {"steps": [3]}]))
        with contextlib.suppress(StoreDamaged):
            read(fields)


@pytest.mark.parametrize("format", ["edgecl.version/2", "edgecl.memory/1", None, 1])
def test_another_format_is_refused(format: object) -> None:
    """The message holds what was met and what this edgecl reads."""
    with pytest.raises(
        StoreDamaged, match=r"has the format .* but this edgecl reads 'edgecl.version/1'. A newer edgecl may have written it"
    ):
        manifest_from_json({**manifest_to_json(example()), "format": format})
    with pytest.raises(StoreDamaged, match=r"has the format 'edgecl.memory/2', but this edgecl reads 'edgecl.memory/1'"):
        memory_from_json({"format": "edgecl.memory/2", "pictures": []})


def test_canonical_json_has_one_spelling() -> None:
    """Keys sorted, no spaces, UTF-8, and no NaN, which is not JSON."""
    assert canonical_json({"b": [1, 2.5, None], "a": "ü"}) == '{"a":"ü","b":[1,2.5,null]}'.encode()
    with pytest.raises(ValueError):
        canonical_json({"a": float("nan")})


def test_labels_have_a_line_per_row() -> None:
    """Rows of classes by name, free rows by `-`, in row order whatever the order of the classes."""
    assert labels_text(tuple(reversed(example().classes)), 4) == "cola\nmüsli\n-\n-\n"
    assert labels_text((), 2) == "-\n-\n"


def test_a_class_is_found_under_any_spelling_of_its_name() -> None:
    """NFC and NFD are one name; case is not."""
    assert example().class_by_name("mu\u0308sli") == example().classes[1]
    assert example().class_by_name("Cola") is None
    assert example().rows() == [0, 1]


@settings(max_examples=100)
@given(st.text(max_size=110))
def test_a_normal_name_is_one_line(name: str) -> None:
    """Either refused, or a fixed point that takes one line of labels.txt."""
    with contextlib.suppress(BadInput):
        normal = normal_name(name)
        assert normal_name(normal) == normal
        assert 1 <= len(normal) <= 100
        assert "\n" not in normal
        assert normal != "-"


@pytest.mark.parametrize("name", ["", " ", "-", "a/b", "a\\b", "a\nb", "a\x00", "\u200b", "x" * 101])
def test_names_that_cannot_be(name: str) -> None:
    """Empty, a free row's sign, separators, control and invisible characters, too long."""
    with pytest.raises(BadInput, match="use 1 to 100 printable characters without slashes, and not '-' alone"):
        normal_name(name)


@given(st.data())
def test_rows_are_fresh_until_the_capacity_is_exhausted(data: st.DataObject) -> None:
    """Allocated rows were free, and a row that was ever used comes back only when no fresh one is left."""
    capacity = data.draw(st.integers(1, 24))
    next_row = data.draw(st.integers(0, capacity))
    used = data.draw(st.lists(st.integers(0, max(next_row - 1, 0)), unique=True)) if next_row else []
    count = data.draw(st.integers(0, capacity + 2))
    if count > capacity - len(used):
        with pytest.raises(BadInput, match=rf"{count} new classes do not fit: {capacity - len(used)} of {capacity} rows are left"):
            allocate_rows(count, capacity=capacity, next_row=next_row, used=used)
        return
    rows, after = allocate_rows(count, capacity=capacity, next_row=next_row, used=used)
    assert len(rows) == len(set(rows)) == count
    assert not set(rows) & set(used)
    assert all(0 <= row < capacity for row in rows)
    assert after == min(next_row + count, capacity)
    assert [row for row in rows if row < next_row] == rows[after - next_row :]


def test_when_rows_run_out_the_remedy_fits() -> None:
    """The capacity that the message proposes is a multiple of 8 and large enough."""
    for count in (1, 9, 300):
        with pytest.raises(EdgeclError, match=r"Make room with: edgecl grow --capacity \d+") as caught:
            allocate_rows(count, capacity=16, next_row=16, used=range(16))
        proposed = int(str(caught.value).rpartition(" ")[2])
        assert proposed % 8 == 0
        allocate_rows(count, capacity=proposed, next_row=16, used=range(16))
