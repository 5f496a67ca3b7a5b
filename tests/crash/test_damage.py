"""One changed byte anywhere. The 10 000 are benchmarks/byte_changes.py."""

import random
import shutil
from pathlib import Path

import pytest

from edgecl.store import Store
from edgecl.store.finding import RESTORE
from edgecl.store.verify import verify
from tests.crash.damage import COMMANDS, UNHASHED, Change, answer, changed, draw, files_of, is_found, put, tried


@pytest.fixture(scope="module")
def place(template: Path, bench: Path) -> Path:
    """A copy of the store with an export in it."""
    shutil.copytree(template, bench / "damage", symlinks=True)
    assert answer("export --onnx", bench / "damage")[0] == 0
    return bench / "damage"


def missed(place: Path, changes: int, seed: int) -> list[Change]:
    """Random changes that verify does not find."""
    root, draw_from = place / "model", random.Random(seed)
    hashed = [path for path in files_of(root) if path.name not in UNHASHED]
    found = []
    for _ in range(changes):
        change = draw(root, hashed, draw_from)
        with changed(root, change):
            if not is_found(root, change):
                found.append(change)
    return found


def test_any_changed_byte_is_found(place: Path) -> None:
    """In every file but settings.toml."""
    assert missed(place, 120, seed=1) == []
    assert verify(Store.open(place / "model"), deep=True) == []


@pytest.mark.slow
def test_very_many_changed_bytes_are_found(place: Path) -> None:
    """The same with more of them."""
    assert missed(place, 1500, seed=2) == []


@pytest.mark.parametrize("name", ["edgecl.json", "state.json", "versions/000001/run.json", "versions/000001/manifest.json", "exports"])
def test_each_byte_of_a_json_file_is_found(place: Path, name: str) -> None:
    """Also a space that becomes a line end, and a digit of the format's number."""
    root = place / "model"
    path = next((root / "exports").rglob("export.json")) if name == "exports" else root / name
    data = path.read_bytes()
    for offset in [*range(0, len(data), 131), data.index(b"/2" if b"/2" in data else b"/1") + 1, data.index(b" "), len(data) - 1]:
        for value in {data[offset] ^ 3, 32 if data[offset] != 32 else 10} - {data[offset]}:
            change = Change(str(path.relative_to(root)), offset, value)
            with changed(root, change):
                assert is_found(root, change), change


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith(("learn", "export", "forget"))])
def test_no_command_ends_in_a_traceback(command: str, place: Path) -> None:
    """Whatever file the change is in, the answer is a sentence or the work is done."""
    draw_from = random.Random(command)
    for _ in range(3):
        assert tried(command, place, draw(place / "model", files_of(place / "model"), draw_from)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_ends_in_a_traceback_after_many(command: str, place: Path) -> None:
    """The same with more of them, learning among them."""
    draw_from = random.Random(f"{command} again")
    for _ in range(12):
        assert tried(command, place, draw(place / "model", files_of(place / "model"), draw_from)) == ""


def test_an_export_is_verified_by_what_it_says_of_itself(place: Path) -> None:
    """A changed file of it is damage, and the remedy is to export again; a killed export's leftover is untidy."""
    root = place / "model"
    labels = next((root / "exports").rglob("labels.txt"))
    left = labels.parent.with_name(".onnx-opset18-fp32.making-0123456789ab")
    left.mkdir()
    with changed(root, Change(str(labels.relative_to(root)), 0, 0)):
        findings = {finding.path: finding for finding in verify(Store.open(root), deep=True)}
    left.rmdir()
    export, leftover = findings[str(labels.relative_to(root))], findings[str(left.relative_to(root))]
    assert (export.damage, export.remedy) == (True, "Delete the folder and export it again: edgecl export")
    assert (leftover.damage, leftover.problem) == (False, "left by an export that was interrupted")
    assert RESTORE not in export.remedy


def test_what_no_version_names_is_looked_at_but_no_damage(place: Path) -> None:
    """A torn picture that a killed learn left behind."""
    root = place / "model"
    path = root / "memory" / ("0" * 64 + ".jpg")
    path.write_bytes(b"torn")
    [finding] = verify(Store.open(root), deep=True)
    path.unlink()
    assert (finding.path, finding.damage) == (f"memory/{path.name}", False)
    assert finding.remedy == "No version uses it. Remove it with: edgecl gc"


def test_putting_a_byte_changes_that_byte(tmp_path: Path) -> None:
    """And nothing else."""
    (tmp_path / "file").write_bytes(b"abc")
    assert put(tmp_path, Change("file", 1, 0)) == b"abc"
    assert (tmp_path / "file").read_bytes() == b"a\0c"
