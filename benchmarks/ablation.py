"""What each part of the recipe adds: edgecl's learner without it, asked about pictures that it has not seen. No test picture is read.

    python benchmarks/ablation.py                            # learns what has no row yet, one part after the other
    python benchmarks/ablation.py --part "no augmentation"   # only this one
    python benchmarks/ablation.py --table --order 0 1 [--configuration HASH]   # what is there, or was with an earlier one; means over two orders
    python benchmarks/ablation.py --backbone edgecl_vit_nano # any of these with the built-in backbone
    python benchmarks/ablation.py --pictures tiles           # any of these with CIFAR-100's tiles, ten tasks of ten classes

Nine tasks of nine groceries; which pictures are learned from and which are held out stands in `development.py`. `val` plays its usual part: it chooses
the coefficient and gives the memory its hold-out pictures, so it is asked about in a column of its own. Rows of results/ablation.csv are finished runs;
none is repeated.
"""

import argparse
import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from continual import rows
from continual.logistic import logistic_regression
from continual.measures import summary
from development import DEVELOPMENT, Folders
from grocery import BACKBONES, HERE, TINY, WEIGHTS, configuration, configuration_hash, folder_of, measure
from numpy.typing import NDArray
from PIL import Image

from edgecl.backbone import load_pretrained
from edgecl.head import Head, fit_head, make_head
from edgecl.learner import learn
from edgecl.pictures import find
from edgecl.preprocess import geometry_of
from edgecl.runtime.ort import OrtPredictor
from edgecl.settings import DEFAULT_CAPACITY, AdapterShape, LearnSettings, MemorySettings
from edgecl.start import create_store
from edgecl.store import Store
from edgecl.training import Example
from edgecl_export.graph import write_graph

ROWS = HERE / "results" / "ablation.csv"
FIELDS = (
    "commit", "machine", "configuration", "part", "order", "seed", "a_t", "average", "forgetting", "transfer", "val_a_t", "val_average",
    "curve", "matrix",
    "pictures",  # empty: groceries; lines from before there were others end before it
)  # fmt: skip
KEY = ("configuration", "part", "order", "seed", "pictures")
COLUMNS = ("a_t", "average", "forgetting", "val_a_t", "val_average")
DECAY = 1e-3  # of the logistic regression that stands in for the head in closed form

