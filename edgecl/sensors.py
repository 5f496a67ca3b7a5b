"""What learning can find out about the board it runs on: free memory, temperature, and how the camera app is doing.

`Sensors` is the seam. `BoardSensors` reads Linux's files below a root folder, so that a recorded board is a folder; `FakeSensors` is told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgecl.device import read_memory, read_temperatures

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
        """MemAvailable of /proc/meminfo, to the MiB."""
        memory = read_memory(self._root)
        return None if memory is None else memory.available_mib * 2**20

    def temperature_c(self) -> float | None:
        """Of the hottest thermal zone.

        Zones of the power management chip are left out: Jetsons report a constant 100 degrees there. So is what is switched off.
        """
        zones = read_temperatures(self._root).items()
        return max(
            (c for name, c in zones if "pmic" not in name.lower() and _PLAUSIBLE_C[0] < c < _PLAUSIBLE_C[1] and c != 0), default=None
        )


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
