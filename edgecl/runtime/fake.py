"""A camera, a model and a running app without hardware, for tests, docs and trying things out on a laptop."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.layout import FREE_BIAS
from edgecl.runtime.base import Frame, Prediction
from edgecl.runtime.live import CameraStatus, HourCounts, LiveStatus

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


class FakeLiveView:
    """A `LiveView` of an app that does not run: it shows what it is given.

        view = FakeLiveView(("bench",))
        view.show("bench", frame, prediction)    # wakes `wait_newer`, is counted in `recent` and `status`
        view.answer_ask = lambda rgb: prediction # what `ask` answers; None while the engine has no time

    Its hour never passes, its uptime is 0, and a camera that was shown something is running, any other one waits.
    """

    def __init__(self, cameras: Sequence[str] = ("fake",), *, version: int = 0) -> None:
        self._cameras = tuple(cameras)
        self._version = version
        self._shown: dict[str, list[tuple[Frame, Prediction]]] = {name: [] for name in cameras}
        self._changed = threading.Condition()
        self.answer_ask: Callable[[NDArray[np.uint8]], Prediction | None] = lambda rgb: None

    def show(self, camera: str, frame: Frame, prediction: Prediction) -> None:
        """Make these the newest of `camera`; the answer's version becomes the app's."""
        with self._changed:
            self._shown[camera].append((frame, prediction))
            self._version = prediction.version
            self._changed.notify_all()

    def cameras(self) -> tuple[str, ...]:
        """The names that it was made with."""
        return self._cameras

    def latest(self, camera: str) -> tuple[Frame, Prediction] | None:
        """What was shown last."""
        shown = self._shown.get(camera)
        return shown[-1] if shown else None

    def wait_newer(self, camera: str, than_index: int, timeout_s: float) -> tuple[Frame, Prediction] | None:
        """What is shown with another index than this one, within the time."""

        def newer() -> bool:
            found = self.latest(camera)
            return found is not None and found[0].index != than_index

        with self._changed:
            return self.latest(camera) if self._changed.wait_for(newer, timeout_s) else None

    def ask(self, rgb: NDArray[np.uint8], timeout_s: float) -> Prediction | None:
        """What `answer_ask` says; never waits."""
        return self.answer_ask(rgb)

    def status(self) -> LiveStatus:
        """As of an app that just started; latencies are those of the shown answers."""
        answers = [prediction for shown in self._shown.values() for _, prediction in shown]
        p50, p95 = map(float, np.percentile([each.latency_ms for each in answers], (50, 95))) if answers else (None, None)
        return LiveStatus(
            version=self._version,
            runtime="fake",
            provider="fake",
            cameras={name: self._status(name) for name in self._cameras},
            latency_p50_ms=p50,
            latency_p95_ms=p95,
            frames=len(answers),
            swaps=0,
            last_swap_gap_ms=None,
            last_swap_fault=None,
            started=WALL_TIME,
            uptime_s=0.0,
        )

    def _status(self, camera: str) -> CameraStatus:
        count = len(self._shown[camera])
        return CameraStatus(
            state="running" if count else "waiting",
            fps=1e9 / FRAME_NS if count else 0.0,
            frame_age_s=0.0 if count else None,
            frames=count,
            dropped=0,
            skipped=0,
            reconnects=0,
            last_fault=None,
        )

    def recent(self) -> tuple[HourCounts, ...]:
        """One hour with everything that was shown."""
        return tuple(
            HourCounts(
                camera=name,
                hours_ago=0,
                begun=WALL_TIME,
                answers=len(shown),
                unknown=sum(prediction.unknown for _, prediction in shown),
                mean_score=sum(prediction.score for _, prediction in shown) / len(shown),
                classes=Counter(prediction.label for _, prediction in shown if not prediction.unknown),
            )
            for name, shown in self._shown.items()
            if shown
        )
