"""Changes 10 000 random single bytes of a store's files, each by itself: `verify --deep` must find it, and no command may end in a traceback.

    PYTHONPATH=.:export python benchmarks/byte_changes.py [--changes 10000] [--seed 0] [--command-every 5] [--out results/byte_changes.csv]

The store has five versions, adapters, kept pictures, an export and a checkpoint. Every file is as likely as any other, every byte of it, and
every other value of the byte. After every fifth change one of the other commands runs on a copy, in turns. settings.toml is counted apart:
it is the user's, so what is still valid there is no damage. Files of locks are empty. Exit code 1 when a change is not found.
"""

import argparse
import csv
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from edgecl.errors import Interrupted
from edgecl.guard import Guard
from edgecl.store import Store
from tests.crash.commands import prepare
from tests.crash.damage import COMMANDS, UNHASHED, answer, changed, draw, files_of, is_found, tried
from tests.teaching import teach


def main() -> int:
    """Change, look, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command-every", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        place = complete(Path(folder) / "place")
        root, random_ = place / "model", random.Random(arguments.seed)
        files = files_of(root)
        hashed = [path for path in files if path.name not in UNHASHED]
        made, missed, tracebacks, commands = Counter[str](), Counter[str](), [], 0
        for index in range(arguments.changes):
            change = draw(root, hashed, random_)
            kind = _kind(change.path)
            made[kind] += 1
            with changed(root, change):
                if not is_found(root, change):
                    missed[kind] += 1
                    print(f"not found: {change}", flush=True)
            if index % arguments.command_every == 0:
                commands += 1
                trace = tried(COMMANDS[index // arguments.command_every % len(COMMANDS)], place, change)
                if trace:
                    tracebacks.append(trace)
                    print(f"traceback: {change}: {trace}", flush=True)
        edited = _settings(root, random_)
    rows = [[kind, made[kind], made[kind] - missed[kind], missed[kind]] for kind in sorted(made)]
    print(
        f"files: {len(hashed)}; changes: {sum(made.values())}, found: {sum(made.values()) - sum(missed.values())}, missed: {sum(missed.values())}"
    )
    print(f"commands run on a changed store: {commands}, tracebacks: {len(tracebacks)}")
    print(f"settings.toml, by design without a hash: {edited[0]} changes, {edited[1]} still valid, the others found")
    if arguments.out:
        with open(arguments.out, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([["file", "changes", "found", "missed"], *rows])
    return int(bool(missed or tracebacks))


def complete(place: Path) -> Path:
    """A store with everything in it: versions, adapters, pictures, an export, the checkpoint of a learn that was stopped."""
    prepare(place)
    answer("export --onnx", place)
    guard = Guard()
    look = guard.between_steps

    def stop(*arguments: object) -> bool:
        guard.stop("asked to")
        return look(*arguments)  # type: ignore[arg-type]

    guard.between_steps = stop  # type: ignore[method-assign]
    try:
        teach(Store.open(place / "model"), place / "more", guard=guard)
    except Interrupted:
        return place
    raise RuntimeError("the learn was not stopped")


def _kind(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder.split('/')[0]}/…/{name}" if folder and not name.endswith(".jpg") else (f"{folder}/….jpg" if folder else name)


def _settings(root: Path, random_: random.Random, changes: int = 500) -> tuple[int, int]:
    valid = 0
    for _ in range(changes):
        change = draw(root, [root / "settings.toml"], random_)
        with changed(root, change):
            valid += not is_found(root, change)
    return changes, valid


if __name__ == "__main__":
    sys.exit(main())
