"""Temperature and the limit for unknown."""

import numpy as np
import pytest

from edgecl.calibrate import fit_temperature, fit_unknown, negative_log_likelihood, tolerance_factor
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


@pytest.mark.parametrize(("n", "exact"), [(8, 3.187), (20, 2.396), (100, 1.927), (1000, 1.727)])
def test_the_factor_is_the_tables(n: int, exact: float) -> None:
    """One-sided normal tolerance factors, 95 % of the values with 95 % confidence, as tables of the noncentral t have them."""
    assert tolerance_factor(n) == pytest.approx(exact, rel=0.015)


def drawn(n: int, seed: int) -> np.ndarray:
    """Logits whose largest one is normal, as a discriminant's nearly is."""
    logits = np.full((n, 8), -1e4)
    logits[:, :4] = 0
    logits[:, 0] = np.random.default_rng(seed).normal(20, 3, n)
    return logits


@pytest.mark.parametrize("n", [10, 50])
def test_95_percent_of_known_pictures_stay_known(n: int) -> None:
    """In about 95 of 100 draws of few pictures; a plain quantile keeps the promise in half of them at most."""
    asked = unknown_score(drawn(4000, 1), softmax(drawn(4000, 1), [0, 1, 2, 3]), [0, 1, 2, 3], Thresholds(score="max_logit"))
    shares = [(asked <= fit_unknown(drawn(n, seed), [0, 1, 2, 3]).unknown_above).mean() for seed in range(2, 202)]
    assert 0.90 <= np.mean(np.array(shares) >= 0.95) <= 0.99


@pytest.mark.parametrize("score", sorted(UNKNOWN_SCORES))
def test_the_limit_is_of_the_score_that_it_names(score: str) -> None:
    """At least 95 % of the known pictures stay below it, and not all."""
    random = np.random.default_rng(0)
    logits = np.full((400, 8), -1e4)
    logits[:, :4] = random.normal(0, 3, (400, 4))
    used = [0, 1, 2, 3]
    thresholds = fit_unknown(logits, used, score)
    scores = unknown_score(logits, softmax(logits, used), used, thresholds)
    assert thresholds.score == score
    assert 0.95 <= (scores <= thresholds.unknown_above).mean() <= 0.99


def test_a_limit_is_fitted_to_the_largest_logit() -> None:
    """Unless another score is asked for."""
    logits = logits_of(4.0, wrong=0)
    assert fit_unknown(logits, [0, 1, 2, 3]) == Thresholds(score="max_logit", unknown_above=-4.0)
