"""What all rows share: one backbone, its splits as tokens and features, and the orders in which the classes come.

Every trained row changes the same upper blocks of the backbone as edgecl does, so each picture goes through the lower ones once, plain and as
augmented views, and is kept as the tokens that enter the first trained block. Nothing that a method does depends on it but its seconds.
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgecl.architecture import Architecture
from edgecl.augment import augment
from edgecl.backbone import Vit, build
from edgecl.manifest import canonical_json
from edgecl.pictures import Picture, find
from edgecl.preprocess import geometry_of
from edgecl.runtime.eager import features_of, lower_tokens

Array = np.ndarray[Any, Any]
VIEWS = 4  # augmented views of a training picture, as many as edgecl's epochs; view 0 is the picture itself
SPLITS = ("train", "val", "test")
PICTURE_BYTES = 34_500  # of a photo as edgecl keeps it; the mean of three per class, which a test looks at
KEPT = 10  # pictures of a class, for every method that keeps some


@dataclass(frozen=True, eq=False)
class Pictures:
    """Some pictures of a split: `labels [n]`, frozen `features [n, d]`, their files, and where their tokens lie in the split's file."""

    labels: Array
    features: Array
    paths: Array  # [n] of str, below the split's folder
    file: Array  # [k, v, t, d] fp16 of the whole split, at the first trained block; v is 1 where nothing is trained on
    places: Array  # [n]

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, classes: Sequence[int]) -> "Pictures":
        """Those that belong to `classes`."""
        return self.at(np.flatnonzero(np.isin(self.labels, classes)))

    def at(self, indices: Array) -> "Pictures":
        """Those with the given numbers among these."""
        return Pictures(self.labels[indices], self.features[indices], self.paths[indices], self.file, self.places[indices])

    def tokens(self, indices: Array | slice = slice(None), view: int = 0) -> Tensor:
        """`[k, t, d]` float32 of the pictures with the given numbers; view 0 is the picture as it is, the others are augmented."""
        return torch.from_numpy(np.array(self.file[self.places[indices], view], dtype=np.float32))


@dataclass(frozen=True, eq=False)
class Bench:
    """A backbone and its pictures; classes are numbers, in the order of their names."""

    architecture: Architecture
    state: Mapping[str, Array]
    first_block: int
    classes: tuple[str, ...]
    orders: Mapping[int, tuple[tuple[int, ...], ...]]
    train: Pictures
    val: Pictures
    test: Pictures
    folder: Path  # of the splits, for rows that begin at the pictures
    work: Path  # for what a row keeps between its runs

    def vit(self) -> Vit:
        """A fresh model."""
        return build(self.architecture, self.state)

    def course(self, order: int, *, split: str, tasks: int, seed: int) -> "Course":
        """The first `tasks` tasks of an order, evaluated on `split`."""
        return Course(self, order, self.orders[order][:tasks], {"val": self.val, "test": self.test}[split], split, seed)


@dataclass(frozen=True, eq=False)
class Course:
    """What one row is run on: tasks to be learned one after the other, and pictures to be asked about after each.

    A class may come in several tasks; then `lessons` says which of its pictures each of them brings.
    """

    bench: Bench
    order: int
    tasks: tuple[tuple[int, ...], ...]
    asked: Pictures
    split: str
    seed: int
    lessons: tuple[Array, ...] | None = None  # of each task, numbers of pictures of `bench.train`; None: all pictures of its classes

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """Of all tasks, each once, in the order in which they first come."""
        return self.seen(len(self.tasks) - 1)

    def seen(self, task: int) -> tuple[int, ...]:
        """Classes of the tasks up to and with number `task` (from 0), each once."""
        return tuple(dict.fromkeys(c for names in self.tasks[: task + 1] for c in names))

    def lesson(self, task: int) -> Array:
        """Numbers, among `bench.train`, of the pictures that number `task` brings."""
        return np.flatnonzero(np.isin(self.bench.train.labels, self.tasks[task])) if self.lessons is None else self.lessons[task]

    def taught(self, task: int) -> Pictures:
        """What number `task` brings to learn from."""
        return self.bench.train.at(self.lesson(task))

    @cached_property
    def everything(self) -> Pictures:
        """What all tasks bring, each picture once."""
        return self.bench.train.at(np.unique(np.concatenate([self.lesson(task) for task in range(len(self.tasks))])))


