"""The one format of a finished run, and the table that it is added to."""

import csv
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecl.manifest import canonical_json

HERE = Path(__file__).parents[1]
ROWS = HERE / "results" / "continual.csv"
FIELDS = [
    "commit", "machine", "row", "configuration", "settings", "split", "order", "seed", "tasks", "classes", "pictures", "a_t", "average",
    "forgetting", "transfer", "bytes_per_class", "seconds_per_task", "peak_memory_mib", "cost", "curve", "matrix",
    "scenario",  # empty: the standard course; lines from before there were others end before it
]  # fmt: skip
KEY = ("row", "configuration", "split", "order", "seed", "tasks", "scenario")


def configuration_hash(row: str, settings: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    """Of everything that a row is set to: its own settings, and what all rows share."""
    return hashlib.sha256(canonical_json({"row": row, "settings": dict(settings), "shared": dict(shared)})).hexdigest()[:16]


def read(path: Path = ROWS) -> list[dict[str, str]]:
    """All finished runs."""
    if not path.exists():
        return []
    return _parsed(path.read_text())


def committed(path: Path = ROWS) -> list[dict[str, str]]:
    """The finished runs that the last commit holds."""
    shown = subprocess.run(["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True, text=True)
    return _parsed(shown.stdout) if shown.returncode == 0 else []


def _parsed(text: str) -> list[dict[str, str]]:
    return [{"scenario": "", **row} for row in csv.DictReader(text.splitlines(), restval="")]


def find(rows: list[dict[str, str]], **wanted: Any) -> list[dict[str, str]]:
    """Those whose columns have the wanted values."""
    return [row for row in rows if all(row[name] == str(value) for name, value in wanted.items())]


def append(fields: Mapping[str, Any], path: Path = ROWS, *, columns: Sequence[str] = FIELDS, key: Sequence[str] = KEY) -> None:
    """Add a finished run, once. A file without one of the columns is left as it is: the value would be lost."""
    if find(read(path), **{name: fields[name] for name in key}):
        return
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    machine = f"{platform.machine()}-{os.cpu_count()}cores-{os.environ.get('OMP_NUM_THREADS', 'all')}threads"
    new = not path.exists()
    if not new and (header := path.read_text().partition("\n")[0]) != ",".join(columns):
        sys.exit(f"{path} begins with {header!r}, expected {','.join(columns)!r}; correct its first line, its other lines may stay")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({name: _text(value) for name, value in {"commit": commit, "machine": machine, **fields}.items()})


def _text(value: Any) -> Any:
    """Numbers with the digits that mean something, lists and mappings as JSON; NaN, a task that was not seen yet, as null."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list | dict):
        return json.dumps(_rounded(value), separators=(",", ":"))
    return value


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return None if value != value else round(value, 6)
    return value
