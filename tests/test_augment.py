"""What training does to a picture is a pure function of picture, seed, step and place."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecl.augment import ASPECT, SMALLEST_AREA, _crop, augment


def coordinates(h: int, w: int) -> NDArray[np.uint8]:
    """`[h, w, 3]`: red rises to the right, green downwards, so that each pixel tells where it comes from."""
    down, right = np.mgrid[0 : 1 : h * 1j, 0 : 1 : w * 1j]
    return np.stack([right * 255, down * 255, np.zeros((h, w))], axis=2).round().astype(np.uint8)


@pytest.mark.parametrize("size", [16, 33])
@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (16, 16), (1, 1), (2, 200), (200, 2), (301, 97)], ids=str)
def test_any_picture_becomes_an_input(shape: tuple[int, int], size: int) -> None:
    """uint8 `[size, size, 3]`, whatever the form, and smaller pictures are enlarged."""
    for index in range(4):
        given = augment(coordinates(*shape), size=size, seed=0, step=0, place=index)
        assert given.shape == (size, size, 3)
        assert given.dtype == np.uint8


def test_equal_arguments_give_equal_pixels() -> None:
    """Whatever was drawn in between, and numpy's global generator plays no part; the picture itself is left alone."""
    rgb = coordinates(48, 64)
    before = rgb.copy()
    state = np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]
    first = augment(rgb, size=24, seed=5, step=1, place=2)
    augment(rgb, size=24, seed=5, step=1, place=3)
    np.testing.assert_array_equal(first, augment(rgb, size=24, seed=5, step=1, place=2))
    np.testing.assert_array_equal(rgb, before)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index,union-attr]


@pytest.mark.parametrize("other", [{"seed": 6}, {"step": 2}, {"place": 3}, {"step": 2, "place": 1}], ids=str)
def test_each_seed_step_and_place_sees_another_crop(other: dict[str, int]) -> None:
    """No two of them are interchangeable: step 1, place 2 is not step 2, place 1."""
    rgb, given = coordinates(48, 64), {"seed": 5, "step": 1, "place": 2}
    assert not np.array_equal(augment(rgb, size=24, **given), augment(rgb, size=24, **{**given, **other}))


def test_half_of_the_pictures_are_mirrored() -> None:
    """Left and right only: up stays up."""
    seen = [augment(coordinates(48, 64), size=24, seed=0, step=0, place=i).astype(int) for i in range(400)]
    mirrored = [picture[:, 0, 0].mean() > picture[:, -1, 0].mean() for picture in seen]
    assert 0.42 < np.mean(mirrored) < 0.58
    assert all(picture[0, :, 1].mean() < picture[-1, :, 1].mean() for picture in seen)


def test_a_crop_keeps_at_least_half_and_is_not_stretched_far() -> None:
    """Read off the pixels, which know where they come from: the area from 0.5 to 1, width to height from 3/4 to 4/3, everywhere."""
    areas, aspects, corners = [], [], []
    for index in range(300):
        picture = augment(coordinates(100, 100), size=50, seed=1, step=0, place=index).astype(float) / 255
        w = np.ptp(picture[..., 0]) * 50 / 49
        h = np.ptp(picture[..., 1]) * 50 / 49
        areas.append(w * h)
        aspects.append(w / h)
        corners.append((picture[..., 0].min(), picture[..., 1].min()))
    assert SMALLEST_AREA - 0.04 <= min(areas) < 0.58
    assert max(areas) > 0.9
    assert ASPECT[0] - 0.04 <= min(aspects) < 0.85
    assert 1.2 < max(aspects) <= ASPECT[1] + 0.04
    assert np.min(corners, axis=0).max() < 0.03
    assert np.max(corners, axis=0).min() > 0.2


@pytest.mark.parametrize(("h", "w", "box"), [(10, 400, (195, 0, 205, 10)), (400, 10, (0, 195, 10, 205)), (7, 7, None)])
def test_a_strip_gives_its_middle(h: int, w: int, box: tuple[int, int, int, int] | None) -> None:
    """Where no crop of the wanted form fits, the largest square in the middle; every crop lies inside its picture."""
    for seed in range(20):
        left, upper, right, lower = _crop(h, w, np.random.default_rng(seed))
        assert 0 <= left < right <= w
        assert 0 <= upper < lower <= h
        assert box is None or (left, upper, right, lower) == box
