"""What a board's files say of memory and heat. The recordings are written after the kernel's documentation, not taken from boards."""

from pathlib import Path

import pytest

from edgecl.sensors import AppLatency, BoardSensors, FakeSensors

MEMINFO = "MemTotal:        7772652 kB\nMemFree:          512340 kB\nMemAvailable:    3145728 kB\nSwapTotal:             0 kB\n"


def board(root: Path, meminfo: str | None = MEMINFO, **zones: str) -> BoardSensors:
    """A root folder with these files; a zone is `type` and `temp`."""
    if meminfo is not None:
        (root / "proc").mkdir()
        (root / "proc" / "meminfo").write_text(meminfo)
    for index, (kind, temp) in enumerate(zones.items()):
        zone = root / "sys" / "class" / "thermal" / f"thermal_zone{index}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind.replace('_', '-')}\n")
        (zone / "temp").write_text(f"{temp}\n")
    return BoardSensors(root)


def test_available_memory_is_what_the_kernel_calls_so(tmp_path: Path) -> None:
    """MemAvailable, not MemFree, in bytes."""
    assert board(tmp_path).available_bytes() == 3 * 2**30


@pytest.mark.parametrize("meminfo", [None, "", "MemAvailable:", "MemAvailable: many kB", "\x00\xff"])
def test_a_board_that_does_not_tell_its_memory(tmp_path: Path, meminfo: str | None) -> None:
    """Missing, empty and garbled files give None."""
    assert board(tmp_path, meminfo).available_bytes() is None


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    """In degrees; the power chip's constant 100, zones that are switched off, and garbage do not."""
    zones = {"CPU_therm": "61500", "GPU_therm": "63250", "PMIC_Die": "100000", "cv0_thermal": "-256000", "odd": "warm", "off": "0"}
    assert board(tmp_path, **zones).temperature_c() == 63.25


def test_a_board_without_zones_has_no_temperature(tmp_path: Path) -> None:
    """None, and so no pause."""
    assert board(tmp_path).temperature_c() is None


def test_the_app_is_over_its_budget_or_not() -> None:
    """At the budget it is not; the fake says what it is told."""
    assert not AppLatency(33.0, 33.0).over_budget
    assert AppLatency(33.1, 33.0).over_budget
    fake = FakeSensors(memory=5, heat_c=40.0, latency=AppLatency(1.0, 2.0))
    assert (fake.available_bytes(), fake.temperature_c(), fake.app()) == (5, 40.0, AppLatency(1.0, 2.0))
