"""Learns the Grocery photos task by task through the command line and prints what is still known after each.

    python benchmarks/grocery.py --split val --order 0          # development
    python benchmarks/grocery.py --freeze                       # writes the configuration and its hash, to be committed
    python benchmarks/grocery.py --split test --order 0 1 2     # the one test run; refuses another configuration
    python benchmarks/grocery.py --split test --order 0 1 2 --report [--configuration HASH]     # its rows, or those of an earlier configuration
    python benchmarks/grocery.py --split test --order 0 --without 3   # the same without its third task (for benchmarks/forget.py)
    python benchmarks/grocery.py --backbone edgecl_vit_nano ...       # any of these with the built-in backbone, a configuration of its own
    python benchmarks/grocery.py ... --all-the-same                   # promotes what the gate refuses and goes on; the row says so

Each learn is `python -m edgecl learn` in a process of its own, with its default settings, so seconds and peak memory are what a user
gets. Training sees `train`, the coefficient and the memory's hold-out see `val`, figures are of `--split`. A finished task is a row of
`results/grocery.csv`; a run that was stopped goes on behind its last row. A task that has its row already is learned again where its store
is gone, but not written again: the script prints both figures.
"""

import argparse
import csv
import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgecl import augment, head, learner
from edgecl.backbones import NANO, weights_file
from edgecl.evaluate import average_incremental_accuracy, evaluate, forgetting
from edgecl.manifest import canonical_json
from edgecl.pictures import find
from edgecl.preprocess import geometry_of
from edgecl.runtime.ort import OrtPredictor
from edgecl.settings import DEFAULT_CAPACITY, AdapterShape, LearnSettings, MemorySettings
from edgecl.store import Store

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("EDGECL_SHARED") or HERE.parents[1] / "shared")
DATA = SHARED / "data" / "grocery"
WEIGHTS = SHARED / "weights" / "vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"
ROWS = HERE / "results" / "grocery.csv"
TINY = "vit_tiny_patch16_224"
BACKBONES = (TINY, NANO.backbone)
TASKS = 9
REFUSED = 3  # exit code of a learn that the gate refuses
KEY = ("configuration", "split", "order", "seed", "without")
FIELDS = [
    "commit", "configuration", "machine", "seed", "split", "order", "without", "task", "version", "classes", "pictures", "accuracy",
    *[f"task{i}" for i in range(1, TASKS + 1)], "coefficient", "validation", "holdout_before", "holdout_after", "seconds", "peak_memory_mib", "refused",
    "training_seconds",
]  # fmt: skip


