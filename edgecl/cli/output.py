"""What commands print. Answers go to stdout, everything else to stderr."""

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO


def answer(value: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout; names with odd bytes come out escaped, so that every line stays valid UTF-8."""
    print(json.dumps(value, allow_nan=False), flush=True)


def tell(text: str) -> None:
    """A line of text for a person, on stdout."""
    print(text)


def note(text: str) -> None:
    """A line on stderr: what a person should know beside the answer."""
    print(text, file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns aligned by spaces, on stdout."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        tell("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def percent(part: float | None) -> str:
    """`0.931` -> `93.1 %`; what was not measured is `-`."""
    return "-" if part is None else f"{100 * part:.1f} %"


def mebibytes(size_bytes: int) -> str:
    """A size that a person can compare."""
    return f"{size_bytes / 2**20:.1f} MiB"


def escape_what_cannot_be_printed(stream: TextIO) -> None:
    """File names may hold bytes that are no text, and a board's terminal may know ASCII only: neither may stop a command."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def drop_the_rest_of_stdout() -> None:
    """The reader has gone (`edgecl log | head`): let the interpreter's last flush go nowhere instead of failing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def again(store: Path, rest: str) -> str:
    """The next command to type, for the same store as this one."""
    usual = Path(os.environ.get("EDGECL_STORE") or "model")
    return f"edgecl {rest}" if store == usual else f"edgecl {rest} --store {shlex.quote(str(store))}"
