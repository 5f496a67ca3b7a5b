"""The kept pictures and their index: a few per class, within a byte budget, two of them never trained on. Pure functions.

Replay pictures are chosen by herding, holdout pictures at random: a herded picture is the most typical one and would flatter.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import BadInput
from edgecl.manifest import KeptPicture, Role
from edgecl.preprocess import Rgb, alike, encode_jpeg

HOLDOUT_PER_CLASS = 2
NEAR = 4  # bits of 64 in which a copy of a held-out picture may differ: half its size or JPEG quality 40 changes 3 at most


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

    Rebuffi et al. 2017 (iCaRL, arXiv 1611.07725), eq. 4, on L2-normalised features; ties go to the lower index.
    """
    if len(features) == 0:
        return []
    unit = features.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
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
        kept.role == "holdout" and kept.class_id == class_id and (kept.source == sha256 or alike(int(kept.phash, 16), phash, within=NEAR))
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
        KeyError: a picture that has to be herded is not in `features`.
    """
    if per_class <= HOLDOUT_PER_CLASS:
        raise BadInput(
            f"memory.per_class is {per_class}, but {HOLDOUT_PER_CLASS} of them are held out for checking; give at least {HOLDOUT_PER_CLASS + 1}"
        )
    fresh = [item.kept for item in new]
    # Who comes first keeps a picture that comes twice. An old holdout picture so never becomes one to train on, and one that was
    # trained on never becomes holdout; of the new ones, holdout goes first.
    pictures = _distinct([*_by_role(old), *_by_role(fresh)])
    reherded = {kept.class_id for kept in fresh if kept.role == "replay"}
    index: list[list[KeptPicture]] = []
    for class_id in dict.fromkeys(kept.class_id for kept in (*old, *fresh)):
        mine = [kept for kept in pictures if kept.class_id == class_id]
        holdout = [kept for kept in mine if kept.role == "holdout"][:HOLDOUT_PER_CLASS]
        replay = [kept for kept in mine if kept.role == "replay"]
        quota = per_class - HOLDOUT_PER_CLASS
        if class_id in reherded and replay:
            replay = [replay[i] for i in herd(np.stack([features[kept.hash] for kept in replay]), quota)]
        index.append([*holdout, *replay[:quota]])
    _fit(index, budget_bytes)
    return tuple(kept for pictures in index for kept in pictures)


def _by_role(pictures: Iterable[KeptPicture]) -> list[KeptPicture]:
    return sorted(pictures, key=lambda kept: kept.role)  # "holdout" before "replay", otherwise as they came


def _distinct(pictures: Iterable[KeptPicture]) -> list[KeptPicture]:
    """Each content once: neither a kept JPEG nor the file that it was made from comes twice, not even for two classes."""
    seen: set[str] = set()
    distinct = []
    for kept in pictures:
        if kept.hash not in seen and kept.source not in seen:
            distinct.append(kept)
            seen |= {kept.hash, kept.source}
    return distinct


def _fit(index: list[list[KeptPicture]], budget_bytes: int) -> None:
    """Drop replay pictures until the budget holds; of equally full classes the one with more bytes gives first, then the older one."""
    total = sum(kept.bytes for pictures in index for kept in pictures)
    while total > budget_bytes:
        able = [pictures for pictures in index if sum(kept.role == "replay" for kept in pictures) > 1]
        if not able:
            raise BadInput(
                f"the memory needs at least {total} bytes for {len(index)} classes, but memory.budget_mib allows {budget_bytes}. "
                f"Set memory.budget_mib to {math.ceil(total / 2**20 * 10) / 10} or more in settings.toml."
            )
        fullest = max(able, key=lambda pictures: (len(pictures), sum(kept.bytes for kept in pictures)))
        total -= fullest.pop().bytes
