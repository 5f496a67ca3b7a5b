"""Runs learn, export and apply on a real tmpfs at 50 levels of free space each, from nothing to more than enough.

    sudo PYTHONPATH=.:export python benchmarks/full_disk.py [--levels 50] [--out results/full_disk.csv]

Each level twice: as it is, and without the look at the free space before the work, so that the disk fills up in the middle. The exit code
must be 0 or 7, 7 with a sentence about space; the store must be whole, with every version and the same current one. Needs the right to
mount. Exit code 1 when a store is broken, or another exit code came.
"""

import argparse
import csv
import multiprocessing
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from edgecl.store.space import SPARE_BYTES
from tests.crash.commands import prepare
from tests.crash.full_disk import needed, run_with, unchecked

BEFORE, MIDDLE = "before the work", "in the middle"  # when the full disk is met
COMMANDS = {
    "learn": "learn --task {}/more --epochs 1 --threads 1",
    "export": "export --onnx",
    "apply": "apply {}/task.edgecl",
}


def main() -> int:
    """Fill, run, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", type=int, default=50)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    work = [(name, how, arguments.levels) for name in COMMANDS for how in (BEFORE, MIDDLE)]
    with multiprocessing.get_context("spawn").Pool(len(work)) as pool:
        rows = [row for found in pool.starmap(starved, work) for row in found]
    for name in COMMANDS:
        for how in (BEFORE, MIDDLE):
            found = [row for row in rows if row[:2] == [name, how]]
            codes = Counter(int(str(row[3])) for row in found)
            print(f"{name}, full {how}: {len(found)} levels up to {found[-1][2]} bytes, exit codes {dict(sorted(codes.items()))}, "
                  f"broken stores {sum(bool(row[4]) for row in found)}, other codes or no clear message {sum(bool(row[5]) for row in found)}")  # fmt: skip
    if arguments.out:
        with open(arguments.out, "w", newline="", encoding="utf-8") as file:
            header = ["command", "disk full", "bytes left", "exit code", "broken", "message"]
            csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return int(any(row[4] or row[5] for row in rows))


def starved(name: str, how: str, levels: int) -> list[list[object]]:
    """One command at every level of free space, on a disk of its own."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        template = prepare(base / "template")
        # The look before the work asks for something to spare, so its levels go higher.
        highest = needed(template, COMMANDS[name], base / "disk") + (2 * SPARE_BYTES if how == BEFORE else 0)
        for level in range(levels):
            left = highest * level // (levels - 1)
            with nullcontext() if how == BEFORE else unchecked():
                code, said, wrong = run_with(template, COMMANDS[name], left, base / "disk")
            rows.append([name, how, left, code, wrong, _clear(code, said)])
            if wrong or rows[-1][-1]:
                print(rows[-1], said, flush=True)
    return rows


def _clear(code: int, said: str) -> str:
    """What is wrong with the answer; empty when nothing is."""
    if code == 0:
        return ""
    last = said.strip().splitlines()[-1] if said.strip() else ""
    if code != 7:
        return f"exit code {code}: {last}"
    return (
        ""
        if "ree some space" in last and ("No space left" in last or "are free" in last or "disk is full" in last)
        else f"not clear: {last}"
    )


if __name__ == "__main__":
    sys.exit(main())
