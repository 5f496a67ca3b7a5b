"""log, show, rollback, promote, rename, grow."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from edgecl.errors import BadInput, StoreBusy, StoreDamaged, UsageError
from edgecl.layout import FREE_BIAS
from edgecl.manifest import BACKGROUND
from edgecl.store import Store
from edgecl.store.history import grow, log, log_json, promote, rename, rollback, show, states, successor
from tests.store.builders import CAPACITY, initialised, learn, learn_draft, snapshot


def test_log_tells_what_each_version_changed(store: Store) -> None:
    """Newest first, with the classes that came, went and were renamed, and what the checks measured."""
    learn(store, "sprite")
    rename(store, "cola", "Coke")
    draft = successor(store, 3, "forget", task="t0002-sprite", classes=store.manifest(3).classes[:2], memory=store.memory(1))
    store.commit(draft)
    rows = log(store)
    assert [(row.number, row.operation, row.added, row.removed, row.renamed) for row in rows] == [
        (4, "forget", (), ("sprite",), ()),
        (3, "rename", (), (), (("cola", "Coke"),)),
        (2, "learn", ("sprite",), (), ()),
        (1, "learn", ("cola", "fanta"), (), ()),
        (0, "init", (), (), ()),
    ]
    assert [row.task for row in rows] == ["t0002-sprite", None, "t0002-sprite", "t0001-cola-fanta", None]
    assert rows[2].accuracy == {"validation": 0.9375, "holdout_before": 1.0, "holdout_after": 0.96875}
    assert all(row.created for row in rows)


def test_states_are_told_apart(store: Store) -> None:
    """current, good, past, staged, and dropped beside them."""
    store.mark_good(0)
    learn(store, "sprite")
    store.commit(learn_draft(store, ["tea"]))
    (store.folder(1) / "weights.safetensors").unlink()
    assert [row.states for row in log(store)] == [("staged",), ("current",), ("past", "dropped"), ("good",)]
    store.mark_good(2)
    assert states(store, 2) == ("current", "good")


def test_log_is_json(store: Store) -> None:
    """`log --json` is one object that survives JSON."""
    answer = json.loads(json.dumps(log_json(log(store))))
    assert answer["format"] == "edgecl.log/1"
    assert [row["number"] for row in answer["versions"]] == [1, 0]


def test_log_shows_damage_in_its_row(store: Store) -> None:
    """One broken manifest hides neither itself nor the others; rows whose parent is broken claim no change."""
    learn(store, "sprite")
    (store.folder(1) / "manifest.json").write_text("{")
    (store.folder(0) / "run.json").write_text("{")
    rows = log(store)
    assert rows[1].problem is not None
    assert "000001/manifest.json is not JSON" in rows[1].problem
    assert (rows[0].operation, rows[0].added) == ("learn", ())
    assert (rows[2].operation, rows[2].created) == ("init", None)


def test_show_counts_the_memory_of_each_class(store: Store) -> None:
    """Without a number it shows the current version; the answer is JSON."""
    shown = json.loads(json.dumps(show(store)))
    assert (shown["format"], shown["number"], shown["states"]) == ("edgecl.show/1", 1, ["current"])
    assert [(entry["name"], entry["row"], entry["replay"], entry["holdout"]) for entry in shown["classes"]] == [
        ("cola", 0, 2, 1),
        ("fanta", 1, 2, 1),
    ]
    assert shown["memory"]["pictures"] == 6
    assert shown["memory"]["bytes"] == sum(picture.bytes for picture in store.memory(1))
    assert shown["run"]["host"] == "board"
    assert show(store, 0)["classes"] == []


def test_rollback_goes_to_the_parent(store: Store) -> None:
    """Nothing but the pointer and the record of promotions moves; a learn after it branches from there."""
    learn(store, "sprite")
    before = snapshot(store.root / "versions")
    assert rollback(store) == 1
    assert store.current == 1
    assert snapshot(store.root / "versions") == before
    number = learn(store, "tea")
    assert (number, store.manifest(number).parent) == (3, 1)
    assert rollback(store) == 1


def test_rollback_to_a_number(store: Store) -> None:
    """Any older version may be named, also one whose weights were dropped: they come back bit-equal."""
    learn(store, "sprite")
    weights = store.folder(0) / "weights.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    assert rollback(store, 0) == 0
    assert weights.read_bytes() == before


def test_rollback_says_why_it_cannot(store: Store, tmp_path: Path) -> None:
    """No parent, a parent that gc removed, a newer or absent version: each with what to do."""
    two = learn(store, "sprite")
    with pytest.raises(UsageError, match=r"version 2 is not older than the current version 2. To go forward: edgecl promote 2"):
        rollback(store, 2)
    with pytest.raises(UsageError, match="there is no version -1"):
        rollback(store, -1)
    (store.folder(1) / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"the parent 1 of version 2 was removed by gc. Choose one of \[0\]: edgecl rollback NUMBER"):
        rollback(store)
    assert store.current == two
    with pytest.raises(UsageError, match="version 0 is the first one"):
        rollback(initialised(tmp_path / "fresh"))
    (store.root / "current").unlink()
    with pytest.raises(UsageError, match=r"no version is current; there are \[0, 2\]"):
        rollback(store)


def test_promote_answers_with_what_was_current(store: Store) -> None:
    """A staged version can be promoted by hand."""
    number = learn(store, "sprite", promote=False)
    assert promote(store, number) == 1
    assert store.current == number


def test_promote_does_not_overrule_somebody_else(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When `current` moves between look and swap, the swap is refused."""
    monkeypatch.setattr(store, "promote", lambda number, expected: False)
    with pytest.raises(StoreBusy, match="current moved from 1 to 1 at this moment"):
        promote(store, 0)


