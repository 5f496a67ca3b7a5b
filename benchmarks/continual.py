"""Continual learners side by side: one backbone, one set of pictures, one table.

    python benchmarks/continual.py --choose ridge slda        # every configuration on val, order 0, tasks 1 to 3; to be committed
    python benchmarks/continual.py --run ridge slda           # the best one, once, on test, in the orders that the row is measured in
    python benchmarks/continual.py                            # the table of what is there

Pictures are the Grocery photos (81 classes, 9 tasks of 9, three fixed orders), the backbone is ViT-Tiny with its ImageNet weights. All methods
train on `train`, choose on `val` and are asked once about `test`. A method that trains the backbone trains its upper six blocks, as edgecl does.
Every finished run is a row of `results/continual.csv`, written at once, and no finished run is repeated. `--run` refuses a row
whose choices are not committed. edgecl's own rows are read from `results/grocery.csv`. Peers' libraries come with the extra `bench`.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from continual import rows
from continual.data import VIEWS, grocery
from continual.method import Method, run
from continual.registry import METHODS
from continual.table import print_table
from continual.upper import ALPHA, BATCH, RANK, SMOOTHING, WARMUP, WEIGHT_DECAY

CHOICE_TASKS, TASKS = 3, 9
SHARED = {
    "views": VIEWS, "batch": BATCH, "rank": RANK, "alpha": ALPHA, "smoothing": SMOOTHING, "warmup": WARMUP, "weight_decay": WEIGHT_DECAY,
}  # fmt: skip


def key_of(method: Method, settings: Mapping[str, Any], *, split: str, order: int, seed: int, tasks: int) -> dict[str, Any]:
    """What tells a run from all others."""
    hash = rows.configuration_hash(method.name, settings, SHARED)
    return {"row": method.name, "configuration": hash, "split": split, "order": order, "seed": seed, "tasks": tasks}


def chosen(method: Method, seed: int) -> Mapping[str, Any]:
    """The configuration with the best A_T on val, the first of equal ones; from committed rows alone."""
    if len(method.choices) == 1:
        return method.choices[0]
    known, best = rows.committed(), []
    for place, settings in enumerate(method.choices):
        found = rows.find(known, **key_of(method, settings, split="val", order=0, seed=seed, tasks=CHOICE_TASKS))
        if not found:
            sys.exit(f"{method.name}: {settings} has no committed row; run --choose {method.name} and commit {rows.ROWS.name} first")
        best.append((-float(found[0]["a_t"]), place))
    return method.choices[min(best)[1]]


def perform(method: Method, choices: Sequence[Mapping[str, Any]], work: Path, **key: Any) -> None:
    """Some configurations in a process of their own, whose memory is only theirs; none whose row is there."""
    known = rows.read()
    open_ones = [str(i) for i, one in enumerate(method.choices) if one in choices and not rows.find(known, **key_of(method, one, **key))]
    if not open_ones:
        return
    told = [str(key[name]) for name in ("split", "order", "seed", "tasks")]
    done = subprocess.run([sys.executable, __file__, "--work", str(work), "--one", method.name, *told, *open_ones])
    if done.returncode:
        sys.exit(f"{method.name} ended with exit code {done.returncode}")


def one(method: Method, places: Sequence[int], work: Path, **key: Any) -> None:
    """Run, and write each row when it is finished."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    bench = grocery(work)
    for settings in (method.choices[place] for place in places):
        course = bench.course(key["order"], split=key["split"], tasks=key["tasks"], seed=key["seed"])
        figures = run(method, course, settings)
        rows.append({**key_of(method, settings, **key), "settings": dict(settings), **figures})


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choose", nargs="+", choices=METHODS, default=[], metavar="ROW")
    parser.add_argument("--run", nargs="+", choices=METHODS, default=[], metavar="ROW")
    parser.add_argument("--order", type=int, nargs="+", help="only these orders", choices=[0, 1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=rows.HERE / "work" / "continual", help="where tokens and stores lie")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, split, order, seed, tasks, *places = arguments.one
        key = {"split": split, "order": int(order), "seed": int(seed), "tasks": int(tasks)}
        one(METHODS[name], [int(place) for place in places], arguments.work, **key)
        return
    for name in arguments.choose:
        if len(METHODS[name].choices) > 1:
            perform(METHODS[name], METHODS[name].choices, arguments.work, split="val", order=0, seed=arguments.seed, tasks=CHOICE_TASKS)
    for name in arguments.run:
        settings = chosen(METHODS[name], arguments.seed)
        for order in METHODS[name].orders:
            if order in (arguments.order or METHODS[name].orders):
                perform(METHODS[name], [settings], arguments.work, split="test", order=order, seed=arguments.seed, tasks=TASKS)
    if arguments.choose or arguments.run:
        return
    print_table(METHODS, seed=arguments.seed)


if __name__ == "__main__":
    main()
