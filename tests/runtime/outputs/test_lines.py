"""The log: rotated, bounded, written seldom, and never in the loop's way."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from edgecl.errors import BadInput, UsageError
from edgecl.runtime.outputs import lines as log
from edgecl.runtime.outputs.lines import RotatingLines
from tests.runtime.waiting import until

LINE = {"text": "x" * 89}  # 100 bytes with its newline


def read(path: Path) -> list[Any]:
    """The objects of one file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_kept_in_order(tmp_path: Path) -> None:
    """One object per line; a file that is there is continued."""
    for numbers in ((0, 1), (2, 3)):
        lines = RotatingLines(tmp_path / "logs" / "a.log", limit_bytes=10**6)
        for number in numbers:
            lines.add({"n": number})
        lines.close()
    assert [line["n"] for line in read(tmp_path / "logs" / "a.log")] == [0, 1, 2, 3]


def test_the_files_are_bounded_and_the_newest_lines_stay(tmp_path: Path) -> None:
    """No file exceeds its part, the number of files is fixed, and nothing is lost but the oldest."""
    lines = RotatingLines(tmp_path / "a.log", limit_bytes=5 * 4096)
    for number in range(1000):
        lines.add({**LINE, "n": f"{number:04}"})
    lines.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["a.log", "a.log.1", "a.log.2", "a.log.3", "a.log.4"]
    assert all(file.stat().st_size <= 4096 for file in files)
    kept = [int(line["n"]) for file in reversed(files) for line in read(file)]
    assert kept == list(range(1000 - len(kept), 1000))
    assert len(kept) > 100


def test_rotation_goes_on_where_an_earlier_run_ended(tmp_path: Path) -> None:
    """The size of the file that is there counts."""
    (tmp_path / "a.log").write_bytes(b"{}\n" * 1365)  # 4095 bytes
    lines = RotatingLines(tmp_path / "a.log", limit_bytes=5 * 4096)
    lines.add(LINE)
    lines.close()
    assert read(tmp_path / "a.log") == [LINE]
    assert len(read(tmp_path / "a.log.1")) == 1365


def test_a_card_is_written_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 lines of 100 bytes are at most 16 pieces, and a single one waits."""
    writes: list[int] = []
    write = RotatingLines._write

    def counted(self: RotatingLines, pieces: list[bytes], *, durable: bool) -> None:
        writes.append(len(pieces))
        write(self, pieces, durable=durable)

    monkeypatch.setattr(RotatingLines, "_write", counted)
    lines = RotatingLines(tmp_path / "a.log", limit_bytes=10**8)
    lines.add(LINE)
    assert (tmp_path / "a.log").stat().st_size == 0
    for _ in range(9_999):
        lines.add(LINE)
    lines.close()
    assert sum(writes) == 10_000
    assert len(writes) <= 10_000 * 100 // log.BUFFER_BYTES + 2
    assert len(read(tmp_path / "a.log")) == 10_000


def test_a_line_is_written_in_time(tmp_path: Path) -> None:
    """However few there are."""
    lines = RotatingLines(tmp_path / "a.log", limit_bytes=10**6, flush_s=0.02)
    lines.add(LINE)
    until(lambda: (tmp_path / "a.log").stat().st_size)
    lines.close()


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told once; when there is room again, later lines are written."""
    told: list[str] = []
    write = RotatingLines._write
    full = True

    def refusing(self: RotatingLines, pieces: list[bytes], *, durable: bool) -> None:
        if full and pieces:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, pieces, durable=durable)

    monkeypatch.setattr(RotatingLines, "_write", refusing)
    lines = RotatingLines(tmp_path / "a.log", limit_bytes=10**6, flush_s=0.02, tell=told.append)
    lines.add({"n": 0})
    until(lambda: told)
    full = False
    lines.add({"n": 1})
    lines.close()
    assert told == [f"the log '{tmp_path / 'a.log'}' cannot be written (No space left on device); 1 lines are lost so far"]
    assert read(tmp_path / "a.log") == [{"n": 1}]


def test_a_disk_that_hangs_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a mebibyte lines are dropped."""
    monkeypatch.setattr(log.threading.Thread, "start", lambda thread: None)
    lines = RotatingLines(tmp_path / "a.log", limit_bytes=10**8)
    for _ in range(20_000):
        lines.add(LINE)
    assert lines._waiting_bytes <= 16 * log.BUFFER_BYTES + 100
    assert len(lines._lines) + lines._dropped == 20_000


def test_what_cannot_be_a_log_is_refused(tmp_path: Path) -> None:
    """At once, not with the first line."""
    with pytest.raises(UsageError, match="a log of 1000 bytes is too small for 5 files; give it at least 20480"):
        RotatingLines(tmp_path / "a.log", limit_bytes=1000)
    with pytest.raises(BadInput, match="cannot be written"):
        RotatingLines(tmp_path, limit_bytes=10**6)
