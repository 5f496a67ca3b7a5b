"""Changes 10 000 random single bytes of a store's files, each by itself: `verify --deep` must find it, and no command may end in a traceback.

    PYTHONPATH=.:export python benchmarks/byte_changes.py [--changes 10000] [--seed 0] [--command-every 25] [--processes 1] [--out FILE]

The store has five versions, adapters, kept pictures, an export and a checkpoint. Every file is as likely as any other, every byte of it, and
every other value of the byte. After every 25th change one of the other commands runs on a copy, in turns. settings.toml is counted apart:
it is the user's, so what is still valid there is no damage. Files of locks are empty. Exit code 1 when a change is not found.
"""

import argparse
import csv
import multiprocessing
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.commands import prepare, stopped
from tests.crash.damage import COMMANDS, UNHASHED, answer, changed, draw, files_of, is_found, tried


@dataclass
class Tally:
    """What came of some changes; those of several processes add up."""

    files: int = 0
    made: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    tracebacks: int = 0
    edited: int = 0  # changes of settings.toml
    valid: int = 0  # of them still valid


def main() -> int:
    """Change, look, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command-every", type=int, default=25)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    each = arguments.changes // arguments.processes
    work = [(arguments.seed + place, each, arguments.command_every) for place in range(arguments.processes)]
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        tallies = pool.starmap(changed_at_random, work)
    made, missed = (sum((getattr(tally, name) for tally in tallies), Counter()) for name in ("made", "missed"))
    commands, tracebacks, edited, valid = (
        sum(getattr(tally, name) for tally in tallies) for name in ("commands", "tracebacks", "edited", "valid")
    )
    print(f"files: {tallies[0].files}; changes: {made.total()}, found: {made.total() - missed.total()}, missed: {missed.total()}")
    print(f"commands run on a changed store: {commands}, tracebacks: {tracebacks}")
    print(f"settings.toml, by design without a hash: {edited} changes, {valid} still valid, the others found")
    if arguments.out:
        rows = [[kind, made[kind], made[kind] - missed[kind], missed[kind]] for kind in sorted(made)]
        with open(arguments.out, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([["file", "changes", "found", "missed"], *rows])
    return int(bool(missed.total() or tracebacks))


def changed_at_random(seed: int, changes: int, command_every: int) -> Tally:
    """Make these changes to a store of one's own, one after the other."""
    memory, tally, random_ = Path("/dev/shm"), Tally(), random.Random(seed)
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        place = complete(Path(folder) / "place")
        root = place / "model"
        hashed = [path for path in files_of(root) if path.name not in UNHASHED]
        tally.files = len(hashed)
        for index in range(changes):
            change = draw(root, hashed, random_)
            kind = _kind(change.path)
            tally.made[kind] += 1
            with changed(root, change):
                if not is_found(root, change):
                    tally.missed[kind] += 1
                    print(f"not found: {change}", flush=True)
            if index % command_every == 0:
                tally.commands += 1
                trace = tried(COMMANDS[index // command_every % len(COMMANDS)], place, change)
                if trace:
                    tally.tracebacks += 1
                    print(f"traceback: {change}: {trace}", flush=True)
        tally.edited, tally.valid = _settings(root, random_)
    return tally


def complete(place: Path) -> Path:
    """A store with everything in it: versions, adapters, pictures, an export, the checkpoint of a learn that was stopped."""
    prepare(place)
    answer("export --onnx", place)
    stopped(place)
    return place


def _kind(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder.split('/')[0]}/…/{name}" if folder and not name.endswith(".jpg") else (f"{folder}/….jpg" if folder else name)


def _settings(root: Path, random_: random.Random, changes: int = 200) -> tuple[int, int]:
    valid = 0
    for _ in range(changes):
        change = draw(root, [root / "settings.toml"], random_)
        with changed(root, change):
            valid += not is_found(root, change)
    return changes, valid


if __name__ == "__main__":
    sys.exit(main())