def bench_of(
    folder: Path, orders: Mapping[int, Sequence[Sequence[str]]], architecture: Architecture, state: Mapping[str, Array], *,
    first_block: int, work: Path,
) -> Bench:  # fmt: skip
    """Look at the class folders under `folder/train`, `/val` and `/test` once; what was seen stays in `work`."""
    key = hashlib.sha256(canonical_json([asdict(architecture), first_block, VIEWS, str(folder.resolve())])).hexdigest()[:12]
    place = work / f"tokens-{key}"
    place.mkdir(parents=True, exist_ok=True)
    classes = tuple(sorted({name for task in orders[min(orders)] for name in task}))
    seen = {split: _seen(folder / split, classes, architecture, state, first_block, place / split) for split in SPLITS}
    numbered = {order: tuple(tuple(classes.index(name) for name in task) for task in tasks) for order, tasks in orders.items()}
    return Bench(architecture, state, first_block, classes, numbered, seen["train"], seen["val"], seen["test"], folder, work)


def _seen(
    folder: Path, classes: Sequence[str], architecture: Architecture, state: Mapping[str, Array], first_block: int, place: Path
) -> Pictures:  # fmt: skip
    """One split; the file with the labels is written last and says that the others are whole."""
    files = [place.with_name(f"{place.name}-{kind}.npy") for kind in ("labels", "tokens", "features")]
    if not files[0].exists():
        print(f"looking at {folder.name}, once", flush=True)
        vit = build(architecture, state)
        pictures = find(folder, geometry_of(architecture)).pictures
        views = 1 + (VIEWS if folder.name == "train" else 0)
        shape = (len(pictures), views, architecture.tokens, architecture.width)
        tokens = np.lib.format.open_memmap(files[1], mode="w+", dtype=np.float16, shape=shape)
        for start in range(0, len(pictures), 32):
            for offset, picture in enumerate(pictures[start : start + 32]):
                drawn = [augment(picture.rgb, size=architecture.image_size, seed=0, step=v, place=start + offset) for v in range(views - 1)]
                tokens[start + offset] = lower_tokens(vit, [picture.input, *drawn], first_block).half().numpy()
        tokens.flush()
        plain = [torch.from_numpy(np.array(tokens[i : i + 32, 0])) for i in range(0, len(pictures), 32)]
        features = np.concatenate([features_of(vit, part, first_block) for part in plain])
        np.save(files[2], features)
        _save_paths(folder, pictures, place)
        np.save(files[0], np.array([classes.index(p.class_name) for p in pictures]))
    labels = np.load(files[0])
    paths = _paths(folder, classes, labels, architecture, place)
    return Pictures(labels, np.load(files[2]), paths, np.load(files[1], mmap_mode="r"), np.arange(len(labels)))


def _paths(folder: Path, classes: Sequence[str], labels: Array, architecture: Architecture, place: Path) -> Array:
    """The file of each picture, below `folder`; looked for anew where an earlier run has left tokens without them."""
    file = place.with_name(f"{place.name}-paths.npy")
    if not file.exists():
        pictures = find(folder, geometry_of(architecture)).pictures
        if [classes.index(p.class_name) for p in pictures] != labels.tolist():
            sys.exit(f"{folder} has other pictures than {place.parent} was made of; remove {place.parent} and run again")
        _save_paths(folder, pictures, place)
    return np.load(file)


def _save_paths(folder: Path, pictures: Sequence[Picture], place: Path) -> None:
    file, whole = place.with_name(f"{place.name}-paths-{os.getpid()}.npy"), place.with_name(f"{place.name}-paths.npy")
    np.save(file, np.array([str(p.path.relative_to(folder)) for p in pictures]))
    file.replace(whole)


def grocery(work: Path) -> Bench:
    """The Grocery photos by the real ViT-Tiny, in the three fixed orders of nine tasks of nine classes."""
    from grocery import DATA, WEIGHTS

    from edgecl.backbone import load_pretrained
    from edgecl.settings import AdapterShape

    found = load_pretrained("vit_tiny_patch16_224", WEIGHTS)
    orders = {int(order): tasks for order, tasks in json.loads((DATA / "tasks.json").read_text()).items()}
    return bench_of(DATA, orders, found.architecture, found.state, first_block=AdapterShape().first_block, work=work)