def test_rename_makes_a_version_with_the_same_weights(store: Store) -> None:
    """Id, row, head, weights and memory stay; name and labels.txt change; the parent keeps the old name."""
    manifest = rename(store, "fanta", "  Fanta Zero ")
    assert (manifest.number, manifest.parent, manifest.operation, store.current) == (2, 1, "rename", 2)
    assert (store.folder(2) / "labels.txt").read_text().splitlines()[:3] == ["cola", "Fanta Zero", "-"]
    assert store.manifest(1).classes[1].name == "fanta"
    assert manifest.classes[1] == replace(store.manifest(1).classes[1], name="Fanta Zero")
    for name in ("weights.safetensors", "head.safetensors", "memory.json", "model.onnx", "canary.safetensors"):
        assert manifest.files[name] == store.manifest(1).files[name]
    assert manifest.thresholds == store.manifest(1).thresholds
    assert manifest.checks == {}


def test_rename_may_change_the_case_of_the_class_itself(store: Store) -> None:
    """Only another class's name is taken."""
    assert rename(store, "cola", "COLA").classes[0].name == "COLA"


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("pepsi", "Pepsi", UsageError, "there is no class 'pepsi' in version 1. The classes are: cola, fanta"),
        ("cola", "FANTA", BadInput, r"the name 'FANTA' is taken by 'fanta' \(case does not count\)"),
        ("cola", "cola", BadInput, "the class is called 'cola' already"),
        ("cola", "-", BadInput, "'-' cannot be a class name"),
        ("cola", "a/b", BadInput, "'a/b' cannot be a class name"),
        ("cola", BACKGROUND, BadInput, "its name is its meaning"),
    ],
)
def test_rename_says_why_it_cannot(store: Store, old: str, new: str, error: type[Exception], message: str) -> None:
    """The store stays as it was."""
    before = snapshot(store.root)
    with pytest.raises(error, match=message):
        rename(store, old, new)
    assert snapshot(store.root) == before


def test_rename_stays_staged_when_current_moved(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback while the new version is being written is not undone."""
    original = Store.commit

    def commit(self: Store, draft: object) -> object:
        manifest = original(self, draft)  # type: ignore[arg-type]
        assert self.promote(0, expected=1)
        return manifest

    monkeypatch.setattr(Store, "commit", commit)
    manifest = rename(store, "cola", "Coke")
    assert store.current == 0
    assert states(store, manifest.number) == ("staged",)


def test_grow_adds_free_rows(store: Store) -> None:
    """More rows, the old ones bit-equal, the new ones free, with the graph and canary that were handed in."""
    manifest = grow(store, 24, b"wider graph", lambda canary: canary + b"!")
    assert (manifest.capacity, manifest.next_row, manifest.operation, store.current) == (24, 2, "grow", 2)
    assert store.facts.capacity == CAPACITY
    weight, bias = store.head(2)
    old_weight, old_bias = store.head(1)
    np.testing.assert_array_equal(weight[:CAPACITY], old_weight)
    np.testing.assert_array_equal(bias[:CAPACITY], old_bias)
    assert (bias[CAPACITY:] == FREE_BIAS).all()
    assert not weight[CAPACITY:].any()
    assert len((store.folder(2) / "labels.txt").read_text().splitlines()) == 24
    assert (store.folder(2) / "canary.safetensors").read_bytes() == b"canary!"
    assert load((store.folder(2) / "weights.safetensors").read_bytes())["head.weight_t"].shape == (32, 24)
    learn(store, "sprite")
    assert store.manifest(3).capacity == 24


@pytest.mark.parametrize("capacity", [0, 8, 16, 20, 25])
def test_grow_only_grows_by_eights(store: Store, capacity: int) -> None:
    """The message holds the value and what the version has."""
    with pytest.raises(UsageError, match=f"--capacity {capacity} must be a multiple of 8 above the 16 that version 1 has"):
        grow(store, capacity, b"", lambda canary: canary)
    assert store.numbers() == [0, 1]


def test_grow_leaves_serving_to_its_caller(store: Store) -> None:
    """A check that fails leaves the version staged."""

    def refuse(store: Store, manifest: object) -> None:
        raise StoreDamaged("the canary died")

    with pytest.raises(StoreDamaged, match="canary died"):
        grow(store, 24, b"wider graph", lambda canary: canary, refuse)
    assert (store.numbers(), store.current) == ([0, 1, 2], 1)
