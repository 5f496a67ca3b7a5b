"""Every error that edgecl raises on purpose, with the exit code the command line gives it.

    EdgeclError                 1   a bug, when nothing below fits
    ├── UsageError              2   the arguments do not make sense together
    ├── Refused                 3   a check said no and nothing was promoted
    │   ├── GateFailed
    │   ├── ParityFailed
    │   └── EngineUnusable
    │       └── GpuFailed
    ├── BadInput                4   a file, folder or value that was handed in is not usable
    │   ├── BadPictures
    │   ├── BadWeights
    │   ├── BadSettings
    │   ├── UnsupportedBackbone
    │   └── (CameraLost, UnreadablePicture: beside what raises them)
    ├── StoreBusy               5   another process holds the store's lock
    ├── StoreDamaged            6   the store's own files contradict each other
    ├── NoSpace                 7   the disk is full
    ├── MissingExtra            8   a package or a piece of hardware is not there
    └── Interrupted           130   stopped by the user or the system; nothing was lost

Each message holds the value that was met, what was expected, and the remedy.
"""

from collections.abc import Collection

SHOWN = 3  # names in a message; more are counted


def few(names: Collection[str]) -> str:
    """The first of them in a row, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(list(names)[:SHOWN]) + more


class EdgeclError(Exception):
    """Base of every deliberate error; `exit_code` is what the process returns."""

    exit_code = 1


class UsageError(EdgeclError):
    """Arguments that contradict each other or name something that cannot be asked for."""

    exit_code = 2


class Refused(EdgeclError):
    """A safety check said no. Nothing was promoted; what was serving still serves."""

    exit_code = 3


class GateFailed(Refused):
    """The new version forgets too much of the old classes to be served."""


class ParityFailed(Refused):
    """Two forms of one model (torch, merged, ONNX Runtime, engine) do not agree."""


class EngineUnusable(Refused):
    """A TensorRT engine cannot be served, or not with this version. What was serving still serves."""


class GpuFailed(EngineUnusable):
    """The GPU or its driver reports an error, such as short memory; the engine may be sound."""


class BadInput(EdgeclError):
    """Something the user handed in cannot be used."""

    exit_code = 4


class BadPictures(BadInput):
    """A task folder without anything that can be learned from."""


class BadWeights(BadInput):
    """A weights file that is not what its name or its use promises."""


class BadSettings(BadInput):
    """settings.toml, an environment variable or a device profile holds an unusable value."""


class UnsupportedBackbone(BadInput):
    """A backbone that the graph writer does not know."""


class StoreBusy(EdgeclError):
    """Another process is changing the store."""

    exit_code = 5


class StoreDamaged(EdgeclError):
    """A file of the store is missing, changed or of an unknown format."""

    exit_code = 6


class NoSpace(EdgeclError):
    """The file system of the store is full."""

    exit_code = 7


class MissingExtra(EdgeclError):
    """A package of an extra is not installed, or the hardware is not there."""

    exit_code = 8

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> "MissingExtra":
        """Name the missing package, what needs it, and the line that installs it."""
        return cls(f"{purpose} needs the package '{package}', which is not installed. Install it with: pip install 'edgecl[{extra}]'")


class Interrupted(EdgeclError):
    """Stopped on request before the result was complete."""

    exit_code = 130
