"""What a bundle brings to one store."""

from dataclasses import replace
from typing import Any

import pytest

from edgecl.bundle.arrival import arrival, candidates
from edgecl.errors import BadInput
from edgecl.manifest import ClassEntry, KeptPicture, Manifest, Recipe, RecipeStep, Thresholds
from tests.bundle.builders import TASK, bundle_bytes, contents_and_parts, read

CONTENTS, _ = contents_and_parts()
OLDER, CARRIED = CONTENTS.recipe.steps
NO_EFFECT = Recipe(steps=(OLDER, replace(CARRIED, coefficients={"*": 0.0})))


def store_with(*steps: RecipeStep, classes: tuple[ClassEntry, ...] = ()) -> Manifest:
    """Version 4 with this recipe."""
    fields: dict[str, Any] = {"seeds": {}, "checks": {}, "files": {}, "thresholds": Thresholds(), "temperature": 1.0}
    return Manifest(
        number=4, parent=3, operation="learn", task=None, capacity=16, next_row=0, classes=classes, recipe=Recipe(steps=steps), **fields
    )


def test_a_new_task_is_added_under_a_new_name() -> None:
    """Behind whatever is there; the needed one is known under its name here."""
    other = RecipeStep(task="t0003-mine", adapter="c" * 64, coefficients={"*": 1.0})
    found = arrival(read(bundle_bytes()), store_with(replace(OLDER, task="t0002-chai"), other), 5)
    assert found.steps == (replace(CARRIED, task="t0005-cans"),)
    assert found.tasks == {"t0001-tea": "t0002-chai", TASK: "t0005-cans"}
    assert found.moves


def test_what_is_needed_must_be_merged_in_the_same_measure() -> None:
    """The same adapter with another coefficient makes another backbone."""
    with pytest.raises(BadInput, match=r"learned on top of t0001-tea, which version 4"):
        arrival(read(bundle_bytes()), store_with(replace(OLDER, coefficients={"*": 0.75})), 5)


def test_a_task_is_not_merged_twice() -> None:
    """Its adapter is here: nothing is added, also where its classes were forgotten."""
    found = arrival(read(bundle_bytes()), store_with(OLDER, replace(CARRIED, task="t0004-cans")), 5)
    assert (found.steps, found.tasks[TASK], found.moves) == ((), "t0004-cans", False)


def test_tasks_that_only_taught_the_head_are_told_apart_by_their_classes() -> None:
    """Without an effect two tasks can have the same adapter: only one that taught these classes is the same."""
    bundle = read(bundle_bytes(recipe=NO_EFFECT))
    step = NO_EFFECT.steps[1]
    taught = tuple(replace(entry, tasks=(step.task,)) for entry in CONTENTS.classes)
    assert arrival(bundle, store_with(OLDER, step, classes=taught), 5).steps == ()
    fresh = arrival(bundle, store_with(OLDER, step), 5)
    assert [added.task for added in fresh.steps] == ["t0005-cans"]
    assert not fresh.moves


def test_pictures_that_are_here_or_held_out_here_do_not_come() -> None:
    """By the kept bytes, by the file that they were made from, or by their likeness to a held-out one of the same class."""
    pictures = tuple(replace(kept, phash="0f" * 8) for kept in CONTENTS.pictures)
    bundle = read(bundle_bytes(pictures=pictures))
    replay, held = pictures
    tasks, ids = {TASK: "t0005-cans"}, {"id-cola": "here", "id-fanta": "id-fanta"}

    def coming(*memory: KeptPicture) -> list[str]:
        return [item.kept.hash for item in candidates(bundle, tasks, ids, memory)]

    assert coming() == [replay.hash, held.hash]
    assert coming(replay) == coming(replace(replay, hash="e" * 64)) == [held.hash]
    alike = replace(replay, hash="e" * 64, source="f" * 64, class_id="here", role="holdout", phash="0f" * 7 + "0e")
    assert coming(alike) == [held.hash]
    assert coming(replace(alike, role="replay")) == coming(replace(alike, class_id="another")) == [replay.hash, held.hash]
    first = candidates(bundle, tasks, ids, [])[0]
    assert (first.kept.class_id, first.kept.task, first.data) == ("here", "t0005-cans", bundle.pictures[replay.hash])
