"""How much of a new task vector is merged: try a few coefficients, fit the head for each, and judge on pictures that were never trained on.

Pure numpy; the features for a coefficient come through a function.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.calibrate import fit_temperature, negative_log_likelihood
from edgecl.head import Head, fit_head

Array = NDArray[Any]


@dataclass(frozen=True)
class Trial:
    """One coefficient that was tried; the figures are None where no picture is left to judge by."""

    coefficient: float
    accuracy: float | None  # on the judging pictures
    loss: float | None  # mean -log softmax of the right row, after a temperature of its own


def search(
    features_of: Callable[[float], Array],
    *,
    coefficients: Sequence[float],
    rows: Array,
    fit: Array,
    judge: Array,
    capacity: int,
    covariance_of: Callable[[Array], Array] | None = None,
) -> tuple[Trial, ...]:
    """Try each coefficient.

    Args:
        features_of: coefficient -> features `[n, d]` of all pictures.
        rows: `[n]`, the right row of each picture.
        fit, judge: indices of the pictures that the head is fitted on, and of those that judge it.
        covariance_of: features `[n, d]` -> covariance within classes `[d, d]`, where more is known of it than the pictures to fit on say.
    """
    used = np.unique(rows[fit]).tolist()
    trials = []
    for coefficient in coefficients:
        if len(judge) == 0:
            trials.append(Trial(coefficient, None, None))
            continue
        features = features_of(coefficient)
        covariance = covariance_of(features) if covariance_of is not None else None
        head = fit_head(features[fit], rows[fit], capacity=capacity, covariance=covariance)
        logits, right = head.logits(features[judge]), rows[judge]
        loss = negative_log_likelihood(logits / fit_temperature(logits, right, used), right, used)
        trials.append(Trial(coefficient, float((logits.argmax(axis=1) == right).mean()), loss))
    return tuple(trials)


def choose(trials: Sequence[Trial], pictures: int) -> float:
    """The largest coefficient whose accuracy on the judging `pictures` is within one standard error of the best.

    A few dozen pictures cannot tell neighbours apart; where they do not speak against it, what was learned is merged as it was trained
    (the one-standard-error rule of Breiman et al. 1984, Classification and Regression Trees, section 3.4.3). Without any figure: the
    largest.
    """
    judged = [(trial.coefficient, trial.accuracy) for trial in trials if trial.accuracy is not None]
    if not judged:
        return max(trial.coefficient for trial in trials)
    best = max(accuracy for _, accuracy in judged)
    error = math.sqrt(best * (1 - best) / pictures)
    return max(coefficient for coefficient, accuracy in judged if accuracy >= best - error)


def fit_calibrated(
    features: Array, rows: Array, *, fit: Array, judge: Array, capacity: int, covariance: Array | None = None
) -> tuple[Head, float]:
    """The head from the `fit` pictures with the temperature from the `judge` ones folded in; and that temperature."""
    used = np.unique(rows[fit]).tolist()
    plain = fit_head(features[fit], rows[fit], capacity=capacity, covariance=covariance)
    temperature = fit_temperature(plain.logits(features[judge]), rows[judge], used)
    return fit_head(features[fit], rows[fit], capacity=capacity, covariance=covariance, temperature=temperature), temperature
