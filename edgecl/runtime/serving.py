"""Which version answers: the seam between the app's loop and whoever loads versions. `edgecl.runtime.hotswap` follows a store."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from edgecl.errors import EdgeclError
from edgecl.manifest import Manifest
from edgecl.runtime.base import Predictor


@dataclass(frozen=True)
class Served:
    """A loaded version."""

    manifest: Manifest
    predictor: Predictor
    release: ExitStack = field(default_factory=ExitStack)  # closes the predictor and lets gc have the version's files

    @property
    def number(self) -> int:
        """Of the version."""
        return self.manifest.number

    @property
    def runtime(self) -> str:
        """What the predictor runs in now; it may go over to an engine that has become ready."""
        return str(getattr(self.predictor, "runtime", "onnxruntime"))

    @property
    def provider(self) -> str:
        """ONNX Runtime's provider, or the file name of the engine."""
        return str(getattr(self.predictor, "provider", "CPUExecutionProvider"))


@dataclass(frozen=True)
class Swaps:
    """What became of versions that should take over."""

    count: int = 0
    last_gap_ms: float | None = None  # between the old version's last answer and the new one's first
    last_fault: str | None = None  # None after a swap that went well


class Serving(Protocol):
    """What the app's loop asks before and after each frame."""

    now: Served
    swaps: Swaps

    def turn(self) -> bool:
        """Between two frames: let a version that is ready take over; returns whether one did."""
        ...

    def answered(self) -> None:
        """The version that serves has answered a frame as it should."""
        ...

    def broke(self, error: EdgeclError) -> None:
        """The version that serves failed on a frame: another one serves when this returns.

        Raises:
            EdgeclError: `error`, when there is no other.
        """
        ...


class FixedServing:
    """One version from the first frame to the last."""

    def __init__(self, predictor: Predictor, manifest: Manifest) -> None:
        self.now = Served(manifest, predictor)
        self.swaps = Swaps()

    def turn(self) -> bool:
        """Nothing ever takes over."""
        return False

    def answered(self) -> None:
        """Nothing is noted."""

    def broke(self, error: EdgeclError) -> None:
        """There is no other version."""
        raise error
