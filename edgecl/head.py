"""The fixed-capacity head in closed form: features of a few pictures per class in, one linear layer out. Pure numpy.

Linear discriminant analysis with one shared, shrunk covariance (Hastie, Tibshirani & Friedman, The Elements of Statistical Learning,
section 4.3; shrinkage towards a multiple of the identity as in Ledoit & Wolf 2004):

    W_c = S^-1 m_c,    b_c = -1/2 m_c' S^-1 m_c,    S = (1 - s) * S_within + s * tr(S_within) / d * I

Every class counts the same, whatever the number of its pictures: new classes bring dozens, old ones the few that the memory kept. S_within
may be known from more pictures than those (`edgecl.spread`).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.gaussians import within
from edgecl.layout import FREE_BIAS

Array = NDArray[Any]
SHRINKAGE = 0.5
LARGEST_LEAD = 20.0  # of the right row's logit over the next, in the median
ENOUGH, ODDS = 0.95, 19.0  # part of the new pictures that must beat rows which stay as they came, and by which odds


@dataclass(frozen=True)
class Head:
    """`weight` float16 `[capacity, d]` and `bias` float16 `[capacity]`; a free row has weight 0 and bias -1e4."""

    weight: NDArray[np.float16]
    bias: NDArray[np.float16]

    def logits(self, features: Array) -> NDArray[np.float32]:
        """`[n, d] -> [n, capacity]`, computed in float32 from the rounded values, as every engine does."""
        return features.astype(np.float32) @ self.weight.T.astype(np.float32) + self.bias.astype(np.float32)


def empty_head(capacity: int, width: int) -> Head:
    """A head without any class."""
    return Head(np.zeros((capacity, width), np.float16), np.full(capacity, FREE_BIAS, np.float16))


def fit_head(
    features: Array,
    rows: Array,
    *,
    capacity: int,
    temperature: float = 1.0,
    covariance: Array | None = None,
    shrinkage: float = SHRINKAGE,
    largest_lead: float = LARGEST_LEAD,
) -> Head:
    """Fit every used row from `features` `[n, d]` of pictures that belong to `rows` `[n]`; logits come divided by `temperature`.

    `covariance` `[d, d]` within classes is known from more pictures than these (`edgecl.spread`); without it, these tell it.

    Where classes lie so far apart that the right row leads by more than `largest_lead` in the median, all logits are scaled down to that:
    beyond it a softmax says nothing more, and fp16 would lose the difference between the other rows.

    A class with one picture has that picture's features as its mean. With a single picture in all, or where every class has one,
    the covariance is zero and the head falls back to class means (S = I).

    Raises:
        ValueError: no pictures, or a row beyond the capacity.
    """
    rows = np.asarray(rows)
    used = np.unique(rows)
    if len(rows) == 0 or len(rows) != len(features) or used[-1] >= capacity:
        raise ValueError(f"{len(features)} features for {len(rows)} rows up to {used[-1] if len(used) else 'none'} of capacity {capacity}")
    x = features.astype(np.float64)
    means = np.stack([x[rows == row].mean(axis=0) for row in used])
    shrunk = _shrunk(within(x, rows) if covariance is None else covariance, shrinkage)
    precision_times_means = np.linalg.solve(shrunk, means.T).T
    bias = -0.5 * (precision_times_means * means).sum(axis=1)
    temperature *= max(1.0, _median_lead(x @ precision_times_means.T + bias, np.searchsorted(used, rows)) / largest_lead)
    return make_head(precision_times_means / temperature, bias / temperature, used, capacity=capacity)


def beside_fixed_rows(head: Head, old: Head, fixed: Array, features: Array, rows: Array) -> Head:
    """Put the rows `fixed` of `old` beside the fitted ones of `head`, unchanged, for classes of which there is no picture.

    The fitted rows are raised together, just far enough that 95 % of their own pictures (`features [n, d]`, `rows [n]`) beat the fixed
    rows by odds of 19 to 1. Without a picture of the old classes nothing says how far they may be raised beyond that.
    """
    lead = head.logits(features)[np.arange(len(rows)), rows] - old.logits(features)[:, fixed].max(axis=1)
    raised = float(np.quantile(-lead, ENOUGH)) + math.log(ODDS)
    used = np.unique(rows)
    weight, bias = head.weight.copy(), head.bias.copy()
    bias[used] = (bias[used].astype(np.float32) + raised).astype(np.float16)
    weight[fixed], bias[fixed] = old.weight[fixed], old.bias[fixed]
    return Head(weight, bias)


def make_head(weight: Array, bias: Array, used: Array, *, capacity: int, centred: bool = True) -> Head:
    """Put rows `weight [k, d]`, `bias [k]` at `used [k]` of a head, centred and rounded to fp16.

    Adding the same to every used row changes no softmax; subtracting the mean keeps the fp16 values small and so exact.
    """
    full_weight = np.zeros((capacity, weight.shape[1]), np.float16)
    full_bias = np.full(capacity, FREE_BIAS, np.float16)
    # A single class has nothing to be centred against: its logit would lose all meaning.
    shift = centred and len(used) > 1
    full_weight[used] = (weight - weight.mean(axis=0) * shift).astype(np.float16)
    full_bias[used] = (bias - bias.mean() * shift).astype(np.float16)
    return Head(full_weight, full_bias)


def _shrunk(covariance: Array, shrinkage: float) -> Array:
    d = len(covariance)
    spread = float(np.trace(covariance)) / d
    if spread <= 1e-12:
        return np.eye(d)
    return np.asarray((1 - shrinkage) * covariance + shrinkage * spread * np.eye(d))


def _median_lead(logits: Array, right: Array) -> float:
    """By how much the right column of `logits [n, k]` lies above the best other one, in the median class; 0 for a single column."""
    if logits.shape[1] < 2:
        return 0.0
    places = np.arange(len(right))
    others = logits.copy()
    others[places, right] = -np.inf
    lead = logits[places, right] - others.max(axis=1)
    return float(np.median([np.median(lead[right == column]) for column in np.unique(right)]))
