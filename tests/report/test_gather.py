"""What is brought together about a version, on a store that learned three tasks of two colours."""

import json

import numpy as np
import pytest

from edgecl.errors import StoreDamaged, UsageError
from edgecl.report import gather as gathering
from edgecl.report.gather import Report, gather
from edgecl.runtime.fake import FakePredictor
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from edgecl.store.history import rename
from edgecl.store.versions import WEIGHTS_FILE


def predictor() -> OrtPredictor:
    """One thread, as in all tests."""
    return OrtPredictor(threads=1)


def gathered(store: Store, number: int = 3) -> Report:
    """With ONNX Runtime."""
    return gather(store, number, predictor)


def test_a_row_per_version_and_a_column_per_task(store: Store) -> None:
    """Cells over the held-out pictures that the memory has now, none above the diagonal; the totals add up."""
    report = gathered(store)
    assert report.versions == (1, 2, 3)
    assert [task.id for task in report.tasks] == ["t0001-first", "t0002-second", "t0003-third"]
    assert [[cell is None for cell in row] for row in report.matrix] == [[False, True, True], [False, False, True], [False, False, False]]
    held = [kept for kept in store.memory(3) if kept.role == "holdout"]
    for column, task in enumerate(report.tasks):
        assert {row[column].n for row in report.matrix if row[column]} == {sum(kept.task == task.id for kept in held)}
    for row, total in zip(report.matrix, report.totals, strict=True):
        assert (total.right, total.n) == (sum(c.right for c in row if c), sum(c.n for c in row if c))
    assert report.replay.n == len(store.memory(3)) - len(held)


def test_what_it_counts_is_what_the_version_answers(store: Store) -> None:
    """A predictor that always says row 0 is right on one class alone."""
    report = gather(store, 3, lambda: FakePredictor(lambda pictures: np.tile(20 * (np.arange(16) == 0), (len(pictures), 1))))
    first = next(entry for entry in store.manifest(3).classes if entry.row == 0)
    held = [kept for kept in store.memory(3) if kept.role == "holdout"]
    assert report.totals[-1].right == sum(kept.class_id == first.id for kept in held)
    assert {pair.answered for pair in report.pairs if pair.holdout} == {first.id}


def test_progress_reaches_its_end(store: Store) -> None:
    """Every picture is counted once for each version that is asked."""
    seen: list[tuple[int, int]] = []
    gather(store, 3, predictor, progress=lambda stage, done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_dropped_weights_are_built_aside(store: Store) -> None:
    """The report is the same, and the store stays as small as gc made it."""
    before = gathered(store)
    dropped = store.folder(1) / WEIGHTS_FILE
    dropped.unlink()
    assert gathered(store) == before
    assert not dropped.exists()


def test_only_the_last_rows_are_asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of a hundred tasks is reported in bounded time; what is left out is counted."""
    monkeypatch.setattr(gathering, "ROWS", 2)
    report = gathered(store)
    assert (report.versions, report.left_out) == ((2, 3), 1)


def test_a_version_that_learned_nothing_is_a_row_of_its_own_only_when_asked_for(store: Store) -> None:
    """After a rename its page compares with the parent, in which nothing changed; an older version's page ends with that version."""
    renamed = rename(store, "red", "crimson")
    report = gathered(store, renamed.number)
    assert report.versions == (1, 2, 3, 4)
    assert report.changes == ()
    assert "crimson" in report.names.values()
    assert report.added == ()
    assert gathered(store, 2).versions == (1, 2)


def test_the_first_version_has_nothing_to_tell(store: Store) -> None:
    """No task, no matrix, no pictures."""
    report = gathered(store, 0)
    assert (report.tasks, report.pairs, report.changes, report.totals[-1].n) == ((), (), (), 0)


def test_the_answer_is_one_json_object(store: Store) -> None:
    """`edgecl.report/1` with counts, null above the diagonal."""
    fields = json.loads(json.dumps(gathered(store).to_json(), allow_nan=False))
    assert (fields["format"], fields["version"], fields["versions"]) == ("edgecl.report/1", 3, [1, 2, 3])
    assert fields["matrix"][0][1] is None
    assert set(fields["matrix"][0][0]) == {"right", "n"}
    assert fields["tasks"][2] == {"task": "t0003-third", "forgotten": None}


def test_what_cannot_be_reported(store: Store) -> None:
    """A version that does not exist, and a kept picture that is gone."""
    with pytest.raises(UsageError, match="there is no version 9"):
        gathered(store, 9)
    (store.root / "memory" / f"{store.memory(3)[0].hash}.jpg").unlink()
    with pytest.raises(StoreDamaged):
        gathered(store)
