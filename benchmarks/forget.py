"""Forgets the third of nine Grocery tasks and compares with a store that never learned it.

    python benchmarks/grocery.py --split test --order 0 [--without 3]    # both stores first
    python benchmarks/forget.py --split test --order 0

Prints accuracy on the other eight tasks: before, after forgetting, and of the run without the task; each over the classes that the version
knows. Works on a copy of the store.
"""

import argparse
import csv
import shutil
import subprocess
import tempfile
from pathlib import Path

from grocery import DATA, HERE, TASKS, configuration_hash, edgecl

from edgecl.evaluate import evaluate
from edgecl.pictures import find
from edgecl.preprocess import geometry_of
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store

TABLE = HERE / "results" / "forget.csv"


def accuracies(model: Path, split: str, gone: set[str]) -> tuple[float, int]:
    """Of the current version on all classes but `gone`, and the number of pictures."""
    store = Store.open(model)
    pictures = [
        (p.class_name, p.input) for p in find(DATA / split, geometry_of(store.facts.architecture)).pictures if p.class_name not in gone
    ]
    predictor = OrtPredictor()
    with store.use() as folder:
        predictor.load(folder)
        result = evaluate(predictor, pictures, store.manifest(int(folder.name)))
    return result.accuracy, result.n


def main() -> None:
    """Copy, forget, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--order", type=int, default=0)
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forget", type=int, default=3)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    arguments = parser.parse_args()
    place = arguments.work / f"{arguments.split}-{configuration_hash()}"
    name = f"order{arguments.order}-seed{arguments.seed}"
    learned, never = place / name / "model", place / f"{name}-without{arguments.forget}" / "model"
    task = next(step.task for step in Store.open(learned).manifest(TASKS).recipe.steps if step.task.startswith(f"t{arguments.forget:04d}-"))
    gone = {entry.name for entry in Store.open(learned).manifest(TASKS).classes if entry.tasks == (task,)}
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        copy = Path(scratch) / "model"
        shutil.copytree(learned, copy, symlinks=True)
        before, n = accuracies(copy, arguments.split, gone)
        edgecl("forget", task, "--store", str(copy))
        after, _ = accuracies(copy, arguments.split, gone)
    reference, _ = accuracies(never, arguments.split, gone)
    print(f"the other {TASKS - 1} tasks, {n} pictures of the {arguments.split} split, order {arguments.order}")
    print(f"  with task {arguments.forget} learned      {before:.2%}")
    print(f"  after forgetting it       {after:.2%}")
    print(f"  never learned             {reference:.2%}")
    print(f"  forgotten below never     {100 * (reference - after):.2f} points")
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    new = not TABLE.exists()
    with TABLE.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(["commit", "configuration", "split", "order", "seed", "forgotten", "pictures", "before", "after", "never"])
        figures = [f"{value:.4f}" for value in (before, after, reference)]
        writer.writerow([commit, configuration_hash(), arguments.split, arguments.order, arguments.seed, arguments.forget, n, *figures])


if __name__ == "__main__":
    main()
