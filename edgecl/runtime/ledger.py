"""What the running app has done so far, from any thread: the app writes, the page and the watchdog read."""

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgecl.runtime.base import Frame, Prediction, wall_time
from edgecl.runtime.live import CameraStatus, HourCounts, LiveStatus
from edgecl.runtime.reader import Reader
from edgecl.runtime.serving import Serving

LATENCIES = 10_000  # answers over which the percentiles are taken, the last ones; a camera runs for months
RATE_WINDOW_S = 5.0  # over which a camera's frame rate is taken
HOURS = 48  # of counts that are kept per camera
HOUR_S = 3600.0
ASKS = 8  # pictures from elsewhere that may wait for the engine

Ask = tuple[NDArray[np.uint8], "Future[Prediction]"]


@dataclass
class _Hour:
    """Counts of one camera in one hour."""

    number: int  # since the app's start
    begun: str
    answers: int = 0
    unknown: int = 0
    score_sum: float = 0.0
    classes: Counter[str] = field(default_factory=Counter)


@dataclass
class _Seen:
    """What one camera showed."""

    newest: tuple[Frame, Prediction] | None = None
    answers: int = 0
    moments_s: deque[float] = field(default_factory=deque)  # monotonic, of the answers of the last seconds
    hours: deque[_Hour] = field(default_factory=lambda: deque(maxlen=HOURS))


class Ledger:
    """The app's own `LiveView`."""

    def __init__(self, readers: Sequence[Reader], serving: Serving) -> None:
        self._readers = {reader.name: reader for reader in readers}
        self._serving = serving
        self._seen = {name: _Seen() for name in self._readers}
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES)
        self._changed = threading.Condition()
        self._asks: queue.Queue[Ask] = queue.Queue(maxsize=ASKS)
        self._closed = False
        self._started, self._started_s = wall_time(), time.monotonic()

    # The app's side

    def record(self, camera: str, frame: Frame, prediction: Prediction) -> None:
        """Take in an answer, and wake whoever waits for it."""
        now_s = time.monotonic()
        with self._changed:
            seen = self._seen[camera]
            seen.newest = (frame, prediction)
            seen.answers += 1
            seen.moments_s.append(now_s)
            _forget_old(seen.moments_s, now_s)
            self._latencies_ms.append(prediction.latency_ms)
            _count(seen.hours, int((now_s - self._started_s) // HOUR_S), prediction)
            self._changed.notify_all()

    def next_ask(self) -> Ask | None:
        """A picture from elsewhere that waits for its answer."""
        try:
            return self._asks.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """The app ends: nobody waits any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # The view

    def cameras(self) -> tuple[str, ...]:
        """Names in the order in which they were given."""
        return tuple(self._readers)

    def latest(self, camera: str) -> tuple[Frame, Prediction] | None:
        """The newest answered frame and its answer; None before the first, or no such camera."""
        seen = self._seen.get(camera)
        return None if seen is None else seen.newest

    def wait_newer(self, camera: str, than_index: int, timeout_s: float) -> tuple[Frame, Prediction] | None:
        """As `latest`, once its index differs from `than_index`; None after the time, or at the app's end."""

        def newer() -> bool:
            found = self.latest(camera)
            return self._closed or (found is not None and found[0].index != than_index)

        with self._changed:
            return self.latest(camera) if self._changed.wait_for(newer, timeout_s) and not self._closed else None

    def ask(self, rgb: NDArray[np.uint8], timeout_s: float) -> Prediction | None:
        """Have a picture answered between two frames; None when the engine had no time.

        Raises:
            EdgeclError: what the engine said of it.
        """
        answer: Future[Prediction] = Future()
        try:
            self._asks.put_nowait((rgb, answer))
            return answer.result(timeout_s)
        except (queue.Full, FutureTimeoutError):
            answer.cancel()
            return None

    def status(self) -> LiveStatus:
        """How the app is."""
        with self._changed:
            latencies = list(self._latencies_ms)
            cameras = {name: self._camera_status(name) for name in self._readers}
        p50, p95 = map(float, np.percentile(latencies, (50, 95))) if latencies else (None, None)
        served, swaps = self._serving.now, self._serving.swaps
        return LiveStatus(
            version=served.manifest.number,
            runtime=served.runtime,
            provider=served.provider,
            cameras=cameras,
            latency_p50_ms=p50,
            latency_p95_ms=p95,
            frames=sum(camera.frames for camera in cameras.values()),
            swaps=swaps.count,
            last_swap_gap_ms=swaps.last_gap_ms,
            last_swap_fault=swaps.last_fault,
            started=self._started,
            uptime_s=time.monotonic() - self._started_s,
        )

    def _camera_status(self, name: str) -> CameraStatus:
        seen, reader = self._seen[name], self._readers[name].status()
        now_s = time.monotonic()
        _forget_old(seen.moments_s, now_s)
        span_s = min(RATE_WINDOW_S, max(now_s - self._started_s, 1e-3))
        return CameraStatus(
            state=reader.state,
            fps=len(seen.moments_s) / span_s,
            frame_age_s=reader.frame_age_s,
            frames=seen.answers,
            dropped=reader.dropped,
            skipped=reader.skipped,
            reconnects=reader.reconnects,
            last_fault=reader.last_fault,
        )

    def recent(self) -> tuple[HourCounts, ...]:
        """Counts of the last two days, oldest first."""
        now = int((time.monotonic() - self._started_s) // HOUR_S)
        with self._changed:
            found = [
                HourCounts(
                    camera=name,
                    hours_ago=now - hour.number,
                    begun=hour.begun,
                    answers=hour.answers,
                    unknown=hour.unknown,
                    mean_score=hour.score_sum / hour.answers,
                    classes=dict(hour.classes),
                )
                for name, seen in self._seen.items()
                for hour in seen.hours
                if now - hour.number < HOURS
            ]
        return tuple(sorted(found, key=lambda counts: -counts.hours_ago))


def _forget_old(moments_s: deque[float], now_s: float) -> None:
    while moments_s and moments_s[0] < now_s - RATE_WINDOW_S:
        moments_s.popleft()


def _count(hours: deque[_Hour], number: int, prediction: Prediction) -> None:
    if not hours or hours[-1].number != number:
        hours.append(_Hour(number, prediction.time))
    hour = hours[-1]
    hour.answers += 1
    hour.score_sum += prediction.score
    if prediction.unknown:
        hour.unknown += 1
    else:
        hour.classes[prediction.label] += 1
