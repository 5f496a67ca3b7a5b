"""How the machine itself is: temperature, memory, disk. Read from Linux' own files; what a machine does not tell is None."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ZONES = Path("/sys/class/thermal")
MEMORY = Path("/proc/meminfo")
PROCESS = Path("/proc/self/statm")


@dataclass(frozen=True)
class Board:
    """The machine at this moment."""

    temperature_c: float | None  # of its hottest zone
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    process_bytes: int | None  # resident memory of this process
    disk_free_bytes: int | None  # where the store lies


def board(store: Path, *, zones: Path = ZONES, memory: Path = MEMORY, process: Path = PROCESS) -> Board:
    """Look at the machine on which the store in `store` lies."""
    total, available = _memory(memory)
    return Board(_temperature(zones), total, available, _resident(process), _free(store))


def _temperature(zones: Path) -> float | None:
    found = []
    for path in zones.glob("thermal_zone*/temp"):
        with suppress(OSError, ValueError):  # a zone that is switched off cannot be read
            found.append(int(path.read_text()) / 1000)
    plausible = [value for value in found if -60 < value < 200]  # some drivers say -256 for "no sensor"
    return max(plausible, default=None)


def _memory(path: Path) -> tuple[int | None, int | None]:
    with suppress(OSError, ValueError):
        fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
        total, available = (int(fields[name].split()[0]) * 1024 if name in fields else None for name in ("MemTotal", "MemAvailable"))
        return total, available
    return None, None


def _resident(path: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def _free(path: Path) -> int | None:
    with suppress(OSError):
        return shutil.disk_usage(path).free
    return None
