"""How far a version's scores are from what they promise, with and without the temperature that is folded into its head.

    python benchmarks/grocery.py --split test --order 0                    # first: the store
    python benchmarks/calibration.py --split test --order 0 --after 9 [--every 4]

Expected calibration error over the split's pictures of known classes: 15 bins of equal width over the score of the answer, the mean over
pictures of the gap between a bin's accuracy and its mean score. `before` multiplies the logits by the temperature again, which leaves the
head as it was fitted. Rows of `results/calibration.csv`. What a version answers is kept beside its store, see `unknown.py`.
"""

import argparse
import csv
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from grocery import HERE, configuration_hash
from unknown import ask

from edgecl.evaluate import expected_calibration_error
from edgecl.runtime.decide import softmax
from edgecl.store import Store

ROWS = HERE / "results" / "calibration.csv"
FIELDS = [
    "commit",
    "configuration",
    "split",
    "order",
    "after",
    "every",
    "pictures",
    "accuracy",
    "temperature",
    "ece_before",
    "ece_after",
    "mean_score",
]


def measure(store: Store, split: str, order: int, after: int, every: int) -> dict[str, Any]:
    """The row of version `after`."""
    manifest = store.manifest(after)
    answers = ask(store, manifest, split, every)
    names = [next(entry.name for entry in manifest.classes if entry.row == row) for row in manifest.rows()]
    known = answers.of(np.isin(answers.names, names))
    right = np.array(names)[known.logits.argmax(axis=1)] == known.names
    errors = []
    for temperature in (manifest.temperature, 1.0):
        score = softmax(known.logits * temperature, range(len(names))).max(axis=1)
        errors.append(expected_calibration_error(score, right))
    return {
        "split": split,
        "order": order,
        "after": after,
        "every": every,
        "pictures": len(right),
        "accuracy": float(right.mean()),
        "temperature": manifest.temperature,
        "ece_before": errors[0],
        "ece_after": errors[1],
        "mean_score": float(score.mean()),
    }


def append(row: dict[str, Any]) -> None:
    """Add the row, unless the same was measured before."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    known = list(csv.DictReader(ROWS.open())) if ROWS.exists() else []
    full = {"commit": commit, "configuration": configuration_hash(), **row}
    key = ("configuration", "split", "order", "after", "every")
    if tuple(str(full[name]) for name in key) in {tuple(other[name] for name in key) for other in known}:
        return
    with ROWS.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if not known:
            writer.writeheader()
        writer.writerow({name: f"{value:.4f}" if isinstance(value, float) else value for name, value in full.items()})


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--order", type=int, nargs="+", default=[0], choices=[0, 1, 2])
    parser.add_argument("--after", type=int, nargs="+", default=[9], help="tasks learned")
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="the folder given to grocery.py")
    parser.add_argument("--every", type=int, default=1, help="ask about each N-th picture of a class only")
    arguments = parser.parse_args()
    for order in arguments.order:
        store = Store.open(arguments.work / f"test-{configuration_hash()}" / f"order{order}-seed{arguments.seed}" / "model")
        for after in arguments.after:
            row = measure(store, arguments.split, order, after, arguments.every)
            append(row)
            print(
                f"order {order} after {after} tasks, {row['pictures']} {arguments.split} pictures, {row['accuracy']:.2%} right, mean score "
                f"{row['mean_score']:.2%}: calibration error {row['ece_before']:.2%} before, {row['ece_after']:.2%} with temperature {row['temperature']:.3f}"
            )


if __name__ == "__main__":
    main()