Array = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """How the recipe is without something."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # of LearnSettings
    # Name of one of the product's functions -> what stands in for it.
    patches: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


def plainly_resized(rgb: Array, *, size: int, **_: Any) -> Array:
    """Instead of augmentation: the whole picture, always the same."""
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC))


def zeros(features: Array, rows: Array, *, capacity: int, **_: Any) -> Head:
    """Instead of class means that training starts from."""
    used = np.unique(rows)
    return make_head(np.zeros((len(used), features.shape[1])), np.zeros(len(used)), used, capacity=capacity)


def logistic(features: Array, rows: Array, *, capacity: int, temperature: float = 1.0, covariance: Array | None = None) -> Head:
    """Instead of the head in closed form: multinomial logistic regression on the same features, to its end by L-BFGS."""
    used = np.unique(rows)
    weight, bias = logistic_regression(features, np.searchsorted(used, rows), decay=DECAY)
    return make_head(weight / temperature, bias / temperature, used, capacity=capacity)


def kept_alone(features: Array, rows: Array, *, covariance: Array, **options: Any) -> Head:
    """Instead of a covariance that is carried along: that of the new pictures and the few kept ones."""
    return fit_head(features, rows, **options)


def rounder(features: Array, rows: Array, **options: Any) -> Head:
    """Instead of a covariance shrunk by half: one of which only a tenth is left."""
    return fit_head(features, rows, shrinkage=0.9, **options)


def swept(examples: Sequence[Example], *, seed: int, epoch: int, batch: int, **_: Any) -> list[list[int]]:
    """Instead of looks that take turns: every picture once, new or remembered. Steps so grow with what was learned before."""
    order = [int(i) for i in np.random.default_rng([seed, epoch]).permutation(len(examples))]
    return [order[start : start + batch] for start in range(0, len(order), batch)]


WHOLE = "edgecl as it is"
PARTS = {
    WHOLE: Part(),
    "head only: no adapter": Part({"epochs": 0, "coefficients": (0.0,)}),
    "coefficient 1, not chosen": Part({"coefficients": (1.0,)}),
    "no remembered pictures in training": Part({"replay_per_new": 0.0}),
    "one look at remembered pictures per new one": Part({"replay_per_new": 1.0}),
    "three looks at remembered pictures per new one": Part({"replay_per_new": 3.0}),
    "every remembered picture once per epoch: time grows": Part(patches={"edgecl.training.epoch_order": swept}),
    "no augmentation": Part(patches={"edgecl.training.augment": plainly_resized}),
    "no label smoothing": Part({"label_smoothing": 0.0}),
    "training starts from a head of zeros": Part(patches={"edgecl.learner.fit_head": zeros}),
    "head by logistic regression": Part(patches={"edgecl.search.fit_head": logistic}),
    "the head's covariance from kept pictures alone": Part(patches={"edgecl.search.fit_head": kept_alone}),
    "the head's covariance shrunk by 0.9": Part(patches={"edgecl.search.fit_head": rounder}),
    "half as many epochs": Part({"epochs": 2}),
    "twice as many epochs": Part({"epochs": 8}),
    "half the learning rate": Part({"learning_rate": 1e-3}),
    "twice the learning rate": Part({"learning_rate": 4e-3}),
}


def empty_store(root: Path, backbone: str) -> Store:
    """A store without a class, as `edgecl init` makes it."""
    found = load_pretrained(backbone, WEIGHTS if backbone == TINY else None)
    return create_store(
        root, architecture=found.architecture, state=found.state, source=found.source, capacity=DEFAULT_CAPACITY,
        adapter=AdapterShape(**configuration(backbone)["adapter"]), memory=MemorySettings(), write_graph=write_graph, make_predictor=OrtPredictor,
    )  # fmt: skip


def run(
    part: str, tasks: list[list[str]], seed: int, work: Path, *, pictures: Callable[[Path], Folders], new_store: Callable[[Path], Store]
) -> dict[str, Any]:
    """Learn the tasks from `pictures` without `part`, and ask after each; its figures."""
    shutil.rmtree(work, ignore_errors=True)
    learned, held, val = pictures(work)
    store = new_store(work / "model")
    geometry = geometry_of(store.facts.architecture)
    asked = {name: [(p.class_name, p.input) for p in find(folder, geometry).pictures] for name, folder in (("held", held), ("val", val))}
    curves: dict[str, list[float]] = {"held": [], "val": []}
    matrix = []
    for index, names in enumerate(tasks):
        folders = folder_of(names, learned, work / f"task{index}"), folder_of(names, val, work / f"val{index}")
        number = learned_without(part, store, *folders, seed=seed)
        found = {name: measure(store, {"version": number}, of_it, tasks) for name, of_it in asked.items()}
        for name, row in found.items():
            curves[name].append(row["accuracy"])
        matrix.append([found["held"].get(f"task{i}", float("nan")) for i in range(1, len(tasks) + 1)])
        print(f"  {part}: task {index + 1}: {curves['held'][-1]:.4f} held out, {curves['val'][-1]:.4f} val", flush=True)
    shutil.rmtree(work)
    return {
        **summary(matrix, curves["held"]), "val_a_t": curves["val"][-1], "val_average": float(np.mean(curves["val"])),
        "curve": curves["held"], "matrix": matrix,
    }  # fmt: skip


def learned_without(part: str, store: Store, task: Path, val: Path, *, seed: int) -> int:
    """Learn one task; the number of its version. Where the gate says no for lack of the part, what comes of it is measured all the same."""
    settings = replace(LearnSettings(seed=seed, threads=1), **PARTS[part].settings)
    with ExitStack() as stack:
        for name, instead in PARTS[part].patches.items():
            stack.enter_context(mock.patch(name, instead))
        result = learn(store, task, val=val, settings=settings, device="cpu", write_graph=write_graph, make_predictor=OrtPredictor)
    if result.state != "current":
        store.promote(result.version, expected=store.current)
    return result.version


def finished(**place: Any) -> dict[str, dict[str, str]]:
    """Part -> its row at `place`: configuration, order, seed and pictures."""
    return {row["part"]: row for row in rows.find(rows.read(ROWS), **place)}


def print_table(known: Sequence[Mapping[str, Mapping[str, str]]]) -> None:
    """Each part's figures, means over the orders of `known`, and how far they lie from those of the whole."""

    def figures(part: str) -> list[float]:
        return [float(np.mean([100 * float(order[part][name]) for order in known])) for name in COLUMNS]

    print(f"{'':56}{''.join(f'{name:>22}' for name in COLUMNS)}")
    for part in PARTS:
        if all(part in order and WHOLE in order for order in known):
            cells = [f"{value:.1f} ({value - whole:+.1f})" for value, whole in zip(figures(part), figures(WHOLE), strict=True)]
        else:
            cells = ["not measured"]
        print(f"{part:56}{''.join(f'{cell:>22}' for cell in cells)}")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--backbone", default=TINY, choices=BACKBONES)
    parser.add_argument("--pictures", default="groceries", choices=DEVELOPMENT)
    parser.add_argument("--order", type=int, nargs="+", default=[0], choices=[0, 1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=HERE / "work" / "ablation")
    parser.add_argument("--table", action="store_true", help="learn nothing")
    parser.add_argument("--configuration", metavar="HASH", help="with --table: rows of an earlier configuration")
    arguments = parser.parse_args()
    if arguments.configuration and not arguments.table:
        parser.error("--configuration names finished rows; give --table, too")
    torch.set_num_threads(1)
    configured = arguments.configuration or configuration_hash(arguments.backbone)
    named = arguments.pictures if arguments.pictures != "groceries" else ""
    places = [{"configuration": configured, "order": order, "seed": arguments.seed, "pictures": named} for order in arguments.order]
    those, new_store = DEVELOPMENT[arguments.pictures], partial(empty_store, backbone=arguments.backbone)
    for place, part in itertools.product(places, arguments.part if not arguments.table else ()):
        if part not in finished(**place):
            tasks = those.order(place["order"])
            figures = run(part, tasks, arguments.seed, arguments.work, pictures=those.folders, new_store=new_store)
            rows.append({**place, "part": part, **figures}, ROWS, columns=FIELDS, key=KEY)
    print_table([finished(**place) for place in places])


if __name__ == "__main__":
    main()
