"""Has something happened to a camera? Darkness and blur of its picture, and answers that are unknown more often than they were."""

import statistics
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgecl.runtime.live import HourCounts, LiveView
from edgecl.runtime.looks import BLURRED, BRIGHT, DARK, Looks, looks

LOOK_EVERY_S = 1.0
PERSISTENT = 10  # looks in a row before there is an alarm: a hand before the lens is none
REFERENCES = 720  # looks, one a minute, that say how sharp this camera usually is
USUAL_PART = 0.25  # of its usual sharpness; below it something is in front of the lens or the focus is gone
ENOUGH = 50  # answers of an hour before its rate says anything
RISE = 0.2  # of the unknown rate


@dataclass
class _Camera:
    last_index: int = -1
    recent: deque[Looks] = field(default_factory=lambda: deque(maxlen=PERSISTENT))
    usual: deque[float] = field(default_factory=lambda: deque(maxlen=REFERENCES))
    looks: int = 0


class Watch:
    """Looks at each camera's newest frame once a second, in a thread of its own between `start` and `stop`."""

    def __init__(self, view: LiveView, *, every_s: float = LOOK_EVERY_S) -> None:
        self._view = view
        self._every_s = every_s
        self._cameras = {name: _Camera() for name in view.cameras()}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgecl-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the thread."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self.look()

    def look(self) -> None:
        """Take in the newest frame of each camera, unless it was seen before."""
        for name, camera in self._cameras.items():
            found = self._view.latest(name)
            if found is None or found[0].index == camera.last_index:
                continue
            measured = looks(found[0].rgb)
            with self._lock:
                camera.last_index = found[0].index
                camera.recent.append(measured)
                if camera.looks % 60 == 0 and not measured.fault:
                    camera.usual.append(measured.sharpness)
                camera.looks += 1

    def measured(self, name: str) -> Looks | None:
        """The newest measurement of a camera."""
        with self._lock:
            recent = self._cameras[name].recent
            return recent[-1] if recent else None

    def alarms(self, name: str) -> list[str]:
        """What is wrong with a camera's picture, as sentences."""
        with self._lock:
            recent, usual = list(self._cameras[name].recent), list(self._cameras[name].usual)
        if len(recent) < PERSISTENT:
            return []
        if all(each.brightness < DARK for each in recent):
            return ["The picture is dark: is the light on, is the lens free?"]
        if all(each.brightness > BRIGHT for each in recent):
            return ["The picture is too bright: does something shine into the lens?"]
        limit = max(BLURRED, USUAL_PART * statistics.median(usual)) if usual else BLURRED
        if all(each.sharpness < limit for each in recent):
            return ["The picture is blurred: is the lens clean, is it in focus?"]
        return []


def drift_alarms(hours: Sequence[HourCounts]) -> list[str]:
    """Whether the newest full enough hour of one camera has clearly more unknown answers than the hours before."""
    told = [hour for hour in hours if hour.answers >= ENOUGH]
    if len(told) < 2:
        return []
    *before, now = sorted(told, key=lambda hour: -hour.hours_ago)
    rate = sum(hour.unknown for hour in before) / sum(hour.answers for hour in before)
    if now.unknown_rate - rate < RISE:
        return []
    return [f"{now.unknown_rate:.0%} of the answers are unknown, before it were {rate:.0%}: does the camera see something new?"]
