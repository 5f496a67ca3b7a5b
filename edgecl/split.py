"""Which pictures of a task validate: a part of each class, chosen so that near-duplicates and bursts do not lie on both sides."""

import hashlib
from collections.abc import Sequence

import numpy as np

from edgecl.pictures import Picture
from edgecl.preprocess import hamming

NEAR = 6  # bits of 64 in which two perceptual hashes may differ and still count as one scene
BURST_S = 2.0  # seconds between frames of one burst


def split(
    pictures: Sequence[Picture], *, share: float = 0.15, minimum: int = 4, seed: int = 0
) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """(training, validation): of each class `max(1, share)` validates, nothing of a class below `minimum` pictures.

    Near-duplicates and frames of one burst stay on one side. A class that is a single such group is cut by time: its last part
    validates. The choice depends on the seed, the class's name and its own pictures alone.
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
    if len(groups) == 1:
        ordered = sorted(range(len(pictures)), key=lambda i: (pictures[i].captured or 0.0, str(pictures[i].path)))
        return ordered[-wanted:]
    chosen: list[int] = []
    for index in random.permutation(len(groups)):
        group = groups[int(index)]
        # A group that would overshoot by more than it brings nearer is passed over, so that training keeps its pictures.
        if len(chosen) < wanted and len(chosen) + len(group) - wanted <= wanted - len(chosen):
            chosen += group
    return chosen or min(groups, key=len)


def _groups(pictures: Sequence[Picture]) -> list[list[int]]:
    """Indices joined by likeness or by time, each group in order."""
    leader = list(range(len(pictures)))

    def find(i: int) -> int:
        while leader[i] != i:
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
    # Flat pictures all have nearly the same hash, which then says nothing about the scene.
    return min(_telling(one.phash), _telling(other.phash)) >= NEAR and hamming(one.phash, other.phash) <= NEAR


def _telling(phash: int) -> int:
    return min(phash.bit_count(), 64 - phash.bit_count())
