"""The seams between edgecl and the hardware. Each has a shipped fake in `edgecl.runtime.fake`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import BadInput


class CameraLost(BadInput):
    """A live camera is not there, or gives nothing any more. Opening it again later may help."""


@dataclass(frozen=True)
class Frame:
    """One picture from a camera, file or folder."""

    rgb: NDArray[np.uint8]  # [h, w, 3]
    captured_ns: int  # monotonic clock
    wall_time: str  # ISO 8601 with offset; may be wrong on a board without a clock
    source: str
    index: int  # 0-based within the source


def wall_time() -> str:
    """Now, as `Frame.wall_time` tells it."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


class Camera(Protocol):
    """A source of frames."""

    def read(self) -> Frame | None:
        """The next frame, or None when the source has ended.

        Raises:
            UnreadablePicture: this one frame cannot be decoded; the next `read` goes on behind it.
            CameraLost: nothing comes any more; close it, wait, and open it again.
        """
        ...

    def close(self) -> None:
        """Give the device back. May be called twice."""
        ...


class Predictor(Protocol):
    """One loaded version of the model on some engine."""

    def load(self, folder: Path) -> None:
        """Load the version in `folder` (`model.onnx`, `weights.safetensors`); what was loaded before is replaced only on success."""
        ...

    def infer(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`[b, h, w, 3]` rgb at the model's input size -> (logits `[b, capacity]`, features `[b, d]`)."""
        ...

    def close(self) -> None:
        """Free the engine. May be called twice."""
        ...


@dataclass(frozen=True)
class Prediction:
    """What one frame was answered with; the object that `run --json` prints."""

    source: str
    index: int
    time: str
    label: str
    class_id: str
    score: float  # softmax over used rows
    unknown: bool
    top: tuple[tuple[str, float], ...]
    version: int
    latency_ms: float

    def to_json(self) -> dict[str, Any]:
        """Fields in the fixed order of `edgecl.prediction/1`."""
        return {
            "format": "edgecl.prediction/1",
            "source": self.source,
            "index": self.index,
            "time": self.time,
            "label": self.label,
            "class_id": self.class_id,
            "score": self.score,
            "unknown": self.unknown,
            "top": [list(pair) for pair in self.top],
            "version": self.version,
            "latency_ms": self.latency_ms,
        }
