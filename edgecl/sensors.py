"""What learning can find out about the board it runs on: free memory, temperature, and how the camera app is doing.

`Sensors` is the seam. `BoardSensors` reads Linux's files below a root folder, so that a recorded board is a folder; `FakeSensors` is told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_PLAUSIBLE_C = (-40.0, 130.0)  # switched-off zones read -256 or 0 K


@dataclass(frozen=True)
class AppLatency:
    """What the camera app last said of itself."""

    p95_ms: float
    budget_ms: float

    @property
    def over_budget(self) -> bool:
        """Whether the app is too slow now."""
        return self.p95_ms > self.budget_ms


class Sensors(Protocol):
    """Each answers None where the board does not tell."""

    def available_bytes(self) -> int | None:
        """Memory that a process can still get without swapping."""

    def temperature_c(self) -> float | None:
        """Of the hottest part."""

    def app(self) -> AppLatency | None:
        """Of the camera app on the same board; None also when it has not spoken lately."""


class BoardSensors:
    """A Linux board. `app` reads the app's latency, see `edgecl.runtime.latency`."""

    def __init__(self, root: Path = Path("/"), app: Callable[[], AppLatency | None] = lambda: None) -> None:
        self._root, self.app = root, app

    def available_bytes(self) -> int | None:
        """MemAvailable of /proc/meminfo."""
        for line in _text(self._root / "proc" / "meminfo").splitlines():
            name, _, rest = line.partition(":")
            number = rest.split()[:1]
            if name == "MemAvailable" and number and number[0].isdecimal():
                return int(number[0]) * 1024
        return None

    def temperature_c(self) -> float | None:
        """The highest of /sys/class/thermal/thermal_zone*/temp, which holds thousandths of a degree.

        Zones of the power management chip are left out: Jetsons report a constant 100 degrees there.
        """
        found = []
        zones = self._root / "sys" / "class" / "thermal"
        for zone in sorted(zones.glob("thermal_zone*")):
            try:
                degrees = int(_text(zone / "temp").strip()) / 1000
            except ValueError:
                continue
            if "pmic" not in _text(zone / "type").lower() and _PLAUSIBLE_C[0] < degrees < _PLAUSIBLE_C[1] and degrees != 0:
                found.append(degrees)
        return max(found, default=None)


class FakeSensors:
    """Says what its attributes hold; change them as the board would."""

    def __init__(self, *, memory: int | None = None, heat_c: float | None = None, latency: AppLatency | None = None) -> None:
        self.memory, self.heat_c, self.latency = memory, heat_c, latency

    def available_bytes(self) -> int | None:
        """As told."""
        return self.memory

    def temperature_c(self) -> float | None:
        """As told."""
        return self.heat_c

    def app(self) -> AppLatency | None:
        """As told."""
        return self.latency


def _text(path: Path) -> str:
    """The content of one of the kernel's files; empty where there is none, or it cannot be read now."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(65536)
    except OSError:
        return ""
