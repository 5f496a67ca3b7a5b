"""A disk without room. The 50 levels are benchmarks/full_disk.py."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from edgecl.errors import NoSpace
from edgecl.store.space import require_space
from tests.crash.full_disk import run_with, small_disk, unchecked

LEARN, EXPORT, APPLY = "learn --task {}/more --epochs 1 --threads 1", "export --onnx", "apply {}/task.edgecl"


@pytest.fixture(scope="module")
def disk(bench: Path) -> Path:
    """Where a small tmpfs can be mounted."""
    try:
        with small_disk(bench / "disk", 2**20):
            return bench / "disk"
    except OSError as error:
        pytest.skip(f"needs the right to mount a tmpfs ({error})")


def check(template: Path, command: str, left: int, disk: Path, *, looked: bool) -> int:
    """Run with so many bytes left; the store is whole, and 7 comes with a sentence. Returns the exit code."""
    with nullcontext() if looked else unchecked():
        code, said, wrong = run_with(template, command, left, disk)
    assert wrong == ""
    assert code in (0, 7)
    assert code == 0 or "ree some space" in said
    return code


@pytest.mark.parametrize("command", [LEARN, EXPORT])
def test_a_full_disk_is_seen_before_the_work(command: str, template: Path, disk: Path) -> None:
    """Exit code 7 with what is needed and what is there."""
    with unchecked():
        pass  # what is not inside of it looks at the disk
    code, said, wrong = run_with(template, command, 300_000, disk)
    assert (code, wrong) == (7, "")
    assert "MiB are free. Nothing was changed. Free some space, for example with: edgecl gc" in said
    assert "step" not in said


@pytest.mark.parametrize("command", [LEARN, EXPORT, APPLY])
def test_a_disk_that_fills_up_in_the_middle_breaks_nothing(command: str, template: Path, disk: Path) -> None:
    """Exit code 7, the versions and the current one as they were, nothing in tmp/ that the next command does not remove."""
    assert check(template, command, 40_000, disk, looked=False) == 7


@pytest.mark.slow
@pytest.mark.parametrize("command", [LEARN, EXPORT, APPLY])
def test_many_levels_of_a_full_disk(command: str, template: Path, disk: Path) -> None:
    """From nothing to enough."""
    codes = [check(template, command, level * 16_384, disk, looked=False) for level in range(18)]
    assert codes == sorted(codes, reverse=True)
    assert set(codes) == {0, 7}


def test_room_is_looked_for_where_the_place_will_be(tmp_path: Path) -> None:
    """A folder that is not there yet counts as its first parent that is; the message holds both figures."""
    require_space(tmp_path / "a" / "b", 1, "writing")
    with pytest.raises(NoSpace, match=r"^writing needs \d+\.\d MiB on the disk of .*, but \d+\.\d MiB are free"):
        require_space(tmp_path / "a" / "b", 2**60, "writing")
