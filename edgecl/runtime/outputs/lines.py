"""JSON lines in a file that spares an SD card: written in large pieces, seldom, and never more than a fixed number of bytes."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgecl.errors import BadInput, UsageError

FLUSH_S = 30.0  # a line reaches the file at the latest after this time; a power cut costs as much
BUFFER_BYTES = 64 * 1024  # or earlier, when so much has come together
KEPT = 4  # older files beside the newest: name.1, name.2, ...


class RotatingLines:
    """Appends one JSON object per line to `path`; a full file becomes `path.1`, the older ones move on, the oldest goes.

    Lines are collected in memory and written by a thread of its own, so that a slow card never holds up whoever adds one. When the disk
    refuses, the lines are dropped, `tell` hears it once, and later ones are tried again.

    Args:
        limit_bytes: of all files together.

    Raises:
        BadInput: the file cannot be opened for writing.
        UsageError: a limit too small to hold anything.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit_bytes: int,
        kept: int = KEPT,
        flush_s: float = FLUSH_S,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._path, self._kept, self._flush_s, self._tell = path, kept, flush_s, tell
        self._file_bytes = limit_bytes // (kept + 1)
        if self._file_bytes < 4096:
            raise UsageError(f"a log of {limit_bytes} bytes is too small for {kept + 1} files; give it at least {4096 * (kept + 1)} bytes")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                self._size_bytes = file.tell()
        except OSError as error:
            raise BadInput(
                f"the log {str(path)!r} cannot be written ({error.strerror}). Name a file in a folder that may be written"
            ) from error
        self._lines: list[bytes] = []
        self._waiting_bytes = self._dropped = 0
        self._wake = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"log {path.name}", daemon=True)
        self._thread.start()

    def add(self, value: Mapping[str, Any]) -> None:
        """One line; never waits for the disk."""
        line = json.dumps(value, allow_nan=False).encode("ascii") + b"\n"
        with self._wake:
            if self._waiting_bytes > 16 * BUFFER_BYTES:  # the disk hangs; memory must not pay for it
                self._dropped += 1
                return
            self._lines.append(line)
            self._waiting_bytes += len(line)
            if self._waiting_bytes >= BUFFER_BYTES:
                self._wake.notify()

    def close(self) -> None:
        """Write what is left and make it durable."""
        with self._wake:
            self._ended = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        ended, refused = False, False
        while not ended:
            with self._wake:
                self._wake.wait_for(lambda: self._ended or self._waiting_bytes >= BUFFER_BYTES, self._flush_s)
                ended, lines, dropped = self._ended, self._lines, self._dropped
                self._lines, self._waiting_bytes, self._dropped = [], 0, 0
            try:
                self._write(lines, durable=ended)
                refused = False
            except OSError as error:
                dropped += len(lines)
                if not refused:
                    self._tell(f"the log {str(self._path)!r} cannot be written ({error.strerror}); {dropped} lines are lost so far")
                refused = True

    def _write(self, lines: list[bytes], *, durable: bool) -> None:
        """Whole files at a time: as many lines as fit, then a rotation."""
        while lines:
            count, size_bytes = 0, self._size_bytes
            while count < len(lines) and (size_bytes == 0 or size_bytes + len(lines[count]) <= self._file_bytes):
                size_bytes += len(lines[count])
                count += 1
            if count:
                with self._path.open("ab") as file:
                    file.write(b"".join(lines[:count]))
                    if durable:
                        file.flush()
                        os.fsync(file.fileno())
                self._size_bytes, lines = size_bytes, lines[count:]
            else:
                self._rotate()

    def _rotate(self) -> None:
        for number in range(self._kept, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                os.replace(older, self._numbered(number))
        self._size_bytes = 0

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")
