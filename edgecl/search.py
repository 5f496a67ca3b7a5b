"""How much of a new task vector is merged: try a few coefficients, fit the head for each, and judge on pictures that were never trained on.

Pure numpy; the features for a coefficient come through a function.
"""

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
    features_of: Callable[[float], Array], *, coefficients: Sequence[float], rows: Array, fit: Array, judge: Array, capacity: int
) -> tuple[Trial, ...]:
    """Try each coefficient.

    Args:
        features_of: coefficient -> features `[n, d]` of all pictures.
        rows: `[n]`, the right row of each picture.
        fit, judge: indices of the pictures that the head is fitted on, and of those that judge it.
    """
    used = np.unique(rows[fit]).tolist()
    trials = []
    for coefficient in coefficients:
        if len(judge) == 0:
            trials.append(Trial(coefficient, None, None))
            continue
        features = features_of(coefficient)
        head = fit_head(features[fit], rows[fit], capacity=capacity)
        logits, right = head.logits(features[judge]), rows[judge]
        loss = negative_log_likelihood(logits / fit_temperature(logits, right, used), right, used)
        trials.append(Trial(coefficient, float((logits.argmax(axis=1) == right).mean()), loss))
    return tuple(trials)


def choose(trials: Sequence[Trial]) -> float:
    """The coefficient with the least loss; accuracy on a few dozen pictures is too coarse to tell neighbours apart.

    Without any figure, the largest coefficient: the adapter as it was trained.
    """
    judged = [trial for trial in trials if trial.loss is not None]
    if not judged:
        return max(trial.coefficient for trial in trials)
    return min(judged, key=lambda trial: (trial.loss, -trial.coefficient)).coefficient


def fit_calibrated(features: Array, rows: Array, *, fit: Array, judge: Array, capacity: int) -> tuple[Head, float]:
    """The head from the `fit` pictures with the temperature from the `judge` ones folded in; and that temperature."""
    used = np.unique(rows[fit]).tolist()
    plain = fit_head(features[fit], rows[fit], capacity=capacity)
    temperature = fit_temperature(plain.logits(features[judge]), rows[judge], used)
    return fit_head(features[fit], rows[fit], capacity=capacity, temperature=temperature), temperature
