"""May this version be served? Compares it with its parent on old pictures that neither was ever trained on. Pure numpy.

The gate fails when pooled holdout accuracy of the old classes drops by more than `max_drop` and a one-sided McNemar test says that the
drop is not chance; or when one class loses all its holdout pictures and at least half of its replay ones.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class GateResult:
    """What the gate saw and said; `reasons` is empty when it passed."""

    passed: bool
    holdout: int  # old-class holdout pictures compared
    before: float | None  # pooled accuracy of the parent, None without such pictures
    after: float | None
    p_value: float  # of the one-sided McNemar test
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For the manifest and the report."""
        return {
            "passed": self.passed,
            "holdout": self.holdout,
            "before": self.before,
            "after": self.after,
            "p_value": self.p_value,
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "GateResult":
        """Read `to_json`."""
        return cls(**{**fields, "reasons": tuple(fields["reasons"])})


def mcnemar(before: Bools, after: Bools) -> float:
    """Exact one-sided p: how likely as many newly wrong pictures are, if losses and gains were equally likely (McNemar 1947).

    `before`, `after`: `[n]` whether each picture was answered rightly. 1.0 where nothing changed.
    """
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    changed = lost + won
    return float(sum(math.comb(changed, k) for k in range(lost, changed + 1)) / 2**changed)


def judge(
    *,
    holdout_before: Bools,
    holdout_after: Bools,
    holdout_classes: NDArray[Any],
    replay_before: Bools,
    replay_after: Bools,
    replay_classes: NDArray[Any],
    max_drop: float,
    significance: float,
) -> GateResult:
    """Decide over old classes only; every array is `[n]`, classes are names.

    A class counts as lost when its holdout pictures went from some right to none, and its replay pictures lost at least half of what
    they had.
    """
    n = len(holdout_before)
    before, after = (float(holdout_before.mean()), float(holdout_after.mean())) if n else (None, None)
    p_value = mcnemar(holdout_before, holdout_after)
    reasons = []
    if before is not None and after is not None and before - after > max_drop and p_value < significance:
        reasons.append(
            f"accuracy on {n} held-out pictures of old classes fell from {before:.1%} to {after:.1%} "
            f"(more than {max_drop:.1%}, p = {p_value:.3f})"
        )
    for name in sorted(set(holdout_classes.tolist())):
        held, kept = holdout_classes == name, replay_classes == name
        had, has = int(replay_before[kept].sum()), int(replay_after[kept].sum())
        if holdout_before[held].any() and not holdout_after[held].any() and had > 0 and has <= had / 2:
            reasons.append(f"'{name}' is lost: none of its {int(held.sum())} held-out pictures is known any more, {has} of {had} kept ones")
    return GateResult(not reasons, n, before, after, p_value, tuple(reasons))
