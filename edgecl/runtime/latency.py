"""How the camera app tells a learner on the same board that it is getting too slow: one small file in memory, written once a second.

The file lies in /dev/shm, so it costs no flash and is gone after a boot. Its time is the monotonic clock's, which all processes of a
boot share and nobody sets.
"""

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgecl.sensors import AppLatency

FORMAT = "edgecl.app/1"
SHARED_MEMORY = Path("/dev/shm")
STALE_S = 10.0
PUBLISH_S = 1.0
FRAMES = 100  # the last ones, over which the 95th percentile is taken
_LIMIT = 4096  # bytes


def latency_file(store: Path, folder: Path = SHARED_MEMORY) -> Path:
    """Where the app that serves `store` tells, and a learner in it looks."""
    return folder / f"edgecl-{hashlib.sha256(os.fsencode(store.resolve())).hexdigest()[:16]}.json"


class LatencyReport:
    """The app's side: call it with the milliseconds that each frame took."""

    def __init__(self, path: Path, budget_ms: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._budget_ms, self._clock = path, budget_ms, clock
        self._latencies: deque[float] = deque(maxlen=FRAMES)
        self._told_s: float | None = None

    def __call__(self, latency_ms: float) -> None:
        """One frame; writes at most once a second. A file that cannot be written is no reason to stop a camera."""
        self._latencies.append(latency_ms)
        now_s = self._clock()
        if self._told_s is not None and now_s - self._told_s < PUBLISH_S:
            return
        self._told_s = now_s
        p95_ms = float(np.percentile(self._latencies, 95))
        fields = {"format": FORMAT, "pid": os.getpid(), "at_s": now_s, "latency_p95_ms": p95_ms, "budget_ms": self._budget_ms}
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            fresh.write_text(json.dumps(fields), encoding="utf-8")
            os.replace(fresh, self._path)
        except OSError:
            return

    def close(self) -> None:
        """The app ends: nobody needs to hold back for it."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return


@contextmanager
def telling(store: Path, budget_ms: float | None) -> Iterator[Callable[[float], None]]:
    """During the body the app that serves `store` tells its latencies by calling what it is given; without a budget that does nothing."""
    if budget_ms is None:
        yield lambda latency_ms: None
        return
    report = LatencyReport(latency_file(store), budget_ms)
    try:
        yield report
    finally:
        report.close()


def read_latency(path: Path, store: Path, clock: Callable[[], float] = time.monotonic) -> AppLatency | None:
    """What the app of `store` last said; None when it is older than ten seconds, unreadable, or by somebody else than us or the store's owner."""
    try:
        owners = {os.getuid(), store.stat().st_uid}
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if os.fstat(descriptor).st_uid not in owners:
                return None
            fields = json.loads(file.read(_LIMIT))
        age_s = clock() - float(fields["at_s"])
        found = AppLatency(float(fields["latency_p95_ms"]), float(fields["budget_ms"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if fields.get("format") == FORMAT and 0 <= age_s <= STALE_S else None
