"""What the built-in backbone is measured with."""

import numpy as np

from benchmarks.distil.places import PARTS
from benchmarks.nano import accuracies, ridge


def test_no_tile_has_two_uses() -> None:
    """Taught with, fitted on, validated with and tested with: each of a class's 500 tiles is in one part."""
    used = [index for part in PARTS.values() for index in part]
    assert sorted(used) == list(range(500))


def test_ridge_finds_the_classes_and_is_blind_to_scale() -> None:
    """Three classes that lie apart are told apart; a feature in other units changes no answer."""
    random = np.random.default_rng(0)
    rows = np.repeat(np.arange(3), 40)
    x = random.normal(0, 1, (120, 8)) + 4 * np.eye(8)[rows]
    other = random.normal(0, 1, (120, 8)) + 4 * np.eye(8)[rows]
    answers = ridge(x, rows, 10.0)(other)
    assert np.mean(answers == rows) > 0.95
    units = np.array([1000.0, *[1.0] * 7])
    assert np.array_equal(ridge(x * units, rows, 10.0)(other * units), answers)


def test_the_strength_is_chosen_on_the_validation_part() -> None:
    """Test pictures under other names change the figures and not the choice."""
    random = np.random.default_rng(0)
    rows = np.repeat(np.arange(3), 40)
    fit, validate, test = (((random.normal(0, 1, (120, 8)) + 2 * np.eye(8)[rows]).astype(np.float32), rows) for _ in range(3))
    right, wrong = accuracies(fit, validate, test), accuracies(fit, validate, (test[0], (rows + 1) % 3))
    assert right["strength"] == wrong["strength"]
    assert right["ridge"] > 0.8 > 0.3 > wrong["ridge"]
