"""Kills learn, rollback, forget, apply and gc with SIGKILL, each time in front of another operation, and lets the next command judge.

    PYTHONPATH=.:export python benchmarks/sigkill.py [--kills 200] [--committing 50] [--seed 0] [--processes 1] [--out FILE]

The moments are drawn uniformly over all operations of the commands (changes of files, steps of training); further ones are drawn inside
the commit sequence until there are enough. After each kill the store is opened and verified deeply, no version may be lost, and the same
command, given again, must end in the undisturbed store byte for byte (learn, rollback, gc) or serve the same model (forget, apply).
Exit code 1 when one of that fails.
"""

import argparse
import csv
import multiprocessing
import random
import shutil
import sys
import tempfile
from pathlib import Path

import edgecl_export.prove  # noqa: F401
from tests.crash.commands import prepare
from tests.crash.killing import SAME, Moment, Undisturbed, in_child, judge, kill, moments


def main() -> int:
    """Kill, judge, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--committing", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    count = arguments.processes
    work = [(arguments.kills // count, -(-arguments.committing // count), arguments.seed + place) for place in range(count)]
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        parts = pool.starmap(killed, work)
    rows = [row for _, found in parts for row in found]
    _report(rows, parts[0][0])
    if arguments.out:
        with open(arguments.out, "w", newline="", encoding="utf-8") as file:
            header = ["command", "operation", "kind", "inside commit", "ended", "judged"]
            csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return int(any(row[4] != "killed by signal 9" or row[5] for row in rows))


def killed(kills: int, committing: int, seed: int) -> tuple[int, list[list[object]]]:
    """How many operations the commands have, and one row per kill."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        base = Path(folder)
        failed = in_child(lambda: str(prepare(base / "before") and ""))
        if failed:
            raise SystemExit(failed)
        stores, every = {}, []
        for name in SAME:
            shutil.copytree(base / "before", base / name, symlinks=True)
            stores[name] = Undisturbed(base / "before", base / name)
            every += moments(name, base / name)
        return len(every), [_try(moment, base, stores[moment.command]) for moment in _drawn(every, kills, committing, seed)]


def _drawn(every: list[Moment], kills: int, committing: int, seed: int) -> list[Moment]:
    draw = random.Random(seed)
    chosen = [draw.choice(every) for _ in range(kills)]
    missing = committing - sum(moment.committing for moment in chosen)
    return chosen + [draw.choice([moment for moment in every if moment.committing]) for _ in range(max(0, missing))]


def _try(moment: Moment, base: Path, undisturbed: Undisturbed) -> list[object]:
    place = base / "place"
    shutil.copytree(undisturbed.before, place, symlinks=True)
    ended = kill(moment, place)
    judged = judge(moment.command, place, undisturbed)
    shutil.rmtree(place)
    if judged or ended != "killed by signal 9":
        print(f"{moment}: {ended}; {judged}", flush=True)
    return [moment.command, moment.index, moment.kind, int(moment.committing), ended, judged]


def _report(rows: list[list[object]], operations: int) -> None:
    judged = [str(row[5]) for row in rows]
    broken = sum(text.startswith("broken") for text in judged)
    lost = sum(text.startswith("lost") for text in judged)
    other = sum(bool(text) for text in judged) - broken - lost
    print(f"operations: {operations}; kills: {len(rows)}, of them inside commit: {sum(int(str(row[3])) for row in rows)}")
    print(f"broken stores: {broken}, lost versions: {lost}, results that differ: {other}")
    print("by command: " + ", ".join(f"{name} {sum(row[0] == name for row in rows)}" for name in SAME))


if __name__ == "__main__":
    sys.exit(main())
