"""Scores that mean something: a temperature for the head and a limit for `unknown`, both from pictures that were not trained on."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.manifest import Thresholds
from edgecl.runtime.decide import softmax, unknown_score

Array = NDArray[Any]
# From 1: a discriminant is never less sure than it should be, and a few dozen pictures that all come out right must not sharpen it.
TEMPERATURES = tuple(float(t) for t in np.geomspace(1.0, 50.0, 81))
MINIMUM_PICTURES = 8  # below it neither a temperature nor a threshold is worth fitting
UNKNOWN_SCORE = "max_logit"  # chosen among those of benchmarks/unknown.py, on its validation pictures
NORMAL_95 = 1.645  # 95 % of a normal distribution lie below its mean plus so many standard deviations


def negative_log_likelihood(logits: Array, rows: Array, used: list[int]) -> float:
    """Mean of -log softmax of the right row; `logits [n, capacity]`, `rows [n]`."""
    probabilities = softmax(logits, used)
    right = probabilities[np.arange(len(rows)), np.searchsorted(used, rows)]
    return float(-np.log(np.maximum(right, 1e-12)).mean())


def fit_temperature(logits: Array, rows: Array, used: list[int]) -> float:
    """The temperature of a fixed grid with the least negative log likelihood (Guo et al. 2017, arXiv 1706.04599, equation 9).

    Returns 1.0 where there is one class only or there are too few pictures.
    """
    if len(used) < 2 or len(rows) < MINIMUM_PICTURES:
        return 1.0
    losses = [negative_log_likelihood(logits / temperature, rows, used) for temperature in TEMPERATURES]
    return TEMPERATURES[int(np.argmin(losses))]


def fit_unknown(logits: Array, used: list[int], score: str = UNKNOWN_SCORE) -> Thresholds:
    """The limit above which an answer is `unknown`: with 95 % confidence, 95 % of pictures like the given known ones stay below it.

    It is a one-sided tolerance limit, mean and standard deviation of the scores times `tolerance_factor`: few pictures say little about the
    rare ones, so the fewer there are the wider it is. `logits [n, capacity]`. With too few pictures, or a single class, nothing is called unknown.
    """
    if len(used) < 2 or len(logits) < MINIMUM_PICTURES:
        return Thresholds()
    unlimited = Thresholds(score=score)
    scores = unknown_score(logits, softmax(logits, used), used, unlimited)
    limit = scores.mean() + tolerance_factor(len(scores)) * scores.std(ddof=1)
    return dataclasses.replace(unlimited, unknown_above=float(limit))


def tolerance_factor(n: int) -> float:
    """Standard deviations above the mean of `n` normal values below which, with 95 % confidence, 95 % of all lie.

    Natrella 1963, Experimental Statistics (NBS Handbook 91), section 2-5.2: the approximation without a noncentral t, within 1.5 % of it from n = 8 on.
    """
    a = 1 - NORMAL_95**2 / (2 * (n - 1))
    b = NORMAL_95**2 - NORMAL_95**2 / n
    return float((NORMAL_95 + np.sqrt(NORMAL_95**2 - a * b)) / a)
