"""The coefficient search and the calibrated head."""

import numpy as np
import pytest

from edgecl.search import Trial, choose, fit_calibrated, search


def features_at(coefficient: float) -> np.ndarray:
    """Two classes whose distance grows with the coefficient up to 0.5 and then shrinks."""
    random = np.random.default_rng(0)
    distance = 4 * (1 - abs(coefficient - 0.5))
    noise = random.normal(0, 1, (60, 4))
    return noise + np.repeat([[0.0] * 4, [distance] * 4], 30, axis=0)


ROWS = np.repeat([0, 1], 30)
FIT, JUDGE = np.arange(0, 60, 2), np.arange(1, 60, 2)


def trials_of(*accuracies: float) -> list[Trial]:
    """Coefficients 0, 0.5 and 1 with these accuracies."""
    return [Trial(coefficient, accuracy, 0.5) for coefficient, accuracy in zip((0.0, 0.5, 1.0), accuracies, strict=True)]


def test_each_coefficient_is_judged_on_its_own_features() -> None:
    """0.5 separates the classes most, and the figures say so."""
    trials = search(features_at, coefficients=(0.0, 0.5, 1.0), rows=ROWS, fit=FIT, judge=JUDGE, capacity=8)
    losses = [trial.loss for trial in trials]
    assert [trial.coefficient for trial in trials] == [0.0, 0.5, 1.0]
    assert losses[1] == min(losses)
    assert trials[1].accuracy == max(trial.accuracy for trial in trials)


def test_what_was_learned_is_merged_unless_pictures_speak_against_it() -> None:
    """A drop within one standard error of 100 pictures at 90 % (3 points) is noise, a larger one is not."""
    assert choose(trials_of(0.90, 0.90, 0.90), 100) == 1.0
    assert choose(trials_of(0.90, 0.90, 0.871), 100) == 1.0
    assert choose(trials_of(0.90, 0.88, 0.86), 100) == 0.5
    assert choose(trials_of(0.90, 0.80, 0.70), 100) == 0.0


def test_more_pictures_decide_more_finely() -> None:
    """The same drop of two points counts once there are enough pictures."""
    assert choose(trials_of(0.90, 0.88, 0.88), 100) == 1.0
    assert choose(trials_of(0.90, 0.88, 0.88), 1000) == 0.0


def test_without_judging_pictures_the_adapter_is_merged_as_trained() -> None:
    """No features are computed for figures that cannot be had."""

    def never(coefficient: float) -> np.ndarray:
        raise AssertionError(coefficient)

    trials = search(never, coefficients=(0.0, 1.0), rows=ROWS, fit=FIT, judge=np.arange(0), capacity=8)
    assert trials == (Trial(0.0, None, None), Trial(1.0, None, None))
    assert choose(trials, 0) == 1.0


def test_the_calibrated_head_is_less_sure_where_it_errs() -> None:
    """Overlapping classes get a temperature above one, and the mean confidence comes near the accuracy."""
    features = features_at(1.5) + np.random.default_rng(1).normal(0, 3, (60, 4))
    head, temperature = fit_calibrated(features, ROWS, fit=FIT, judge=JUDGE, capacity=8)
    logits = head.logits(features[JUDGE])[:, :2]
    confidence = (np.exp(logits.max(axis=1)) / np.exp(logits).sum(axis=1)).mean()
    accuracy = (logits.argmax(axis=1) == ROWS[JUDGE]).mean()
    assert temperature > 1
    assert confidence == pytest.approx(accuracy, abs=0.15)
