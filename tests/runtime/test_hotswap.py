"""Which version answers: the swap between two frames, self-test, good, failed, and the way back."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecl.errors import EdgeclError, GpuFailed, MissingExtra, ParityFailed, StoreBusy, StoreDamaged
from edgecl.runtime.hotswap import StoreServing
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store, health
from edgecl.store.history import promote
from tests.runtime.waiting import PATIENCE_S, until

NEWEST = 3


class Board:
    """Predictors on ONNX Runtime; `wrong` versions answer a little off, `broken` ones cannot be loaded, and all are counted."""

    def __init__(self) -> None:
        self.wrong: set[int] = set()
        self.broken: set[int] = set()
        self.slow: set[int] = set()  # versions without an engine
        self.building = False
        self.open = self.tries = 0
        self.fault: EdgeclError = StoreDamaged("the engine is gone")

    def load(self, folder: Path) -> "BoardPredictor":
        """As an `OpenPredictor`."""
        self.tries += 1
        predictor = BoardPredictor(self)
        predictor.load(folder)
        return predictor


class BoardPredictor:
    """One predictor of a `Board`."""

    def __init__(self, board: Board) -> None:
        self.board, self.real, self.number, self.fail = board, OrtPredictor(threads=1), -1, False

    def load(self, folder: Path) -> None:
        number = int(folder.name)
        if number in self.board.broken:
            raise self.board.fault
        self.real.load(folder)
        self.number = number
        self.board.open += 1

    @property
    def runtime(self) -> str:
        return "onnxruntime" if self.number in self.board.slow else "tensorrt"

    @property
    def upgrading(self) -> bool:
        return self.board.building

    def infer(self, pictures: Any) -> Any:
        if self.fail:
            raise self.board.fault
        logits, features = self.real.infer(pictures)
        return (logits * 1.1 if self.number in self.board.wrong else logits), features

    def close(self) -> None:
        if self.number >= 0:
            self.board.open -= 1
        self.number = -1
        self.real.close()


@pytest.fixture
def board() -> Board:
    """Where nothing is wrong yet."""
    return Board()


@pytest.fixture
def told() -> list[str]:
    """Every sentence."""
    return []


@pytest.fixture
def serving(store: Store, board: Board, told: list[str]) -> Iterator[Callable[..., StoreServing]]:
    """Makes servings of `store` that look at it all the time."""

    def make(**options: Any) -> StoreServing:
        return StoreServing(store, board.load, **{"poll_s": 0.01, "good_after": 3, "retry_s": 0.0, "tell": told.append, **options})

    yield make
    assert board.open == 0, "a predictor was left open"


def answer(serving: StoreServing, frames: int = 1) -> None:
    """As the loop does."""
    for _ in range(frames):
        serving.turn()
        serving.now.predictor.infer(np.zeros((1, 32, 32, 3), np.uint8))
        serving.answered()


class TestEngines:
    def test_a_version_waits_for_its_engine_while_the_old_one_serves(
        self, store: Store, board: Board, serving: Any, told: list[str]
    ) -> None:
        """On an engine nothing slower takes over; the version does as soon as its engine is there."""
        promote(store, 2)
        board.slow, board.building = {NEWEST}, True
        with serving() as now:
            promote(store, NEWEST)
            until(lambda: now._held)
            time.sleep(0.1)
            assert (now.turn(), now.now.number, store.current) == (False, 2, NEWEST)
            assert f"version {NEWEST} has no engine that serves it; version 2 goes on serving on its own" in told
            board.slow = set()
            until(now.turn)
            assert (now.now.number, now.now.runtime) == (NEWEST, "tensorrt")

    def test_a_version_whose_engine_never_comes_has_failed(self, store: Store, board: Board, serving: Any) -> None:
        """The old engine goes on serving, the reason is kept, and after the second try `current` goes back."""
        promote(store, 2)
        board.slow = {NEWEST}
        with serving() as now:
            answer(now, 5)
            until(lambda: store.good == 2)
            promote(store, NEWEST)
            until(lambda: store.current == 2)
            assert (now.now.number, now.swaps.count) == (2, 0)
            assert "no engine serves it. Build one with: edgecl export --trt" in (now.swaps.last_fault or "")

    def test_a_rollback_lets_go_of_what_waits(self, store: Store, board: Board, serving: Any) -> None:
        """It is closed, and the old version serves on."""
        promote(store, 2)
        board.slow, board.building = {NEWEST}, True
        with serving() as now:
            promote(store, NEWEST)
            until(lambda: now._held)
            promote(store, 2)
            until(lambda: now._held is None and board.open == 1)
            assert now.now.number == 2


class TestSwap:
    def test_a_new_current_takes_over_between_two_frames(self, store: Store, serving: Any) -> None:
        """Nothing changes before `turn`, and the gap is measured with the first answer after it."""
        promote(store, 2)
        with serving() as now:
            answer(now)
            promote(store, NEWEST)
            until(lambda: now._ready)
            assert (now.now.number, now.swaps.count) == (2, 0)
            assert now.turn()
            assert (now.now.number, now.now.manifest.number, now.swaps.count) == (NEWEST, NEWEST, 1)
            assert now.swaps.last_gap_ms is None
            answer(now)
            assert 0 < now.swaps.last_gap_ms < PATIENCE_S * 1000
            assert not now.turn()

    def test_the_answers_are_those_of_the_version_that_is_named(self, store: Store, serving: Any) -> None:
        """Before and after, against a predictor of its own."""
        picture = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
        promote(store, 2)
        found = {}
        with serving() as now:
            found[now.now.number] = now.now.predictor.infer(picture)[0]
            promote(store, NEWEST)
            until(now.turn)
            found[now.now.number] = now.now.predictor.infer(picture)[0]
        for number, logits in found.items():
            alone = OrtPredictor(threads=1)
            alone.load(store.folder(number))
            np.testing.assert_array_equal(alone.infer(picture)[0], logits)
        assert not np.array_equal(found[2], found[NEWEST])

    def test_the_old_version_is_closed_and_given_to_gc(self, store: Store, board: Board, serving: Any) -> None:
        """Two versions are loaded during a swap only."""
        from edgecl.store.locks import unused

        promote(store, 2)
        with serving() as now:
            promote(store, NEWEST)
            until(now.turn)
            until(lambda: board.open == 1)
            with unused(store.folder(2)) as free, unused(store.folder(NEWEST)) as used_free:
                assert (free, used_free) == (True, False)

    def test_a_rollback_before_the_swap_cancels_it(self, store: Store, board: Board, serving: Any) -> None:
        """What is ready is thrown away when `current` is another one again."""
        promote(store, 2)
        with serving() as now:
            promote(store, NEWEST)
            until(lambda: now._ready)
            promote(store, 2)
            until(lambda: now._ready is None and board.open == 1)
            assert not now.turn()
            assert now.now.number == 2

    def test_a_fixed_version_is_not_followed(self, store: Store, serving: Any) -> None:
        """And nothing is written."""
        before = store.state()
        with serving(version=1) as now:
            answer(now, 10)
            assert now.now.number == 1
        assert (store.state(), store.good) == (before, None)


class TestGood:
    def test_a_version_that_answers_is_good(self, store: Store, serving: Any, told: list[str]) -> None:
        """After so many frames; its start is no longer held against it."""
        with serving() as now:
            answer(now, 2)
            time.sleep(0.1)
            assert store.good is None
            assert health.starts(store.state(), NEWEST) == 1
            answer(now, 1)
            until(lambda: store.good == NEWEST and not health.starts(store.state(), NEWEST))
        assert told == [f"version {NEWEST} is good: it answered 3 frames as it should"]

    def test_what_the_old_version_answered_does_not_count_for_the_new_one(self, store: Store, serving: Any) -> None:
        """It proves itself with its own frames."""
        promote(store, 2)
        with serving() as now:
            answer(now, 10)
            until(lambda: store.good == 2)
            promote(store, NEWEST)
            until(now.turn)
            answer(now, 2)
            time.sleep(0.1)
            assert store.good == 2
            answer(now, 1)
            until(lambda: store.good == NEWEST)

    def test_an_orderly_end_is_not_a_failed_start(self, store: Store, serving: Any) -> None:
        """However often."""
        for _ in range(3):
            with serving():
                assert health.starts(store.state(), NEWEST) == 1
        assert health.starts(store.state(), NEWEST) == 0

    def test_after_a_crash_the_start_counts(self, store: Store, serving: Any) -> None:
        """An exception is no orderly end."""
        with pytest.raises(StoreDamaged, match="crash"), serving():
            raise StoreDamaged("crash")
        assert health.starts(store.state(), NEWEST) == 1

    def test_a_camera_without_pictures_holds_nothing_against_a_version(
        self, store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A start that has lasted a while does not count, though the version is not good either."""
        monkeypatch.setattr("edgecl.runtime.hotswap.SETTLED_AFTER_S", 0.05)
        with serving():
            until(lambda: health.starts(store.state(), NEWEST) == 0)
        assert store.good is None
        assert health.starts(store.state(), NEWEST) == 0


