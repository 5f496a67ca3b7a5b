"""A camera and a model without hardware, for tests, docs and trying out an app on a laptop."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.layout import FREE_BIAS
from edgecl.runtime.base import Frame

FRAME_NS = 40_000_000  # the fake camera's clock: 25 frames per second
WALL_TIME = "2000-01-01T00:00:00+00:00"


class FakePredictor:
    """A `Predictor` that answers from the mean colour: rows 0, 1, 2 stand for red, green, blue, all other rows are free.

    Hand in `answer`, a function from pictures `[b, h, w, 3]` to logits `[b, capacity]`, for anything else. In a test:

        predictor = FakePredictor()
        predictor.load(folder)                                # noted in predictor.loads
        predictor.infer(pictures)                             # its shape noted in predictor.batches
        predictor.fail_on_infer = StoreDamaged("engine gone") # from now on infer raises this; fail_on_load likewise

    Features are the mean rgb in [0, 1], `[b, 3]`.
    """

    def __init__(self, answer: Callable[[NDArray[np.uint8]], NDArray[Any]] | None = None, *, capacity: int = 16) -> None:
        self._answer = answer
        self._capacity = capacity
        self.loads: list[Path] = []
        self.batches: list[tuple[int, ...]] = []
        self.fail_on_load: Exception | None = None
        self.fail_on_infer: Exception | None = None
        self.closed = False

    def load(self, folder: Path) -> None:
        """Note the folder; nothing is read. Raises `fail_on_load` where one is set, and notes nothing then."""
        if self.fail_on_load is not None:
            raise self.fail_on_load
        self.loads.append(folder)

    def infer(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`[b, h, w, 3]` of any size -> (logits `[b, capacity]`, mean rgb `[b, 3]`). Raises `fail_on_infer` where one is set."""
        self.batches.append(pictures.shape)
        if self.fail_on_infer is not None:
            raise self.fail_on_infer
        features = (pictures.mean(axis=(1, 2)) / 255).astype(np.float32)
        if self._answer is not None:
            return self._answer(pictures).astype(np.float32), features
        logits = np.full((len(pictures), self._capacity), FREE_BIAS, np.float32)
        logits[:, :3] = 20 * features
        return logits, features

    def close(self) -> None:
        """Note that it was called."""
        self.closed = True


class FakeCamera:
    """A `Camera` that plays `frames` and then ends: pictures `[h, w, 3]` uint8, whole `Frame`s, or exceptions, which `read` raises.

        camera = FakeCamera([red, UnreadablePicture("frame 1 is torn"), blue])

    Its clock is made up: 40 ms per frame from 0, always the same date.
    """

    def __init__(self, frames: Iterable[NDArray[np.uint8] | Frame | Exception], source: str = "fake") -> None:
        self._frames = enumerate(frames)
        self._source = source
        self.closed = False

    def read(self) -> Frame | None:
        """The next frame, or None at the end or after `close`."""
        index, item = next(self._frames, (0, None)) if not self.closed else (0, None)
        if isinstance(item, Exception):
            raise item
        if isinstance(item, np.ndarray):
            return Frame(item, FRAME_NS * index, WALL_TIME, self._source, index)
        return item

    def close(self) -> None:
        """Note that it was called; `read` answers None from now on."""
        self.closed = True
