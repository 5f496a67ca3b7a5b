"""The kept pictures and their index: a few per class, within a byte budget, two of them never trained on. Pure functions.

Replay pictures are chosen by herding, holdout pictures at random: a herded picture is the most typical one and would flatter.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import BadInput
from edgecl.manifest import KeptPicture, Role
from edgecl.preprocess import Rgb, encode_jpeg, hamming

HOLDOUT_PER_CLASS = 2
NEAR = 2  # bits of 64 in which a perceptual hash may differ from a held-out picture's and still count as the same picture


@dataclass(frozen=True)
class Candidate:
    """A picture that may enter the memory, and its bytes."""

    kept: KeptPicture
    data: bytes  # JPEG


def candidate(rgb: Rgb, *, class_id: str, role: Role, task: str, source: str, phash: int) -> Candidate:
    """Re-encode `rgb [h, w, 3]`, already shrunk; whatever the original file said beside its pixels (place, time, camera) is gone."""
    data = encode_jpeg(rgb)
    name = hashlib.sha256(data).hexdigest()
    kept = KeptPicture(hash=name, class_id=class_id, role=role, task=task, source=source, phash=f"{phash:016x}", bytes=len(data))
    return Candidate(kept, data)


def herd(features: NDArray[Any], count: int) -> list[int]:
    """The first `count` of `features [n, d]` in herding order: each choice brings the mean of the chosen nearest to the mean of all.

    Rebuffi et al. 2017 (iCaRL, arXiv 1611.07725), algorithm 4, on L2-normalised features; ties go to the lower index.
    """
    if len(features) == 0:
        return []
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    mean, total = unit.mean(axis=0), np.zeros(unit.shape[1])
    chosen: list[int] = []
    free = np.ones(len(unit), dtype=bool)
    for k in range(1, min(count, len(unit)) + 1):
        distance = np.linalg.norm(mean - (total + unit) / k, axis=1)
        pick = int(np.argmin(np.where(free, distance, np.inf)))
        chosen.append(pick)
        free[pick] = False
        total = total + unit[pick]
    return chosen


def is_held_out(sha256: str, phash: int, memory: Iterable[KeptPicture], class_id: str) -> bool:
    """Whether a new picture is one of the class's holdout pictures, or as good as one: it must not be trained on."""
    return any(
        kept.role == "holdout" and kept.class_id == class_id and (kept.source == sha256 or hamming(int(kept.phash, 16), phash) <= NEAR)
        for kept in memory
    )


def refill(
    old: Sequence[KeptPicture],
    new: Sequence[Candidate],
    features: Mapping[str, NDArray[Any]],
    *,
    per_class: int,
    budget_bytes: int,
) -> tuple[KeptPicture, ...]:
    """The memory's next index: per class its holdout pictures, then its replay pictures in herding order.

    Holdout pictures stay for life. The replay pictures of a class that brings new ones are herded anew over old and new together.

    Args:
        features: kept hash -> `[d]`, for every replay picture, old or new, of a class in `new`.
        per_class: pictures per class, `HOLDOUT_PER_CLASS` of them holdout.
        budget_bytes: for all JPEGs together; the last-herded pictures of the fullest classes go first.

    Raises:
        BadInput: `per_class` below 3, or a budget that cannot hold one replay picture and the holdout pictures of each class.
    """
    if per_class <= HOLDOUT_PER_CLASS:
        raise BadInput(
            f"memory.per_class is {per_class}, but {HOLDOUT_PER_CLASS} of them are held out for checking; give at least {HOLDOUT_PER_CLASS + 1}"
        )
    classes = dict.fromkeys([*(kept.class_id for kept in old), *(item.kept.class_id for item in new)])
    index: list[list[KeptPicture]] = []
    for class_id in classes:
        mine = [kept for kept in old if kept.class_id == class_id]
        fresh = [item.kept for item in new if item.kept.class_id == class_id]
        index.append(_of_class(mine, fresh, features, per_class - HOLDOUT_PER_CLASS))
    _fit(index, budget_bytes)
    return tuple(kept for pictures in index for kept in pictures)


def _of_class(
    mine: Sequence[KeptPicture], fresh: Sequence[KeptPicture], features: Mapping[str, NDArray[Any]], quota: int
) -> list[KeptPicture]:
    holdout = _distinct([kept for kept in (*mine, *fresh) if kept.role == "holdout"], ())[:HOLDOUT_PER_CLASS]
    replay = _distinct([kept for kept in (*mine, *fresh) if kept.role == "replay"], holdout)
    if any(kept.role == "replay" for kept in fresh):
        order = herd(np.stack([features[kept.hash] for kept in replay]), quota) if replay else []
        replay = [replay[i] for i in order]
    return [*holdout, *replay[:quota]]


def _distinct(pictures: Iterable[KeptPicture], beside: Iterable[KeptPicture]) -> list[KeptPicture]:
    """Each content once, and none that stands in `beside`."""
    seen = {value for kept in beside for value in (kept.hash, kept.source)}
    distinct = []
    for kept in pictures:
        if kept.hash not in seen and kept.source not in seen:
            distinct.append(kept)
            seen |= {kept.hash, kept.source}
    return distinct


def _fit(index: list[list[KeptPicture]], budget_bytes: int) -> None:
    """Drop replay pictures until the budget holds; of equally full classes the one with more bytes gives first."""
    total = sum(kept.bytes for pictures in index for kept in pictures)
    while total > budget_bytes:
        able = [pictures for pictures in index if sum(kept.role == "replay" for kept in pictures) > 1]
        if not able:
            raise BadInput(
                f"the memory needs at least {total / 2**20:.1f} MiB for {len(index)} classes, but memory.budget_mib allows "
                f"{budget_bytes / 2**20:.1f}. Raise it in settings.toml."
            )
        fullest = max(able, key=lambda pictures: (len(pictures), sum(kept.bytes for kept in pictures)))
        total -= fullest.pop().bytes
