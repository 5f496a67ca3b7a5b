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
KNOWN_SHARE = 0.95  # of known pictures that shall stay below the limit


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
    """The limit above which an answer is `unknown`: 95 % of the given known pictures stay below it.

    With too few pictures, or a single class, nothing is called unknown.
    """
    if len(used) < 2 or len(logits) < MINIMUM_PICTURES:
        return Thresholds()
    unlimited = Thresholds(score=score)
    scores = unknown_score(logits, softmax(logits, used), used, unlimited)
    return dataclasses.replace(unlimited, unknown_above=float(np.quantile(scores, KNOWN_SHARE)))