def configuration(backbone: str = TINY) -> dict[str, Any]:
    """Everything that learning is set to, as JSON values."""
    built_in = backbone == NANO.backbone
    first_block = min(AdapterShape().first_block, NANO.depth // 2) if built_in else AdapterShape().first_block
    return {
        "backbone": f"{hashlib.sha256(weights_file(backbone).read_bytes()).hexdigest()[:16]} {backbone}" if built_in else WEIGHTS.name,
        "capacity": DEFAULT_CAPACITY,
        "adapter": dataclasses.asdict(AdapterShape(first_block=first_block)),
        "memory": dataclasses.asdict(MemorySettings()),
        "learn": dataclasses.asdict(LearnSettings()),
        "head": {
            "shrinkage": head.SHRINKAGE,
            "covariance": "carried over",
            "start_lead": learner.START_LEAD,
            "coefficient": "largest within one standard error",
        },
        "augment": {name: getattr(augment, name) for name in dir(augment) if name.isupper()},
    }


def configuration_hash(backbone: str = TINY) -> str:
    """sha256 of the configuration, its first 16 digits."""
    return hashlib.sha256(canonical_json(configuration(backbone))).hexdigest()[:16]


def frozen(backbone: str) -> Path:
    """Where the configuration is written that a backbone's test run is held to."""
    return HERE / "results" / ("grocery-configuration.json" if backbone == TINY else f"grocery-configuration-{backbone}.json")


def freeze(backbone: str) -> None:
    """Write the configuration that the test run will be held to."""
    found = {"hash": configuration_hash(backbone), "configuration": configuration(backbone)}
    frozen(backbone).write_text(json.dumps(found, indent=1) + "\n")
    print(f"{frozen(backbone).name}: {found['hash']}; commit it before the test run")


def check_frozen(backbone: str = TINY) -> None:
    """The test split is only for the configuration that was committed."""
    committed = subprocess.run(
        ["git", "show", f"HEAD:benchmarks/results/{frozen(backbone).name}"], cwd=HERE, capture_output=True, text=True
    )
    if committed.returncode or json.loads(committed.stdout)["hash"] != configuration_hash(backbone):
        sys.exit(f"the configuration {configuration_hash(backbone)} is not the committed one; run --freeze and commit it first")


def edgecl(*arguments: str, allowed: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """One command of the command line with `--json`; its answer, and of a learn also how long its gradient part took."""
    progress = ["--progress-json"] if arguments[0] == "learn" else []
    done = subprocess.run([sys.executable, "-m", "edgecl", *arguments, *progress, "--json"], capture_output=True, text=True)
    if done.returncode not in allowed:
        sys.exit(f"edgecl {arguments[0]} ended with exit code {done.returncode}:\n{done.stderr}")
    return {**json.loads(done.stdout), **({"training_seconds": training_seconds(done.stderr)} if progress else {})}


def training_seconds(progress: str) -> float:
    """From the first step's end to the last one's, by the lines of `--progress-json`; the rest of a learn is for the head, and grows with it."""
    lines = [json.loads(line) for line in progress.splitlines() if line.startswith('{"format": "edgecl.progress/')]
    return max((float(line["seconds"]) for line in lines if line["stage"] == "training"), default=0.0)


def folder_of(classes: list[str], source: Path, place: Path) -> Path:
    """A task folder with links to the classes' folders in `source`, a split; not every class has pictures in `val`."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in classes:
        if (source / name).is_dir():
            (place / name).symlink_to((source / name).resolve())
    return place


def run(order: int, *, backbone: str, split: str, seed: int, without: int | None, work: Path, tasks: int, all_the_same: bool) -> None:
    """Learn one order from where it stands; append a row per task. With `all_the_same` the gate's no is written down and overruled."""
    taught = [names for i, names in enumerate(json.loads((DATA / "tasks.json").read_text())[str(order)], start=1) if i != without]
    root = work / f"order{order}-seed{seed}{f'-without{without}' if without else ''}"
    root.mkdir(parents=True, exist_ok=True)
    model = root / "model"
    if not model.exists():
        edgecl("init", str(model), "--backbone", backbone, *(["--weights", str(WEIGHTS)] if backbone == TINY else []))
    store = Store.open(model)
    pictures = [(p.class_name, p.input) for p in find(DATA / split, geometry_of(store.facts.architecture)).pictures]
    for index, names in enumerate(taught[:tasks], start=1):
        if index in store.numbers():
            continue
        task, val = folder_of(names, DATA / "train", root / f"task{index}"), folder_of(names, DATA / "val", root / f"val{index}")
        told = ("--store", str(model), "--task", str(task), "--val", str(val), "--seed", str(seed))
        learned = edgecl("learn", *told, allowed=(0, REFUSED) if all_the_same else (0,))
        if learned["state"] != "current":
            edgecl("promote", str(learned["version"]), "--store", str(model))
        if without:  # only its last version counts, which benchmarks/forget.py measures
            continue
        row = measure(store, learned, pictures, taught)
        append(
            {
                "configuration": configuration_hash(backbone),
                **row,
                "order": order,
                "seed": seed,
                "split": split,
                "without": without or "",
                "task": index,
                **of_learning(learned),
            }
        )


def measure(store: Store, learned: dict[str, Any], pictures: list[Any], taught: list[list[str]]) -> dict[str, Any]:
    """Accuracy of the learned version on all classes so far, and on each task."""
    number = int(learned["version"])
    predictor = OrtPredictor(threads=int(os.environ.get("OMP_NUM_THREADS", "0")))
    with store.use(number) as folder:
        predictor.load(folder)
        result = evaluate(predictor, pictures, store.manifest(number))
    row: dict[str, Any] = {
        "version": number,
        "classes": len(store.manifest(number).classes),
        "pictures": result.n,
        "accuracy": result.accuracy,
    }
    for index, names in enumerate(taught, start=1):
        seen = [result.per_class[name] for name in names if name in result.per_class]
        if seen:
            row[f"task{index}"] = sum(c.accuracy * c.n for c in seen) / sum(c.n for c in seen)
    return row


def of_learning(learned: dict[str, Any]) -> dict[str, Any]:
    """What `learn --json` said."""
    refused = "" if learned["gate"]["passed"] else "yes"
    return {
        "refused": refused,
        **learned["accuracy"],
        **{name: learned[name] for name in ("coefficient", "seconds", "training_seconds", "peak_memory_mib")},
    }


def finished(configuration: str, split: str, order: int, seed: int) -> list[dict[str, str]]:
    """The committed rows of one order under the configuration of this hash."""
    if not ROWS.exists():
        return []
    wanted = (configuration, split, str(order), str(seed), "")
    with ROWS.open() as file:
        return [row for row in csv.DictReader(file) if tuple(row[name] for name in KEY) == wanted]


def append(row: dict[str, Any]) -> None:
    """Add a row to the committed table, unless the task has one: then print how the two compare."""
    refused = ", refused by the gate" if row["refused"] else ""
    print(f"order {row['order']} task {row['task']}: {row['accuracy']:.4f} of {row['pictures']}, {row['seconds']} s{refused}", flush=True)
    for known in finished(row["configuration"], row["split"], row["order"], row["seed"]):
        if known["task"] == str(row["task"]):
            print(f"  its row has {known['accuracy']}; left as it is", flush=True)
            return
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    machine = f"{platform.machine()}-{os.cpu_count()}cores-{os.environ.get('OMP_NUM_THREADS', 'all')}threads"
    full = {"commit": commit, "machine": machine, **row}
    new = not ROWS.exists()
    with ROWS.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, restval="", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({name: f"{value:.4f}" if isinstance(value, float) else value for name, value in full.items()})


def print_training(rows: list[dict[str, str]], order: int) -> None:
    """Whether a later task takes longer than an early one, new picture for new picture."""
    tasks = json.loads((DATA / "tasks.json").read_text())[str(order)]

    def seconds_per_picture(task: int) -> float:
        pictures = sum(len(list((DATA / "train" / name).iterdir())) for name in tasks[task - 1])
        return float(rows[task - 1]["training_seconds"]) / pictures

    second, last = seconds_per_picture(2), seconds_per_picture(TASKS)
    print(f"  seconds of training per new picture: task 2 {second:.3f}, task {TASKS} {last:.3f}, ratio {last / second:.2f}")


def report(configuration: str, split: str, order: int, seed: int) -> float | None:
    """Print one order's table; returns the final accuracy when all tasks were learned."""
    rows = finished(configuration, split, order, seed)
    print(f"\norder {order}, {split} split, configuration {configuration}")
    for row in rows:
        print(
            f"  after task {row['task']}: {float(row['accuracy']):.2%} of {row['pictures']}; {row['seconds']} s, {row['peak_memory_mib']} MiB"
        )
    if len(rows) < TASKS:
        return None
    matrix = np.array([[float(row[f"task{i}"] or "nan") for i in range(1, TASKS + 1)] for row in rows])
    curve = [float(row["accuracy"]) for row in rows]
    print(f"  final accuracy {curve[-1]:.2%}, average over tasks {np.mean(curve):.2%}, forgetting {forgetting(matrix):.2%}")
    print(f"  (task-averaged incremental accuracy {average_incremental_accuracy(matrix):.2%})")
    if all(row["training_seconds"] for row in rows):  # rows of before have none
        print_training(rows, order)
    print(
        f"  seconds per task {np.median([float(row['seconds']) for row in rows]):.0f} (median), peak {max(int(row['peak_memory_mib']) for row in rows)} MiB"
    )
    return curve[-1]


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default=TINY, choices=BACKBONES)
    parser.add_argument("--order", type=int, nargs="+", default=[0], choices=[0, 1, 2])
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--without", type=int, choices=range(1, TASKS + 1))
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--all-the-same", action="store_true", help="serve what the gate refuses, and go on")
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--report", action="store_true", help="print the finished rows, learn nothing")
    parser.add_argument("--configuration", metavar="HASH", help="with --report: rows of an earlier configuration")
    arguments = parser.parse_args()
    if arguments.configuration and not arguments.report:
        parser.error("--configuration shows rows that are there; add --report")
    if arguments.freeze:
        freeze(arguments.backbone)
        return
    if arguments.split == "test" and not arguments.report:
        check_frozen(arguments.backbone)
    for order in arguments.order if not arguments.report else []:
        place = arguments.work / f"{arguments.split}-{configuration_hash(arguments.backbone)}"
        options = {"split": arguments.split, "seed": arguments.seed, "without": arguments.without, "tasks": arguments.tasks}
        options["all_the_same"] = arguments.all_the_same
        run(order, backbone=arguments.backbone, work=place, **options)
    shown = arguments.configuration or configuration_hash(arguments.backbone)
    finals = [report(shown, arguments.split, order, arguments.seed) for order in arguments.order]
    done = [final for final in finals if final is not None]
    if done:
        print(f"\nmean final accuracy over {len(done)} orders: {np.mean(done):.2%}")


if __name__ == "__main__":
    main()