class TestFailure:
    def test_a_version_that_fails_its_self_test_is_never_served(self, store: Store, board: Board, serving: Any, told: list[str]) -> None:
        """It is noted, tried once more, and then `current` goes back to good."""
        promote(store, 2)
        board.wrong = {NEWEST}
        with serving() as now:
            answer(now, 3)
            until(lambda: store.good == 2)
            promote(store, NEWEST)
            until(lambda: store.current == 2)
            assert not now.turn()
            assert now.now.number == 2
            assert "logits differ by" in str(now.swaps.last_fault)
        assert "logits differ by" in str(health.failure(store.state(), NEWEST))
        assert health.exhausted(store.state(), NEWEST)
        assert [sentence.partition(":")[0] for sentence in told[1:]] == [
            f"version {NEWEST} failed, and is tried once more in 0 s",
            f"version {NEWEST} failed for the second time",
            f"version {NEWEST} is not served",
        ]

    def test_what_failed_once_may_be_well_the_second_time(self, store: Store, board: Board, serving: Any) -> None:
        """A board that was out of memory for a moment does not lose a version."""
        promote(store, 2)
        board.broken = {NEWEST}
        with serving(retry_s=0.3) as now:
            answer(now, 3)
            until(lambda: store.good == 2)
            promote(store, NEWEST)
            until(lambda: health.failure(store.state(), NEWEST))
            board.broken = set()
            until(now.turn)
            answer(now, 3)
            until(lambda: store.good == NEWEST)
        assert health.failure(store.state(), NEWEST) is None

    def test_a_failed_version_is_not_tried_in_the_next_process_either(self, store: Store, board: Board, serving: Any) -> None:
        """When somebody points `current` at it behind the app's back."""
        promote(store, 2)
        board.wrong = {NEWEST}
        with serving() as now:
            answer(now, 3)
            until(lambda: store.good == 2)
            promote(store, NEWEST)
            until(lambda: store.current == 2)
        board.wrong = set()
        assert store.promote(NEWEST, expected=2)
        with serving() as now:
            assert now.now.number == 2
            assert store.current == 2

    def test_without_a_good_version_it_is_not_tried_a_third_time(self, store: Store, board: Board, serving: Any, told: list[str]) -> None:
        """It stays current, the version before goes on serving, and a person is told what to do."""
        promote(store, 2)
        board.wrong = {NEWEST}
        with serving() as now:
            promote(store, NEWEST)
            until(lambda: health.exhausted(store.state(), NEWEST) and "it failed: " in str(now.swaps.last_fault))
            tries = board.tries
            time.sleep(0.2)
            assert (board.tries, now.now.number, store.current) == (tries, 2, NEWEST)
        assert tries == 3  # version 2 and twice the newest
        assert sum("there is no good version to go back to" in sentence for sentence in told) == 1

    def test_a_person_may_give_it_another_chance(self, store: Store, board: Board, serving: Any) -> None:
        """`edgecl promote` forgets what is held against it."""
        promote(store, 2)
        health.begin(store, NEWEST)
        health.begin(store, NEWEST)
        health.fail(store, NEWEST, "made up", "app")
        with serving() as now:
            promote(store, NEWEST)
            until(now.turn)
            assert now.now.number == NEWEST

    def test_two_starts_without_an_end_return_to_good(self, store: Store, serving: Any, told: list[str]) -> None:
        """A version that takes the process down cannot write why."""
        store.mark_good(2)
        for _ in range(2):
            health.begin(store, NEWEST)
        with serving() as now:
            assert (now.now.number, store.current) == (2, 2)
        assert "ended both times before it had proved healthy" in str(health.failure(store.state(), NEWEST))
        assert told == [f"version {NEWEST} is not served: it had 2 starts. Version 2 is current again"]

    def test_one_start_without_an_end_is_forgiven(self, store: Store, serving: Any) -> None:
        """Somebody pulled the plug."""
        store.mark_good(2)
        health.begin(store, NEWEST)
        with serving() as now:
            assert now.now.number == NEWEST

    def test_without_a_good_version_the_start_fails(self, store: Store, board: Board, serving: Any) -> None:
        """The error is the version's own."""
        board.wrong = {NEWEST}
        with pytest.raises(ParityFailed, match=rf"version {NEWEST} does not answer as it was made to"), serving():
            pass

    def test_at_the_start_good_serves_in_its_place(self, store: Store, board: Board, serving: Any) -> None:
        """While current still has its second start before it."""
        store.mark_good(1)
        board.broken = {NEWEST}
        with serving(retry_s=1000.0) as now:
            assert (now.now.number, store.current) == (1, NEWEST)

    @pytest.mark.parametrize("fault", [MissingExtra("no onnxruntime"), GpuFailed("out of memory"), StoreBusy("somebody learns")], ids=repr)
    def test_what_the_version_cannot_help_is_not_held_against_it(
        self, store: Store, board: Board, serving: Any, fault: EdgeclError
    ) -> None:
        """The error is told as it is, and no start has failed; the good version, for which it would be no different, is not tried."""
        store.mark_good(1)
        board.broken, board.fault = {NEWEST}, fault
        with pytest.raises(type(fault)), serving():
            pass
        assert health.starts(store.state(), NEWEST) == 0
        assert health.failure(store.state(), NEWEST) is None

    def test_and_it_is_tried_again_until_it_can(self, store: Store, board: Board, serving: Any, told: list[str]) -> None:
        """The version that serves goes on meanwhile; told once, not each time."""
        promote(store, 2)
        board.broken, board.fault = {NEWEST}, MissingExtra("no memory on the GPU")
        with serving(retry_s=0.05) as now:
            promote(store, NEWEST)
            until(lambda: now.swaps.last_fault == "no memory on the GPU")
            time.sleep(0.3)
            assert (now.now.number, told) == (2, ["no memory on the GPU"])
            board.broken = set()
            until(now.turn)
        assert health.failure(store.state(), NEWEST) is None

    def test_a_version_that_fails_on_a_frame_gives_way_at_once(self, store: Store, board: Board, serving: Any) -> None:
        """The good one answers that frame."""
        store.mark_good(1)
        with serving(retry_s=1000.0) as now:
            now.now.predictor.fail = True
            now.broke(board.fault)
            assert now.now.number == 1
        assert "it failed on a frame: the engine is gone" in str(health.failure(store.state(), NEWEST))

    def test_the_good_version_itself_has_nobody_behind_it(self, store: Store, board: Board, serving: Any) -> None:
        """Its fault ends the app."""
        store.mark_good(NEWEST)
        with pytest.raises(StoreDamaged, match="the engine is gone"), serving() as now:
            now.broke(board.fault)

    def test_nothing_current_is_damage(self, store: Store, serving: Any) -> None:
        """The message says how to choose one."""
        (store.root / "current").unlink()
        with pytest.raises(StoreDamaged, match=r"no version is current.*edgecl promote NUMBER"), serving():
            pass
