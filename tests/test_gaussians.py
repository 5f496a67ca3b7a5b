"""Classes without pictures: moments, the points that stand in for them, and how they follow a backbone that moved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecl.gaussians import Gaussians, measured, parse_gaussians, points, transported
from edgecl.head import fit_head
from edgecl.layout import safetensors_bytes

IDS = ["a"] * 5 + ["b"] * 3 + ["c"]


def features(seed: int = 0, width: int = 6) -> np.ndarray:
    """Nine features of three classes."""
    random = np.random.default_rng(seed)
    return random.normal(size=(9, width)) + 3 * np.repeat(random.normal(size=(3, width)), (5, 3, 1), axis=0)


def test_measured_are_means_and_the_spread_within() -> None:
    """Each class counts the same, whatever the number of its pictures; one picture adds no spread."""
    x = features()
    made = measured(x, IDS)
    by_hand = [x[:5], x[5:8], x[8:]]
    np.testing.assert_allclose(np.stack(list(made.means.values())), [part.mean(axis=0) for part in by_hand], rtol=1e-6)
    np.testing.assert_allclose(made.covariance, np.mean([np.cov(part.T, bias=True) for part in by_hand[:2]], axis=0) * 2 / 3, atol=1e-6)


@given(st.integers(0, 1000), st.integers(1, 9))
def test_points_have_the_moments(seed: int, width: int) -> None:
    """Their mean and covariance are those of the class."""
    made = measured(features(seed, width), IDS)
    stand_ins, ids = points(made)
    again = measured(stand_ins.astype(np.float64), ids)
    for id, mean in made.means.items():
        np.testing.assert_allclose(again.means[id], mean, atol=1e-4)
    np.testing.assert_allclose(again.covariance, made.covariance, atol=1e-4)


def test_points_fit_the_head_that_the_pictures_fit() -> None:
    """A head sees no difference between pictures and points with their moments, up to how sure it may be."""
    x = features(2)
    stand_ins, ids = points(measured(x, IDS))
    rows = {"a": 0, "b": 1, "c": 2}
    real = fit_head(x, np.array([rows[id] for id in IDS]), capacity=8, largest_lead=1e9)
    made = fit_head(stand_ins, np.array([rows[id] for id in ids]), capacity=8, largest_lead=1e9)
    np.testing.assert_allclose(made.weight.astype(float), real.weight.astype(float), rtol=0.01, atol=0.01)


def test_without_spread_the_points_are_the_means() -> None:
    """One picture per class."""
    stand_ins, ids = points(measured(np.eye(3), ["a", "b", "c"]))
    assert ids == ["a", "b", "c"]
    np.testing.assert_array_equal(stand_ins, np.eye(3))


def test_without_classes_there_is_no_point() -> None:
    """Nothing in, nothing out."""
    stand_ins, ids = points(measured(np.zeros((0, 4)), []))
    assert (stand_ins.shape, ids) == ((0, 4), [])


def test_a_shift_is_followed_exactly() -> None:
    """Where every anchor moved by the same, so do the means, and the spread stays."""
    made, anchors = measured(features(), IDS), features(1)
    moved = transported(made, anchors, anchors + 2.5)
    for id, mean in made.means.items():
        np.testing.assert_allclose(moved.means[id], mean + 2.5, rtol=1e-5)
    np.testing.assert_allclose(moved.covariance, made.covariance, atol=1e-5)


def test_a_linear_move_is_followed_where_anchors_tell_it() -> None:
    """With many anchors and little stiffness, means and covariance go where a linear map takes them."""
    random = np.random.default_rng(0)
    turn, anchors = np.eye(6) + random.normal(0, 0.2, (6, 6)), random.normal(size=(500, 6))
    made = measured(features(), IDS)
    moved = transported(made, anchors, anchors @ turn, stiffness=1e-6)
    np.testing.assert_allclose(moved.means["a"], made.means["a"] @ turn, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(moved.covariance, turn.T @ made.covariance @ turn, rtol=1e-3, atol=1e-3)


def test_nothing_moves_without_anchors_or_drift() -> None:
    """No picture seen twice: nothing is known. Seen as before: nothing changed."""
    made = measured(features(), IDS)
    assert transported(made, np.zeros((0, 6)), np.zeros((0, 6))) is made
    still = transported(made, features(1), features(1))
    np.testing.assert_allclose(still.means["b"], made.means["b"], rtol=1e-6)


def test_they_survive_their_file() -> None:
    """Bytes and back; `only` leaves out the others."""
    made = measured(features(), IDS).only(["a", "c", "zzz"])
    again = parse_gaussians(made.to_bytes(), 6)
    assert set(again.means) == {"a", "c"}
    assert again.to_bytes() == made.to_bytes()
    np.testing.assert_array_equal(again.means["c"], made.means["c"])
    np.testing.assert_array_equal(again.covariance, made.covariance)


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean.a": np.zeros(6, np.float32)},
        {"covariance": np.zeros((5, 5), np.float32)},
        {"covariance": np.zeros((6, 6), np.float32), "mean.a": np.zeros(5, np.float32)},
        {"covariance": np.zeros((6, 6), np.float32), "a": np.zeros(6, np.float32)},
        {"covariance": np.zeros((6, 6), np.float16)},
        {"covariance": np.full((6, 6), np.nan, np.float32)},
    ],
)
def test_another_file_is_refused(arrays: dict[str, np.ndarray]) -> None:
    """Missing, of another shape, name or type, not finite."""
    with pytest.raises(ValueError, match=r"it does not hold one covariance|not finite float32"):
        parse_gaussians(safetensors_bytes(arrays), 6)


def test_anchors_may_be_many() -> None:
    """A task may bring tens of thousands of pictures: nothing grows with their square, which would be 7 GB here."""
    random = np.random.default_rng(0)
    before = random.normal(size=(30_000, 4)).astype(np.float32)
    moved = transported(Gaussians({"a": np.ones(4, np.float32)}, np.eye(4, dtype=np.float32)), before, before + 1)
    np.testing.assert_allclose(moved.means["a"], 2.0, atol=1e-4)
    np.testing.assert_allclose(moved.covariance, np.eye(4), atol=1e-4)
