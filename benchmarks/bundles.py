"""Two boards with one parent learn two Grocery tasks and exchange bundles; the merged models against one board that learned both.

    python benchmarks/bundles.py --split val                    # development
    python benchmarks/bundles.py --split test                   # the one test run; adds to results/bundles.csv
    python benchmarks/bundles.py --split test --board one       # its first half

Board "one" is the parent and task 2, board "two" the parent and task 3, "one then two" learned task 3 on top of board one, and the other way
round. Every command is `python -m edgecl` in a process of its own. A store or bundle that is there already from a run that was stopped is
not made again. Accuracy is over the classes of all three tasks; the gap is in points below the board that learned both, in the same order.
"""

import argparse
import csv
import functools
import itertools
import json
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

from grocery import DATA, HERE, WEIGHTS, check_frozen, configuration_hash, edgecl, folder_of

from edgecl.evaluate import Evaluation, Labelled, evaluate
from edgecl.pictures import find
from edgecl.preprocess import geometry_of
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store

TABLE = HERE / "results" / "bundles.csv"
FIELDS = [
    "commit", "configuration", "machine", "split", "order", "store", "bundle", "pictures sent", "bundle bytes", "classes", "pictures", "accuracy",
    "of its own", "of the bundle's", "learned both", "gap points", "apply seconds",
]  # fmt: skip
BOARDS = {"one": 1, "two": 2}  # which task of the order each board learns after the parent's


def prepare(work: Path, tasks: list[list[str]]) -> None:
    """The parent, both boards, and both orders on one board."""
    work.mkdir(parents=True, exist_ok=True)
    learned_on(work, "parent", None, tasks, 0)
    for board, other in (("one", "two"), ("two", "one")):
        learned_on(work, board, "parent", tasks, BOARDS[board])
        learned_on(work, f"{board} then {other}", board, tasks, BOARDS[other])


def learned_on(work: Path, name: str, start: str | None, tasks: list[list[str]], index: int) -> None:
    """The store `name`: that of `start`, or an empty one, with task `index` learned on top."""
    if (work / name).exists():
        return
    fresh = work / f"{name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    if start is None:
        edgecl("init", str(fresh), "--backbone", "vit_tiny_patch16_224", "--weights", str(WEIGHTS))
    else:
        shutil.copytree(work / start, fresh, symlinks=True)
    task, val = (folder_of(tasks[index], DATA / split, work / f"{split}-task{index + 1}") for split in ("train", "val"))
    learned = edgecl("learn", "--store", str(fresh), "--task", str(task), "--val", str(val), "--name", f"task{index + 1}")
    print(f"{name}: version {learned['version']}, {learned['seconds']} s", flush=True)
    fresh.rename(work / name)


@functools.cache
def pictures_of(work: Path, names: tuple[str, ...], split: str) -> list[Labelled]:
    """Every picture of some classes, as the model sees it."""
    folder = folder_of(list(names), DATA / split, work / f"{split}-pictures-{os.getpid()}")
    geometry = geometry_of(Store.open(work / "parent").facts.architecture)
    return [(picture.class_name, picture.input) for picture in find(folder, geometry).pictures]


def measured(store: Store, pictures: list[Labelled]) -> Evaluation:
    """The current version on these pictures."""
    predictor = OrtPredictor(threads=int(os.environ.get("OMP_NUM_THREADS", "0")))
    with store.use() as folder:
        predictor.load(folder)
        return evaluate(predictor, pictures, store.manifest(int(folder.name)))


def over(result: Evaluation, names: list[str]) -> float:
    """Accuracy over the pictures of some classes."""
    seen = [result.per_class[name] for name in names if name in result.per_class]
    return sum(figures.accuracy * figures.n for figures in seen) / sum(figures.n for figures in seen)


def exchanged(work: Path, tasks: list[list[str]], board: str, other: str, *, pictures: bool, split: str) -> dict[str, object]:
    """Apply the other board's bundle on a copy of this one; a row of the table without what both on one board reached."""
    kind = "with" if pictures else "without"
    bundle = work / f"{other} {kind} pictures.edgecl"
    options = ["--pictures"] if pictures else []
    packed = edgecl("pack", "2", "-o", str(bundle), "--store", str(work / other), *options)
    place = work / f"{board} and {other}'s {kind} pictures"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(work / board, place, symlinks=True)
    began = time.monotonic()
    edgecl("apply", str(bundle), "--store", str(place))
    seconds = time.monotonic() - began
    result = measured(Store.open(place), pictures_of(work, tuple(itertools.chain(*tasks)), split))
    return {
        "store": board,
        "bundle": f"{other}'s, {kind} pictures",
        "pictures sent": packed["pictures"],
        "bundle bytes": packed["bytes"],
        "classes": len(result.per_class),
        "pictures": result.n,
        "accuracy": result.accuracy,
        "of its own": over(result, [*tasks[0], *tasks[BOARDS[board]]]),
        "of the bundle's": over(result, tasks[BOARDS[other]]),
        "apply seconds": round(seconds, 1),
    }


def main() -> None:
    """Prepare, exchange, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--order", type=int, default=0, choices=[0, 1, 2])
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--board", nargs="+", choices=list(BOARDS), default=list(BOARDS), help="boards that apply the other's bundle")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    arguments = parser.parse_args()
    if arguments.split == "test":
        check_frozen()
    tasks = json.loads((DATA / "tasks.json").read_text())[str(arguments.order)][:3]
    work = arguments.work / f"bundles-{configuration_hash()}-order{arguments.order}"
    prepare(work, tasks)
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    machine = f"{platform.machine()}-{os.cpu_count()}cores-{os.environ.get('OMP_NUM_THREADS', 'all')}threads"
    rows = []
    for board in arguments.board:
        other = next(name for name in BOARDS if name != board)
        both = measured(Store.open(work / f"{board} then {other}"), pictures_of(work, tuple(itertools.chain(*tasks)), arguments.split))
        print(f"{board} then {other} on one board: {both.accuracy:.2%} of {both.n}", flush=True)
        for pictures in (False, True):
            row = exchanged(work, tasks, board, other, pictures=pictures, split=arguments.split)
            row |= {"learned both": both.accuracy, "gap points": 100 * (both.accuracy - float(str(row["accuracy"])))}
            rows.append({"commit": commit, "configuration": configuration_hash(), "machine": machine, "split": arguments.split, **row})
            rows[-1]["order"] = arguments.order
            print(f"{board} and {row['bundle']}: {row['accuracy']:.2%}, gap {row['gap points']:.2f} points", flush=True)
            own, theirs = row["of its own"], row["of the bundle's"]
            print(
                f"  its own classes {own:.2%}, the bundle's {theirs:.2%}; {row['pictures sent']} pictures in {row['bundle bytes']} bytes",
                flush=True,
            )
            print(f"  applied in {row['apply seconds']} s", flush=True)
    if arguments.split == "test":
        new = not TABLE.exists()
        with TABLE.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerows({name: f"{value:.4f}" if isinstance(value, float) else value for name, value in row.items()} for row in rows)


if __name__ == "__main__":
    main()
