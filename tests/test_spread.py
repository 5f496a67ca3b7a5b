"""What is known of the spread within classes, when most of the pictures that told it are gone."""

import numpy as np
import pytest

from edgecl.gaussians import Gaussians, within
from edgecl.spread import Spread

WIDTH = 6
RANDOM = np.random.default_rng(0)
SHAPE = np.diag([9.0, 4.0, 1.0, 1.0, 0.25, 0.25])  # the true covariance within classes


def pictures(classes: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and rows of so many classes around distant means."""
    rows = np.repeat(np.arange(classes), each)
    return RANDOM.normal(0, 50, (classes, WIDTH))[rows] + RANDOM.normal(size=(classes * each, WIDTH)) @ np.sqrt(SHAPE), rows


def test_each_group_counts_the_same() -> None:
    """A group of three and one of three hundred have the same say; their distance has none."""
    wide, narrow = np.array([[-3.0], [0.0], [3.0]]), 100 + np.tile([[-1.0], [1.0]], (150, 1))
    spread = within(np.concatenate([wide, narrow]), np.repeat([7, 2], [3, 300]))
    assert spread[0, 0] == pytest.approx((6.0 + 1.0) / 2)


def test_without_anything_known_the_samples_tell_it() -> None:
    """As for the first task, and for a version that an older edgecl wrote."""
    features, rows = pictures(3, 20)
    fit = np.arange(0, 60, 2)
    spread = Spread(None, others=0, before=features, rows=rows, fit=fit, new=fit)
    np.testing.assert_allclose(spread.covariance(features), within(features[fit], rows[fit]))


def test_what_is_known_counts_for_the_classes_that_it_stands_for() -> None:
    """Nine old classes and one new one: the old covariance has nine tenths of the say, whatever the few kept pictures look like."""
    features, rows = pictures(10, 40)
    kept, new = np.flatnonzero((rows < 9) & (np.arange(400) % 40 < 2)), np.flatnonzero(rows == 9)
    spread = Spread(Gaussians({}, SHAPE.astype(np.float32)), others=9, before=features, rows=rows, fit=np.concatenate([kept, new]), new=new)
    np.testing.assert_allclose(spread.covariance(features), 0.9 * SHAPE + 0.1 * within(features[new], rows[new]), rtol=1e-6)


def test_a_class_that_is_shown_anew_is_as_wide_as_both_showings() -> None:
    """New pictures of a known class that look otherwise: the distance to the kept ones is within the class now."""
    features, rows = pictures(10, 40)
    kept, new = np.flatnonzero(np.arange(400) % 40 < 10), np.flatnonzero((rows == 9) & (np.arange(400) % 40 >= 30))
    features[new] += 20
    spread = Spread(Gaussians({}, SHAPE.astype(np.float32)), others=9, before=features, rows=rows, fit=np.concatenate([new, kept]), new=new)
    own = np.concatenate([new, kept[rows[kept] == 9]])
    np.testing.assert_allclose(spread.covariance(features), 0.9 * SHAPE + 0.1 * within(features[own], rows[own]), rtol=1e-6)
    assert np.trace(spread.covariance(features)) > np.trace(0.9 * SHAPE + 0.1 * within(features[new], rows[new])) + 10


def test_it_follows_the_backbone() -> None:
    """Where the new weights stretch everything, the old covariance grows, too; where they change nothing, it stays."""
    features, rows = pictures(10, 40)
    new = np.flatnonzero(rows == 9)
    spread = Spread(Gaussians({}, SHAPE.astype(np.float32)), others=9, before=features, rows=rows, fit=np.arange(400), new=new)
    same, grown = spread.covariance(features), spread.covariance(2 * features)
    np.testing.assert_allclose(same, 0.9 * SHAPE + 0.1 * within(features[new], rows[new]), rtol=1e-6)
    assert 1.5 < np.trace(grown) / np.trace(same) < 4


def test_many_pictures_say_more_than_a_few_kept_ones() -> None:
    """What 40 pictures per class said, kept, is nearer to the truth than what the two kept ones of each say."""
    features, rows = pictures(10, 40)
    everything = within(features, rows)
    kept = np.flatnonzero(np.arange(400) % 40 < 2)
    known = Spread(Gaussians({}, everything.astype(np.float32)), others=10, before=features, rows=rows, fit=kept, new=kept[:0])
    few = Spread(None, others=10, before=features, rows=rows, fit=kept, new=kept[:0])
    errors = [np.linalg.norm(spread.covariance(features) - SHAPE) for spread in (known, few)]
    assert errors[0] < errors[1] / 3
