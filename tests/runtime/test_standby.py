"""The next version is made ready while the old one answers."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgecl.runtime.rebuild import Ended
from edgecl.runtime.standby import Standby
from edgecl.runtime.trt import Prepared, TrtPredictor
from edgecl.store import Store
from tests.runtime.engine_board import Board, board_of

pytestmark = pytest.mark.usefixtures("no_waiting")


class Child:
    """A rebuild whose end the test decides."""

    def __init__(self, store: Store, version: int) -> None:
        self.version, self.ended, self.stopped = version, None, False

    ended: Ended | None

    def poll(self) -> Ended | None:
        return self.ended

    def stop(self) -> None:
        self.stopped = True


class Place:
    """A board that serves version 1, with `current` where the test puts it."""

    def __init__(self, store: Store) -> None:
        self.board: Board = board_of(store)
        self.board.export(1)
        self.promote(1)
        self.predictor = self.board.predictor(1)
        self.notes: list[str] = []
        self.children: list[Child] = []
        self.standby = Standby(store, self.predictor, serving=1, note=self.notes.append, rebuild=self._child)

    def _child(self, store: Store, version: int) -> Child:
        self.children.append(Child(store, version))
        return self.children[-1]

    def promote(self, number: int) -> None:
        store = self.board.store
        assert store.promote(number, expected=store.current)

    def steps(self, until: Callable[[], bool]) -> bool:
        """Step until it is so; whether a step said that another version serves."""
        changed, deadline = False, time.monotonic() + 30
        while not until():
            changed = self.standby.step() or changed
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return changed


@pytest.fixture
def place(store: Store) -> Place:
    """Version 1 serves."""
    return Place(store)


def test_nothing_to_do(place: Place) -> None:
    """While `current` is what serves, a step does nothing."""
    assert not any(place.standby.step() for _ in range(3))
    assert (place.notes, place.children) == ([], [])


def test_a_new_version_is_taken_over_between_two_frames(place: Place) -> None:
    """It is prepared in a thread and adopted by a step; the note names the engine; nothing is left behind at the end."""
    place.promote(2)
    assert place.steps(lambda: place.standby.serving == 2)
    assert place.predictor.serving is not None
    assert place.predictor.serving.version == 2
    assert place.notes[-1].startswith("version 2 serves from now on (")
    place.standby.close()
    place.predictor.close()
    assert not place.board.cuda.held


def test_the_old_one_answers_meanwhile(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the next engine is being prepared, no step waits and the old session is the one that answers."""
    go, real = threading.Event(), TrtPredictor.prepare

    def slow(self: TrtPredictor, folder: Path) -> Prepared:
        assert go.wait(30)
        return real(self, folder)

    monkeypatch.setattr(TrtPredictor, "prepare", slow)
    before = place.predictor.serving
    place.promote(2)
    started = time.monotonic()
    assert not any(place.standby.step() for _ in range(20))
    assert time.monotonic() - started < 5
    assert place.predictor.serving is before
    go.set()
    assert place.steps(lambda: place.standby.serving == 2)


def test_a_doubt_leaves_the_old_one_and_rebuilds_once(place: Place) -> None:
    """The sentence says why; a child builds; when it has, the version is taken over; a second failure starts no second child."""
    place.board.trt.bugs = frozenset({"swaps_weights"})
    place.promote(2)
    place.steps(lambda: bool(place.children))
    assert "version 1 goes on serving: the engine" in place.notes[-1]
    assert "self-test failed" in place.notes[-1]
    place.steps(lambda: len(place.notes) == 1)
    (child,) = place.children
    assert child.version == 2
    place.board.trt.bugs = frozenset()
    place.board.export(2, kind="frozen")
    child.ended = Ended(0, "")
    assert place.steps(lambda: place.standby.serving == 2)
    assert place.predictor.serving is not None
    assert place.predictor.serving.facts.kind == "frozen"
    assert len(place.children) == 1


def test_a_rebuild_that_fails_is_not_tried_for_ever(place: Place) -> None:
    """How the child ended is told once, and the old version serves."""
    place.board.trt.bugs = frozenset({"loses_a_weight"})
    place.promote(2)
    place.steps(lambda: bool(place.children))
    place.children[0].ended = Ended(-9, "")
    place.steps(lambda: len(place.notes) == 2)
    assert "version 1 goes on serving: building the engine was killed by signal 9, for its memory perhaps" in place.notes[-1]
    for _ in range(10):
        assert not place.standby.step()
    assert (len(place.children), len(place.notes)) == (1, 2)
    assert place.standby.serving == 1


def test_a_rollback_ends_the_rebuild(place: Place) -> None:
    """When `current` moves on, the child that builds for the version before is stopped."""
    place.board.trt.bugs = frozenset({"swaps_weights"})
    place.promote(2)
    place.steps(lambda: bool(place.children))
    place.board.trt.bugs = frozenset()
    place.promote(3)
    assert place.steps(lambda: place.standby.serving == 3)
    assert place.children[0].stopped


def test_closing_in_the_middle_frees_what_was_prepared(place: Place) -> None:
    """An engine that was ready and never adopted is given back."""
    place.promote(2)
    place.standby.step()
    place.standby.close()
    place.predictor.close()
    assert not place.board.cuda.held


def test_any_error_of_edgecl_is_a_sentence(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version whose weights were damaged is no reason to stop; and nothing is built for it."""

    def damaged(self: Any, folder: Path) -> Prepared:
        from edgecl.errors import StoreDamaged

        raise StoreDamaged("000002/weights.safetensors was changed")

    monkeypatch.setattr(TrtPredictor, "prepare", damaged)
    place.promote(2)
    place.steps(lambda: bool(place.notes))
    assert place.notes == ["version 1 goes on serving: 000002/weights.safetensors was changed"]
    assert place.children == []
