"""Cuts the power after every file operation of every command that changes a store, in every way that a disk allows.

    PYTHONPATH=.:export python benchmarks/crash_explorer.py [--only NAME] [--part explore|removal|both] [--processes N]

First every command, then every pair of a command that is killed and one that is run after it. A state is one combination of the names
and contents that were not fsynced; each different store among them is opened, verified deeply, and compared with before and after. Then
every line of code that asks for an fsync or a rename is taken out of the recordings, one line at a time: some command must fail then, or
the line is redundant. The model of the disk is in tests/crash/disk.py. Writes results/crash_explorer.csv and results/crash_removal.csv.
Exit code 1 when a state is not as it should be, or a line is redundant.
"""

import argparse
import csv
import multiprocessing
import multiprocessing.pool
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.crash.commands import AFTERWARDS, COMMANDS, PAIRS, fresh, prepare
from tests.crash.explore import CommandFailed, Count, Fault, Known, Recording, faults, kills, place_in_code, record, without

RESULTS = Path(__file__).parent / "results"
RECORDINGS: dict[str, Recording] = {}  # what the workers look at
KNOWN: Known = {}  # what a worker has found, for its next recordings


def main() -> int:
    """Explore, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one command; writes no results")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--part", choices=["explore", "removal", "both"], default="both")
    arguments = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        base = Path(folder)
        template = prepare(base / "template")
        names = [arguments.only] if arguments.only else list(COMMANDS)
        recordings = {name: _alone(name, template, base) for name in names}
        pairs = {} if arguments.only else _pairs(recordings, base)
        RECORDINGS.update({**recordings, **pairs})
        failures = redundant = 0
        if arguments.part != "removal":
            failures = _exploration(recordings, pairs, base, arguments.processes, write=not arguments.only)
        if arguments.part != "explore":
            redundant = _removals({**recordings, **pairs}, base, arguments.processes, write=not arguments.only)
    return 1 if failures or redundant else 0


def _exploration(recordings: dict[str, Recording], pairs: dict[str, Recording], base: Path, processes: int, *, write: bool) -> int:
    """Every state of every recording; returns how many are not as they should be."""
    rows, found = _explore(recordings, base, processes)
    more, worse = _explore(pairs, base, processes)
    rows += _summed(more)
    if write:
        _write("crash_explorer.csv", ["command", "recordings", "operations", "cuts", "states", "stores", "failures"], rows)
    figures = [sum(int(str(row[column])) for row in rows) for column in (3, 4, 5)]
    print(
        f"power cuts: {figures[0]}, states explored: {figures[1]}, different stores opened: {figures[2]}, failures: {found + worse}",
        flush=True,
    )
    return found + worse


def _alone(name: str, template: Path, base: Path) -> Recording:
    place = fresh(template, base / "place", name)
    recording = record(COMMANDS[name], place)
    shutil.rmtree(place)
    return recording


def _pairs(recordings: dict[str, Recording], base: Path) -> dict[str, Recording]:
    """`killed | then` and after how many operations it was killed -> the second command's recording."""
    found = {}
    for pair in PAIRS:
        for at in kills(recordings[pair.killed]):
            try:
                found[f"{pair.killed} | {pair.then} @{at}"] = record(
                    AFTERWARDS[pair.then], base / "place", killed=recordings[pair.killed], at=at
                )
            except CommandFailed as failure:  # for example nothing to promote yet: a sentence, and nothing happens
                print(f"{pair.killed}, killed after {at}, then {failure}", flush=True)
            shutil.rmtree(base / "place", ignore_errors=True)
    return found


def _explore(recordings: dict[str, Recording], base: Path, processes: int) -> tuple[list[list[object]], int]:
    rows: list[list[object]] = []
    with _workers(processes) as pool:
        for row, found in pool.imap(_explored, [(name, base) for name in recordings]):
            rows.append(row)
            print(f"{row[0]}: {row[4]} states, {row[5]} stores, {row[6]} failures", flush=True)
            for fault in found[:3]:
                print(f"    after {fault.after} operations ({fault.last}): {fault.reason}", flush=True)
    return rows, sum(int(str(row[-1])) for row in rows)


def _explored(work: tuple[str, Path]) -> tuple[list[object], list[Fault]]:
    name, base = work
    recording, count = RECORDINGS[name], Count()
    found = list(faults(recording, base / f"scratch-{os.getpid()}", count=count, known=KNOWN))
    return [name, 1, len(recording.ops) - recording.killed, count.cuts, count.states, count.stores, len(found)], found


def _workers(processes: int) -> multiprocessing.pool.Pool:
    """Forked, so that they have the recordings; all they do is to write files and to look at them."""
    return multiprocessing.get_context("fork").Pool(processes)


def _summed(rows: list[list[object]]) -> list[list[object]]:
    """One row per pair."""
    summed: dict[str, list[int]] = {}
    for name, *figures in rows:
        total = summed.setdefault(str(name).rpartition(" @")[0], [0] * len(figures))
        for index, figure in enumerate(figures):
            total[index] += int(str(figure))
    return [[name, *figures] for name, figures in summed.items()]


def _removals(recordings: dict[str, Recording], base: Path, processes: int, *, write: bool) -> int:
    """Take out each line that asks for an fsync or a rename; returns how many are redundant."""
    lines: dict[tuple[str, str], list[str]] = {}
    for name, recording in recordings.items():
        for op in recording.ops[recording.killed :]:
            if op.kind in ("sync", "rename"):
                users = lines.setdefault((op.kind, place_in_code(op)), [])
                if name not in users:
                    users.append(name)
    rows: list[list[object]] = []
    with _workers(processes) as pool:
        for row in pool.imap(_removed, [(kind, line, users, base) for (kind, line), users in sorted(lines.items())]):
            rows.append(row)
            print(f"without {row[0]} at {row[1]}: {f'{row[4]}: {row[5]}' if row[4] else 'nothing fails'}", flush=True)
    if write:
        _write("crash_removal.csv", ["operation", "asked for by", "recordings", "without it", "command", "what is found"], rows)
    redundant = sum(row[3] == "REDUNDANT" for row in rows)
    print(f"lines that ask for an fsync or a rename: {len(rows)}, redundant: {redundant}")
    return redundant


def _removed(work: tuple[str, str, list[str], Path]) -> list[object]:
    kind, line, users, base = work
    # One that fails is enough: commands alone first, then pairs, short ones before long ones.
    users = sorted(users, key=lambda user: ("purge" in user, "@" in user, len(RECORDINGS[user].ops), user))
    # Most show in what was answered and is gone; the others need every cut.
    for answered_only in (True, False):
        for name in users:
            changed = without(RECORDINGS[name], lambda op: (op.kind, place_in_code(op)) == (kind, line))
            found = faults(changed, base / f"scratch-{os.getpid()}", last_first=True, answered_only=answered_only, known=KNOWN)
            fault = next(found, None)
            if fault is not None:
                return [kind, line, len(users), "fails", name, fault.reason]
    return [kind, line, len(users), "REDUNDANT", "", ""]


def _write(name: str, header: list[str], rows: list[list[object]]) -> None:
    with open(RESULTS / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    sys.exit(main())
