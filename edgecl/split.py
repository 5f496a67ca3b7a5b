"""Which pictures of a task validate: a part of each class, chosen so that near-duplicates and bursts do not lie on both sides."""

import hashlib
from collections.abc import Sequence

import numpy as np

from edgecl.pictures import Picture
from edgecl.preprocess import alike

NEAR = 6  # bits of 64 in which two perceptual hashes of one scene may differ; no two of 2,640 shop photos of different products do
BURST_S = 2.0  # seconds between two frames of one burst
LARGEST = 1 / 3  # of a class: a group up to this size may validate as a whole


def split(
    pictures: Sequence[Picture], *, share: float = 0.15, minimum: int = 4, seed: int = 0
) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """(training, validation): of each class `max(1, share)` validates, nothing of a class below `minimum` pictures.

    Near-duplicates and frames of one burst stay on one side. Where a class is made of a few large groups, a whole one would take too
    much from training: its smallest is then cut by time, and the last part validates. The choice depends on the seed, the class's
    name and its own pictures alone.
    """
    validation: set[int] = set()
    for name in sorted({picture.class_name for picture in pictures}):
        members = [index for index, picture in enumerate(pictures) if picture.class_name == name]
        if len(members) >= minimum:
            chosen = _choose([pictures[i] for i in members], max(1, round(share * len(members))), _random(seed, name))
            validation |= {members[i] for i in chosen}
    train = tuple(picture for index, picture in enumerate(pictures) if index not in validation)
    return train, tuple(pictures[index] for index in sorted(validation))


def _random(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")])


def _choose(pictures: Sequence[Picture], wanted: int, random: np.random.Generator) -> list[int]:
    groups = _groups(pictures)
    chosen: list[int] = []
    for index in random.permutation(len(groups)):
        group = groups[int(index)]
        # A group that would overshoot by more than it brings nearer is passed over, so that training keeps its pictures.
        if len(group) < len(pictures) and len(chosen) + len(group) - wanted <= wanted - len(chosen):
            chosen += group
    if chosen:
        return chosen
    smallest = min(groups, key=len)
    if len(smallest) <= LARGEST * len(pictures):
        return smallest
    return sorted(smallest, key=lambda i: (pictures[i].captured or 0.0, str(pictures[i].path)))[-wanted:]


def _groups(pictures: Sequence[Picture]) -> list[list[int]]:
    """Indices joined by likeness or by time, each group in order, groups by their first index."""
    leader = list(range(len(pictures)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for i, one in enumerate(pictures):
        for j in range(i):
            if _together(one, pictures[j]):
                leader[find(i)] = find(j)
    groups: dict[int, list[int]] = {}
    for i in range(len(pictures)):
        groups.setdefault(find(i), []).append(i)
    return list(groups.values())


def _together(one: Picture, other: Picture) -> bool:
    if one.captured is not None and other.captured is not None and abs(one.captured - other.captured) <= BURST_S:
        return True
    return alike(one.phash, other.phash, within=NEAR)
