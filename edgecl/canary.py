"""Which pictures travel with a version as its canary. Pure numpy; the file itself is `runtime.selftest`'s."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CANARY_PICTURES = 16


def spread(rows: Sequence[int], count: int = CANARY_PICTURES) -> list[int]:
    """At most `count` indices into `rows`, one per row before any second one; earlier pictures first."""
    turns: Counter[int] = Counter()
    ranked = []
    for index, row in enumerate(rows):
        turns[row] += 1
        ranked.append((turns[row], index))
    return [index for _, index in sorted(ranked)[:count]]


def colour_fields(size: int, count: int = CANARY_PICTURES // 2) -> NDArray[np.uint8]:
    """`[count, size, size, 3]` smooth colours with noise, the same on every board: the canary of a version that knows no picture."""
    random = np.random.default_rng(0)
    slope = np.linspace(-80, 80, size).reshape(1, size, 1, 1) * random.choice([-1, 1], (count, 1, 1, 3))
    field = random.integers(0, 256, (count, 1, 1, 3)) + slope + random.normal(0, 40, (count, size, size, 3))
    return np.asarray(np.clip(field, 0, 255).astype(np.uint8))
