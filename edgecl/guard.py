"""Keeps learning from hurting the board and the board from hurting learning.

Between two steps the guard is asked. It writes the checkpoint when it is time, waits while the board is hot, asks for less memory when
memory runs low, holds back while the camera app is over its latency budget, and stops, resumably, when it was asked to or time is up.
What it does it says, and keeps for run.json.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from datetime import time as clock_time
from types import FrameType

from edgecl.errors import Interrupted
from edgecl.sensors import FakeSensors, Sensors
from edgecl.settings import GuardSettings

GO_ON = "The same command goes on from there."
_LOOK_S = 1.0  # between two looks at the sensors
_LONGEST_WAIT_S = 1.0  # in one piece, so that a stop is heard


class Guard:
    """One learn's guard; without arguments it only writes checkpoints and listens to `stop`."""

    def __init__(
        self,
        settings: GuardSettings | None = None,
        sensors: Sensors | None = None,
        *,
        say: Callable[[str], None] = lambda sentence: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings or GuardSettings()
        self.incidents: list[str] = []
        self._sensors = sensors or FakeSensors()
        self._say, self._clock, self._sleep = say, clock, sleep
        self._asked: str | None = None
        self._begun_s: float | None = None
        self._saved_s = self._step_s = clock()
        self._looked_s = float("-inf")
        self._share = 0.0  # of a step's time that is slept after it
        self._low_since_s: float | None = None

    def begin(self) -> None:
        """The work begins now: `max_minutes` and the checkpoint's interval count from here."""
        self._begun_s = self._saved_s = self._step_s = self._clock()

    def worked_s(self) -> float:
        """Seconds since `begin`; waiting for the time to begin is no work."""
        return 0.0 if self._begun_s is None else self._clock() - self._begun_s

    def record(self, sentence: str) -> None:
        """Say something that happened, and keep it for run.json."""
        self.incidents.append(sentence)
        self._say(sentence)

    # Stopping

    def stop(self, reason: str) -> None:
        """Ask the learning to end at the next opportunity; may be called from a signal handler or another thread."""
        self._asked = reason

    def why_stop(self) -> str | None:
        """Why the learning should end now, None when it need not."""
        limit = self.settings.max_minutes
        if self._asked is None and limit is not None and self.worked_s() >= 60 * limit:
            return f"the {limit:g} minutes of --max-minutes are over"
        return self._asked

    def check(self) -> None:
        """End here if that was asked for; for the parts of a learn whose work is not worth a checkpoint.

        Raises:
            Interrupted: it was.
        """
        reason = self.why_stop()
        if reason is not None:
            raise Interrupted(f"stopped: {reason}. Nothing is lost. {GO_ON}")

    def wait(self, seconds: float) -> None:
        """Sleep, but hear a stop.

        Raises:
            Interrupted: it was asked for.
        """
        until_s = self._clock() + seconds
        while (left_s := until_s - self._clock()) > 0:
            self.check()
            self._sleep(min(left_s, _LONGEST_WAIT_S))
        self.check()

    # Between two steps of training

    def between_steps(self, done: int, total: int, save: Callable[[], None]) -> bool:
        """Called after each step; `save` writes the checkpoint. Returns whether the training should get along with less memory.

        Raises:
            Interrupted: a stop was asked for or time is up; the checkpoint is written.
        """
        now_s = self._clock()
        self._hold_back(now_s - self._step_s)
        reason = self.why_stop()
        if reason is not None:
            save()
            raise Interrupted(f"stopped after {done} of {total} steps: {reason}. What was learned so far is kept. {GO_ON}")
        cheaper = False
        if now_s - self._looked_s >= _LOOK_S:
            self._cool_down(save)
            cheaper = self._is_short_of_memory(save)
            self._look_at_app()
            self._looked_s = self._clock()
        if self._clock() - self._saved_s >= self.settings.checkpoint_s:
            self._save(save)
        self._step_s = self._clock()
        return cheaper

    def _save(self, save: Callable[[], None]) -> None:
        save()
        self._saved_s = self._clock()

    def _pause(self, save: Callable[[], None], over: Callable[[], bool], longest_s: float = float("inf")) -> float:
        """Write the checkpoint and wait until `over`, a stop, or the longest time; returns the seconds waited."""
        self._save(save)
        begun_s = self._clock()
        while self.why_stop() is None and not over() and self._clock() - begun_s < longest_s:
            self._sleep(_LONGEST_WAIT_S)
        self._saved_s = self._clock()  # nothing has happened since it was written
        return self._saved_s - begun_s

    def _cool_down(self, save: Callable[[], None]) -> None:
        hot_c, cool_c = self.settings.hot_c, self.settings.cool_c
        found = self._sensors.temperature_c()
        if found is None or found < hot_c:
            return
        self._say(f"the board has {found:.0f} °C; learning waits until it has {cool_c:.0f}")
        waited_s = self._pause(save, lambda: (self._sensors.temperature_c() or 0.0) <= cool_c)
        self.record(f"waited {waited_s:.0f} s for the board to cool down from {found:.0f} °C")

    def _is_short_of_memory(self, save: Callable[[], None]) -> bool:
        reserve = self.settings.reserve_mib * 2**20
        found = self._sensors.available_bytes()
        if found is None or found >= reserve:
            return False
        self._say(
            f"{found / 2**20:.0f} MiB of memory are available, fewer than the {self.settings.reserve_mib} that are kept free; learning waits"
        )

        def enough() -> bool:
            available = self._sensors.available_bytes()
            return available is None or available >= reserve

        waited_s = self._pause(save, enough, self.settings.patience_s)
        self.record(f"waited {waited_s:.0f} s for memory, of which {found / 2**20:.0f} MiB were available")
        return self.why_stop() is None and not enough()

    def _look_at_app(self) -> None:
        """Doubles the time slept after each step while the app is too slow, halves it while it is not."""
        app = self._sensors.app()
        before = self._share
        if app is not None and app.over_budget:
            self._share = min(max(0.5, 2 * before), self.settings.most_back_off)
            if not before:
                self.record(f"the camera app needs {app.p95_ms:.0f} ms of its {app.budget_ms:.0f} ms budget; learning goes slower")
        else:
            self._share = before / 2 if before > 0.5 else 0.0

    def _hold_back(self, step_s: float) -> None:
        if self._share > 0:
            self._sleep(min(step_s * self._share, self.settings.longest_back_off_s))


@contextmanager
def listening(guard: Guard) -> Iterator[None]:
    """During the body Ctrl-C and SIGTERM ask the guard to stop; a second one ends the process at once, and the store stays whole.

    Does nothing outside of the main thread, where Python delivers no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        guard.stop("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def seconds_until(at: clock_time, now: datetime) -> float:
    """From `now` to the next time that the clock shows `at`; 0 when it does now."""
    then = datetime.combine(now.date(), at, now.tzinfo)
    if then < now.replace(second=0, microsecond=0):
        then += timedelta(days=1)
    return max(0.0, (then - now).total_seconds())
