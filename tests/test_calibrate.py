"""Temperature and the limit for unknown."""

import numpy as np
import pytest

from edgecl.calibrate import fit_temperature, fit_unknown, negative_log_likelihood
from edgecl.manifest import Thresholds
from edgecl.runtime.decide import UNKNOWN_SCORES, softmax, unknown_score

ROWS = np.arange(40) % 4


def logits_of(sharpness: float, wrong: int) -> np.ndarray:
    """40 answers over rows 0..3 of 8, `wrong` of them for another row, all equally sure."""
    logits = np.full((40, 8), -1e4)
    logits[:, :4] = 0
    answers = np.where(np.arange(40) < wrong, (ROWS + 1) % 4, ROWS)
    logits[np.arange(40), answers] = sharpness
    return logits


def test_the_temperature_makes_confidence_equal_accuracy() -> None:
    """With 30 of 40 right, the best constant confidence is 75 %: exp(s/T) / (exp(s/T) + 3) = 0.75."""
    temperature = fit_temperature(logits_of(10.0, wrong=10), ROWS, [0, 1, 2, 3])
    sure = np.exp(10.0 / temperature)
    assert sure / (sure + 3) == pytest.approx(0.75, abs=0.02)


def test_the_chosen_temperature_is_not_worse_than_one() -> None:
    """1 is on the grid."""
    logits = logits_of(2.0, wrong=5)
    temperature = fit_temperature(logits, ROWS, [0, 1, 2, 3])
    plain = negative_log_likelihood(logits, ROWS, [0, 1, 2, 3])
    assert negative_log_likelihood(logits / temperature, ROWS, [0, 1, 2, 3]) <= plain


def test_one_class_or_few_pictures_are_not_calibrated() -> None:
    """There is nothing to fit a temperature or a limit to."""
    assert fit_temperature(logits_of(3, 0)[:7], ROWS[:7], [0, 1, 2, 3]) == 1.0
    assert fit_temperature(logits_of(3, 0), np.zeros(40, int), [0]) == 1.0
    assert fit_unknown(logits_of(3, 0)[:7], [0, 1, 2, 3]) == Thresholds()
    assert fit_unknown(logits_of(3, 0), [0]) == Thresholds()


@pytest.mark.parametrize("score", sorted(UNKNOWN_SCORES))
def test_95_percent_of_known_pictures_stay_known(score: str) -> None:
    """The limit is a quantile of the named score on known pictures."""
    random = np.random.default_rng(0)
    logits = np.full((400, 8), -1e4)
    logits[:, :4] = random.normal(0, 3, (400, 4))
    used = [0, 1, 2, 3]
    thresholds = fit_unknown(logits, used, score)
    scores = unknown_score(logits, softmax(logits, used), used, thresholds)
    assert thresholds.score == score
    assert (scores <= thresholds.unknown_above).mean() == pytest.approx(0.95, abs=0.01)
    assert (scores > thresholds.unknown_above).any()


def test_a_limit_is_fitted_to_the_largest_logit() -> None:
    """Unless another score is asked for."""
    logits = logits_of(4.0, wrong=0)
    assert fit_unknown(logits, [0, 1, 2, 3]) == Thresholds(score="max_logit", unknown_above=-4.0)
