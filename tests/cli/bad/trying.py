"""All bad inputs, and what happens when one is tried. The tests judge it, benchmarks/bad_input_table.py prints it."""

import contextlib
import io
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from edgecl.cli import main
from tests.cli.bad import arguments, bundles, pictures, stores, weights
from tests.cli.bad.row import Bad
from tests.cli.workplace import fingerprint

ROWS: tuple[Bad, ...] = (*pictures.ROWS, *weights.ROWS, *arguments.ROWS, *stores.ROWS, *bundles.ROWS)


@dataclass(frozen=True)
class Outcome:
    """What a command that was bound to fail left behind."""

    code: int
    message: str  # all of stderr
    changed: list[str]  # paths in the workplace, the store among them


def attempt(row: Bad, place: Path) -> Outcome:
    """Run the row's command inside the workplace `place`."""
    there = Path.cwd()
    os.chdir(place)
    stderr = io.StringIO()
    undo = row.make(place)
    try:
        before = fingerprint(place)
        with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
            code = main(shlex.split(row.command))
        after = fingerprint(place)
    finally:
        if callable(undo):
            undo()
        os.chdir(there)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return Outcome(code, stderr.getvalue().strip(), changed)
