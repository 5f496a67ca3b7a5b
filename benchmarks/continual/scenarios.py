"""Other courses than nine equal tasks: what each of them is, exactly. What is drawn at random is drawn with seed 0, whatever a row's own seed is.

Each is a function of the standard bench. Where nothing else is said, pictures, splits and backbone are the standard ones, `val` is given to
those that want it, and a task brings all training pictures of its classes.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from distil.places import PARTS, SHARED, tiles_of
from PIL import Image

from continual.data import Bench, Course, Pictures, bench_of

Array = np.ndarray[Any, Any]
Tasks = tuple[tuple[int, ...], ...]
SHOTS = 5  # pictures of a class in `five`
TILES = {"train": ("fit", 25), "val": ("validate", 4), "test": ("test", 20)}  # of a class in `cifar`: the first so many of that part


@dataclass(frozen=True, eq=False)
class Scenario:
    """A bench, perhaps with fewer or other pictures than the standard one, and the tasks in which it is learned."""

    bench: Bench
    tasks: Tasks
    lessons: tuple[Array, ...] | None = None  # as in Course


def twenty_seven_tasks(bench: Bench) -> Scenario:
    """27x3: the classes of order 0 in tasks of three."""
    return Scenario(bench, _cut(_ordered(bench), [3] * 27))


def one_by_one(bench: Bench) -> Scenario:
    """one-by-one: the first eight tasks of order 0, then the nine classes of its last task one at a time."""
    return Scenario(bench, _cut(_ordered(bench), [9] * 8 + [1] * 9))


def five(bench: Bench) -> Scenario:
    """five: order 0 with five training pictures of each class, the first ones of a random permutation, and no `val`."""
    random = np.random.default_rng(0)
    few = np.sort(np.concatenate([_shuffled(bench.train, c, random)[:SHOTS] for c in range(len(bench.classes))]))
    return Scenario(replace(bench, train=bench.train.at(few), val=bench.val.at(np.zeros(0, np.intp))), bench.orders[0])


def cifar(bench: Bench) -> Scenario:
    """cifar: CIFAR-100's 32x32 tiles in its shared order 0, ten tasks of ten; of each class's 500 training tiles 25 to learn from, 4 as `val`
    and 20 to be asked about: numbers 350 to 374, 425 to 428 and 450 to 469. One test tile stands
    under two names (numbers 452 and 462 of two classes) and is left out, as edgecl leaves such files out: 1998 are asked about. CIFAR's own test
    set is not used."""
    names = sorted(path.stem for path in (SHARED / "data" / "cifar100" / "train").glob("*.jpg"))
    orders = json.loads((SHARED / "data" / "cifar100" / "tasks.json").read_text())
    folder = bench.work / "cifar"
    for split, (part, count) in TILES.items():
        tiles = tiles_of(part).reshape(len(names), len(PARTS[part]), 32, 32, 3)[:, :count]
        write_tiles(tiles, names, PARTS[part].start, folder / split)
    tiled = bench_of(folder, {0: orders["0"]}, bench.architecture, bench.state, first_block=bench.first_block, work=bench.work)
    return Scenario(tiled, tiled.orders[0])


def more(bench: Bench) -> Scenario:
    """more: the first three tasks of order 0 with half of each class's training pictures (drawn at random, the larger half where the number is
    odd), then one task that brings the other half of all their classes, then the fourth and the fifth task whole."""
    first, later = bench.orders[0][:3], bench.orders[0][3:5]
    known = tuple(c for task in first for c in task)
    random = np.random.default_rng(0)
    halves = {c: np.array_split(_shuffled(bench.train, c, random), 2) for c in known}
    lessons = [*(_joined(halves[c][0] for c in task) for task in first), _joined(halves[c][1] for c in known)]
    whole = [np.flatnonzero(np.isin(bench.train.labels, task)) for task in later]
    return Scenario(bench, (*first, known, *later), (*lessons, *whole))


def near(bench: Bench) -> Scenario:
    """near: nine tasks of nine in which each class of the later half looks like one of the earlier half. Classes are paired by the cosine
    distance between their mean frozen features on train: the nearest two first, then the nearest two of the others, and so on. Of each pair the
    first by name comes in the earlier half, in the order of the pairs; then the class that is left over; then the others, in the same order."""
    pairs = near_pairs(bench)
    paired = {c for pair in pairs for c in pair}
    left = [c for c in range(len(bench.classes)) if c not in paired]
    return Scenario(bench, _cut([*(a for a, _ in pairs), *left, *(b for _, b in pairs)], [9] * 9))


def unequal(bench: Bench) -> Scenario:
    """unequal: the classes of order 0 in tasks of 1, 2, 3, 5, 8, 13, 20 and 29."""
    return Scenario(bench, _cut(_ordered(bench), [1, 2, 3, 5, 8, 13, 20, 29]))


SCENARIOS: dict[str, Callable[[Bench], Scenario]] = {
    "27x3": twenty_seven_tasks, "one-by-one": one_by_one, "five": five, "cifar": cifar, "more": more, "near": near, "unequal": unequal,
}  # fmt: skip


def course_of(name: str, bench: Bench, *, seed: int) -> Course:
    """A scenario as a row is run on it, evaluated on test: nothing is chosen in scenarios."""
    found = SCENARIOS[name](bench)
    return Course(found.bench, 0, found.tasks, found.bench.test, "test", seed, found.lessons)


def near_pairs(bench: Bench) -> list[tuple[int, int]]:
    """Disjoint pairs of classes `(a, b)`, a < b, greedily by the cosine distance of their frozen means."""
    means = np.stack([bench.train.of([c]).features.mean(axis=0) for c in range(len(bench.classes))])
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    first, second = np.triu_indices(len(unit), k=1)
    nearest = np.argsort(1 - (unit @ unit.T)[first, second], kind="stable")
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for a, b in zip(first[nearest].tolist(), second[nearest].tolist(), strict=True):
        if not taken & {a, b}:
            pairs.append((a, b))
            taken |= {a, b}
    return pairs


def _ordered(bench: Bench) -> list[int]:
    """The classes of order 0."""
    return [c for task in bench.orders[0] for c in task]


def _cut(classes: Sequence[int], sizes: Sequence[int]) -> Tasks:
    assert sum(sizes) == len(classes), (sum(sizes), len(classes))
    ends = np.cumsum([0, *sizes]).tolist()
    return tuple(tuple(classes[start:end]) for start, end in pairwise(ends))


def _shuffled(pictures: Pictures, c: int, random: np.random.Generator) -> Array:
    """Numbers of a class's pictures."""
    return random.permutation(np.flatnonzero(pictures.labels == c))


def _joined(parts: Any) -> Array:
    return np.sort(np.concatenate(list(parts)))


def write_tiles(tiles: Array, names: Sequence[str], first: int, folder: Path) -> None:
    """`tiles [c, k, h, w, 3]` as PNG files in class folders, named after their number in the mosaic; those that are there are left."""
    for name, own in zip(names, tiles, strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, tile in enumerate(own, start=first):
            file = folder / name / f"{number:03d}.png"
            if not file.exists():
                Image.fromarray(tile).save(file)
