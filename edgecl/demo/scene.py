"""`test://`: a camera that draws what it sees, for trying the app out without one. Every few seconds another thing lies under it."""

import time
import urllib.parse
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgecl.demo.render import THINGS, render
from edgecl.errors import UsageError
from edgecl.runtime.base import Frame, wall_time

SIZE = 320  # pixels, square
FPS = 25
SECONDS = 4  # that one thing stays
MARGIN = 1.2  # how much larger the drawn picture is than what the moving camera sees of it


class SceneCamera:
    """A live `Camera`: `test://` shows all things that edgecl draws, `test://gear,apple?fps=15&size=224&seconds=2` what one likes.

    Frame `i` is the same picture in each run.

    Raises:
        UsageError: a thing that nobody can draw, or an option that makes no sense.
    """

    def __init__(self, description: str = "") -> None:
        names, _, query = description.partition("?")
        options = {"fps": FPS, "size": SIZE, "seconds": SECONDS} | _options(query)
        self._things = tuple(name for name in names.split(",") if name) or THINGS
        for thing in self._things:
            if thing not in THINGS:
                raise UsageError(f"there is no thing {thing!r} to draw. Choose from {', '.join(THINGS)}.")
        self._fps, self._size, self._seconds = options["fps"], options["size"], options["seconds"]
        self._index = 0
        self._start_s = time.monotonic()
        self._closed = False

    def read(self) -> Frame | None:
        """The next frame, at its time; None after `close`."""
        if self._closed:
            return None
        due_s = self._start_s + self._index / self._fps
        time.sleep(max(0.0, due_s - time.monotonic()))
        frame = Frame(self.picture(self._index), time.monotonic_ns(), wall_time(), "test", self._index)
        self._index += 1
        return frame

    def picture(self, index: int) -> NDArray[np.uint8]:
        """`[size, size, 3]`: what frame `index` shows."""
        turn, step = divmod(index, self._fps * self._seconds)
        drawn = _drawn(self._things[turn % len(self._things)], turn, round(MARGIN * self._size))
        room = len(drawn) - self._size
        angle = 2 * np.pi * step / (self._fps * self._seconds)
        top, left = (round(room * (1 + wave) / 2) for wave in (np.sin(angle), np.cos(angle)))
        return np.ascontiguousarray(drawn[top : top + self._size, left : left + self._size])

    def close(self) -> None:
        """End; may be called twice."""
        self._closed = True


@lru_cache(maxsize=4)
def _drawn(thing: str, seed: int, size: int) -> NDArray[np.uint8]:
    return render(thing, seed=seed, size=size)


def _options(query: str) -> dict[str, int]:
    limits = {"fps": (1, 240), "size": (32, 2048), "seconds": (1, 3600)}
    found = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    for name, value in found.items():
        low, high = limits.get(name, (0, 0))
        if name not in limits or not value.isdigit() or not low <= int(value) <= high:
            allowed = ", ".join(f"{option} from {least} to {most}" for option, (least, most) in limits.items())
            raise UsageError(f"{name}={value} is no option of test://. Use {allowed}, as in test://gear,apple?fps=15")
    return {name: int(value) for name, value in found.items()}
