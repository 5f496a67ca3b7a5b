"""What a running app tells of itself, to the page and to whoever asks: the newest answers, how it is, and what it has seen lately.

`edgecl.runtime.ledger.Ledger` is the app's own; `edgecl.runtime.fake.FakeLiveView` plays one without an app.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgecl.runtime.base import Frame, Prediction

CameraState = Literal["running", "waiting", "ended"]


@dataclass(frozen=True, kw_only=True)
class CameraStatus:
    """One camera at this moment."""

    state: CameraState  # waiting: for the first frame, or for a camera that is gone; ended: a file or folder is through
    fps: float  # answers per second, over the last seconds
    frame_age_s: float | None  # since the newest frame came; None before the first
    frames: int  # answered
    dropped: int  # frames that a newer one replaced before the engine had time for them
    skipped: int  # frames that could not be decoded
    reconnects: int  # how often the camera was opened again
    last_fault: str | None  # what went wrong last, as a sentence; it stays after the recovery


@dataclass(frozen=True, kw_only=True)
class LiveStatus:
    """The whole app at this moment; `to_json` is what the page and `/healthz` show."""

    version: int  # that answers
    runtime: str  # of the engine, e.g. onnxruntime
    provider: str  # of the runtime, e.g. CPUExecutionProvider
    cameras: Mapping[str, CameraStatus]
    latency_p50_ms: float | None  # from the decoded frame to the answer, over the last frames; None before the first
    latency_p95_ms: float | None
    frames: int  # answered, all cameras
    swaps: int  # versions that replaced another one without a stop
    last_swap_gap_ms: float | None  # between the last answer of the old version and the first one of the new
    last_swap_fault: str | None  # why the last version that should have been served was not; None after a good swap
    started: str  # wall time, ISO 8601
    uptime_s: float

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self) | {"cameras": {name: asdict(camera) for name, camera in self.cameras.items()}}


@dataclass(frozen=True, kw_only=True)
class HourCounts:
    """What one camera showed in one hour: what drift is seen from."""

    camera: str
    hours_ago: int  # 0: the running hour, by the monotonic clock; a board's wall clock may jump
    begun: str  # wall time of the hour's first answer
    answers: int
    unknown: int  # answers below the threshold of their version
    mean_score: float  # of the best class, unknown or not, 0..1
    classes: Mapping[str, int]  # label -> answers that were not unknown; `_background` among them

    @property
    def unknown_rate(self) -> float:
        """0..1; an hour without an answer is never listed."""
        return self.unknown / self.answers

    def to_json(self) -> dict[str, Any]:
        """The fields and the rate as plain JSON values."""
        return asdict(self) | {"classes": dict(self.classes), "unknown_rate": self.unknown_rate}


class LiveView(Protocol):
    """A look into the running app from any thread. Nothing here waits for the engine but `ask` and `wait_newer`."""

    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras in the order in which they were given."""
        ...

    def latest(self, camera: str) -> tuple[Frame, Prediction] | None:
        """The newest answered frame (already cut to the camera's region) and its answer; None before the first, or no such camera."""
        ...

    def wait_newer(self, camera: str, than_index: int, timeout_s: float) -> tuple[Frame, Prediction] | None:
        """As `latest`, once its frame's index differs from `than_index` (use -1 for any); None after `timeout_s`, or at the app's end."""
        ...

    def ask(self, rgb: NDArray[np.uint8], timeout_s: float) -> Prediction | None:
        """Answer a picture `[h, w, 3]` that came from elsewhere, between two frames; None when the engine had no time in `timeout_s`.

        It is neither smoothed, counted nor announced. Its source is `ask`, its index 0.

        Raises:
            EdgeclError: what the engine said of this picture.
        """
        ...

    def status(self) -> LiveStatus:
        """How the app is."""
        ...

    def recent(self) -> tuple[HourCounts, ...]:
        """Counts of each camera and hour of the last two days, oldest first; hours without an answer are left out."""
        ...
