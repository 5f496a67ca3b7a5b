"""What the app tells of itself."""

import json
import threading
from typing import Any

import numpy as np
import pytest

from edgecl.runtime import ledger as ledgers
from edgecl.runtime.base import Frame, Prediction
from edgecl.runtime.fake import FakeCamera, FakePredictor
from edgecl.runtime.ledger import Ledger
from edgecl.runtime.live import LiveView
from edgecl.runtime.reader import Reader
from edgecl.runtime.serving import FixedServing
from edgecl.runtime.sources import Source
from tests.runtime.tiny import manifest_of


class Clock:
    """A monotonic clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In the place of the ledger's own."""
    clock = Clock()
    monkeypatch.setattr(ledgers, "time", clock)
    return clock


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    """Of an app with two cameras that do not run."""
    readers = [Reader(Source(name, True, lambda: FakeCamera([])), threading.Condition()) for name in ("bench", "door")]
    return Ledger(readers, FixedServing(FakePredictor(), manifest_of()))


def answer(
    index: int, *, label: str = "cola", unknown: bool = False, score: float = 0.9, latency_ms: float = 10.0
) -> tuple[Frame, Prediction]:
    """A frame and its answer."""
    frame = Frame(np.zeros((1, 1, 3), np.uint8), 0, f"2000-01-01T00:00:{index % 60:02}+00:00", "bench", index)
    return frame, Prediction("bench", index, frame.wall_time, label, "id", score, unknown, ((label, score),), 7, latency_ms)


def test_the_newest_answer_of_each_camera(ledger: Ledger) -> None:
    """An unknown name has none, and the order is that of the app."""
    view: LiveView = ledger
    ledger.record("bench", *answer(0))
    ledger.record("bench", *answer(1))
    assert view.cameras() == ("bench", "door")
    assert [found and found[1].index for found in map(view.latest, ("bench", "door", "roof"))] == [1, None, None]


def test_waiting_for_a_newer_frame(ledger: Ledger) -> None:
    """Until it comes, the time is over, or the app ends."""
    ledger.record("bench", *answer(3))
    assert ledger.wait_newer("bench", 3, 0.01) is None
    assert ledger.wait_newer("bench", -1, 0.01) is not None
    later = threading.Timer(0.05, ledger.record, ("bench", *answer(4)))
    later.start()
    found = ledger.wait_newer("bench", 3, 20)
    assert found is not None
    assert found[0].index == 4
    later = threading.Timer(0.05, ledger.close)
    later.start()
    assert ledger.wait_newer("bench", 4, 20) is None
    later.join()


def test_status_in_numbers(ledger: Ledger, clock: Clock) -> None:
    """Rates are over the last seconds, percentiles over the last answers, and all of it is JSON."""
    clock.now_s += 10
    for index in range(10):
        clock.now_s += 0.1
        ledger.record("bench", *answer(index, latency_ms=float(index)))
    status = ledger.status()
    assert status.cameras["bench"].fps == pytest.approx(2.0)  # ten in the five seconds that count
    assert (status.cameras["bench"].frames, status.cameras["door"].frames, status.frames) == (10, 0, 10)
    assert status.latency_p50_ms == pytest.approx(4.5)
    assert status.latency_p95_ms == pytest.approx(8.55)
    assert (status.version, status.swaps, status.runtime) == (7, 0, "onnxruntime")
    assert status.uptime_s == pytest.approx(11.0)
    assert json.loads(json.dumps(status.to_json(), allow_nan=False))["cameras"]["door"]["state"] == "waiting"
    clock.now_s += 6
    assert ledger.status().cameras["bench"].fps == 0


def test_hours_are_counted_by_the_monotonic_clock(ledger: Ledger, clock: Clock) -> None:
    """Unknown answers count towards the score, and towards no class."""
    ledger.record("bench", *answer(0, score=0.8))
    ledger.record("bench", *answer(1, label="_background", score=0.6))
    clock.now_s += 3600
    ledger.record("bench", *answer(2, unknown=True, score=0.4))
    ledger.record("door", *answer(3))
    clock.now_s += 3600
    older, *newer = ledger.recent()
    assert (older.camera, older.hours_ago, older.answers, older.unknown, dict(older.classes)) == (
        "bench", 2, 2, 0, {"cola": 1, "_background": 1},
    )  # fmt: skip
    assert older.mean_score == pytest.approx(0.7)
    assert older.begun == "2000-01-01T00:00:00+00:00"
    assert [(hour.camera, hour.hours_ago, hour.unknown_rate, dict(hour.classes)) for hour in newer] == [
        ("bench", 1, 1.0, {}),
        ("door", 1, 0.0, {"cola": 1}),
    ]


def test_only_two_days_are_kept(ledger: Ledger, clock: Clock) -> None:
    """A camera runs for months."""
    for index in range(60):
        ledger.record("bench", *answer(index))
        clock.now_s += 3600
    hours = ledger.recent()
    assert [hour.hours_ago for hour in hours] == list(range(47, 0, -1))
    assert len(ledger._seen["bench"].hours) == 48


def test_moments_and_latencies_are_bounded(ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the time that the app runs."""
    for index in range(12_000):
        clock.now_s += 0.01
        ledger.record("bench", *answer(index))
    assert len(ledger._seen["bench"].moments_s) <= 502
    assert len(ledger._latencies_ms) == ledgers.LATENCIES


def test_more_asks_than_places_are_refused(ledger: Ledger) -> None:
    """They do not pile up while the engine has no time."""
    picture: Any = np.zeros((1, 1, 3), np.uint8)
    assert [ledger.ask(picture, 0.0) for _ in range(ledgers.ASKS + 3)] == [None] * (ledgers.ASKS + 3)
    waiting = [ledger.next_ask() for _ in range(ledgers.ASKS + 1)]
    assert waiting[-1] is None
    assert all(ask is not None and not ask[1].set_running_or_notify_cancel() for ask in waiting[:-1])
