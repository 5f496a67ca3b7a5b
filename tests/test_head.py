"""The closed-form head."""

import numpy as np
import pytest

from edgecl.head import Head, beside_fixed_rows, empty_head, fit_head, make_head
from edgecl.layout import FREE_BIAS


def clouds(classes: int, count: int, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Well separated Gaussian clouds and the class of each point."""
    random = np.random.default_rng(seed)
    centres = random.normal(0, 4, (classes, width))
    return np.concatenate([random.normal(c, 1, (count, width)) for c in centres]), np.repeat(np.arange(classes), count)


def test_separated_classes_are_told_apart_at_their_rows() -> None:
    """Rows need not be dense: the class of row 7 answers at row 7."""
    features, classes = clouds(3, 20)
    rows = np.array([1, 4, 7])[classes]
    logits = fit_head(features, rows, capacity=8).logits(features)
    assert (logits.argmax(axis=1) == rows).all()


def test_free_rows_have_weight_zero_and_the_free_bias() -> None:
    """They can never win, whatever the temperature."""
    features, rows = clouds(2, 5)
    head = fit_head(features, rows, capacity=8, temperature=9.0)
    assert (head.weight[2:] == 0).all()
    assert (head.bias[2:] == np.float16(FREE_BIAS)).all()
    assert (empty_head(8, 12).bias == np.float16(FREE_BIAS)).all()


def test_it_is_linear_discriminant_analysis() -> None:
    """Differences between logits equal the log density ratio of two Gaussians with one shared covariance."""
    features, rows = clouds(3, 400, width=4)
    head = fit_head(features, rows, capacity=8, shrinkage=0.0)
    means = np.stack([features[rows == c].mean(axis=0) for c in range(3)])
    residuals = features - means[rows]
    inverse = np.linalg.inv(residuals.T @ residuals / len(features))
    point = features[5]
    expected = [-0.5 * (point - m) @ inverse @ (point - m) for m in means]
    logits = head.logits(point[None])[0]
    assert logits[0] - logits[1] == pytest.approx(expected[0] - expected[1], abs=0.1)
    assert logits[0] - logits[2] == pytest.approx(expected[0] - expected[2], abs=0.1)


def test_every_class_counts_the_same_whatever_its_number_of_pictures() -> None:
    """A class repeated ten times over gives the same head, for the covariance weighs classes and not pictures."""
    features, rows = clouds(3, 10)
    again = np.concatenate([features, *[features[rows == 0]] * 9]), np.concatenate([rows, np.zeros(90, int)])
    one, many = fit_head(features, rows, capacity=8), fit_head(*again, capacity=8)
    np.testing.assert_allclose(one.weight.astype(float), many.weight.astype(float), atol=2e-2)


def test_one_picture_per_class_falls_back_to_class_means() -> None:
    """Without any spread the nearest mean decides."""
    features = np.eye(4)[:3] * 5
    head = fit_head(features, np.arange(3), capacity=8)
    assert head.logits(features).argmax(axis=1).tolist() == [0, 1, 2]


def test_a_single_class_keeps_a_finite_logit() -> None:
    """Nothing is subtracted where there is nothing to compare with."""
    features = np.random.default_rng(0).normal(3, 1, (5, 4))
    logits = fit_head(features, np.zeros(5, int), capacity=8).logits(features)
    assert logits.argmax(axis=1).tolist() == [0] * 5
    assert np.isfinite(logits[:, 0]).all()


def test_temperature_divides_logits() -> None:
    """Twice the temperature, half the differences."""
    features, rows = clouds(3, 20)
    one = fit_head(features, rows, capacity=8).logits(features)[:, :3]
    two = fit_head(features, rows, capacity=8, temperature=2.0).logits(features)[:, :3]
    np.testing.assert_allclose(np.diff(one), 2 * np.diff(two), rtol=0.02, atol=0.3)


def test_renumbering_the_rows_only_renumbers_the_answers() -> None:
    """No row is special."""
    features, rows = clouds(4, 12)
    order = np.array([2, 0, 3, 1])
    plain = fit_head(features, rows, capacity=8).logits(features)
    renumbered = fit_head(features, order[rows], capacity=8).logits(features)
    np.testing.assert_allclose(renumbered[:, order], plain[:, :4], atol=0.05)


def test_no_pictures_and_rows_beyond_the_capacity_are_errors() -> None:
    """A head of nothing would answer something."""
    with pytest.raises(ValueError, match="0 features for 0 rows up to none of capacity 8"):
        fit_head(np.zeros((0, 4)), np.zeros(0, int), capacity=8)
    with pytest.raises(ValueError, match="rows up to 8 of capacity 8"):
        fit_head(np.zeros((1, 4)), np.array([8]), capacity=8)


def test_fixed_rows_stay_and_new_rows_are_raised_just_enough() -> None:
    """Old rows without pictures are untouched, and 95 % of the new pictures beat them by 19 to 1."""
    features, rows = clouds(2, 40)
    rows = rows + 3
    random = np.random.default_rng(1)
    old = make_head(random.normal(0, 3, (3, 12)), random.normal(0, 3, 3), np.arange(3), capacity=8)
    fitted = fit_head(features, rows, capacity=8)
    both = beside_fixed_rows(fitted, old, np.arange(3), features, rows)
    np.testing.assert_array_equal(both.weight[:3], old.weight[:3])
    np.testing.assert_array_equal(both.bias[:3], old.bias[:3])
    right = both.logits(features)[np.arange(80), rows]
    beaten = (right > both.logits(features)[:, :3].max(axis=1) + np.log(19)).mean()
    assert 0.9 <= beaten <= 0.99


def test_logits_are_those_of_the_rounded_values() -> None:
    """What is measured here is what an engine computes."""
    head = Head(np.array([[0.1, 0.2]], np.float16), np.array([0.3], np.float16))
    expected = np.float32(np.float16(0.1)) + np.float32(np.float16(0.2)) + np.float32(np.float16(0.3))
    assert head.logits(np.ones((1, 2)))[0, 0] == pytest.approx(expected, abs=1e-7)


def test_a_head_is_never_so_sure_that_fp16_drowns() -> None:
    """Classes a thousand deviations apart lead by 20 logits in the median, not by thousands."""
    random = np.random.default_rng(0)
    features = random.normal(0, 0.01, (60, 4)) + np.repeat(np.eye(4)[:2] * 10, 30, axis=0)
    logits = fit_head(features, np.repeat([0, 1], 30), capacity=8).logits(features)[:, :2]
    assert np.median(np.abs(logits[:, 0] - logits[:, 1])) == pytest.approx(20, rel=0.05)
