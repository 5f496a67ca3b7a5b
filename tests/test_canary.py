"""The choice of canary pictures."""

import numpy as np

from edgecl.canary import colour_fields, spread


def test_every_row_comes_once_before_any_comes_twice() -> None:
    """Three rows, four places: the first of each, then a second one."""
    assert spread([5, 5, 5, 2, 2, 9], 4) == [0, 3, 5, 1]


def test_fewer_pictures_than_places_are_all_taken() -> None:
    """Also none."""
    assert spread([1, 1], 16) == [0, 1]
    assert spread([], 16) == []


def test_colour_fields_are_the_same_everywhere() -> None:
    """Pictures of a version without pictures depend on the size alone and differ from each other."""
    fields = colour_fields(16)
    assert fields.shape == (8, 16, 16, 3)
    assert fields.dtype == np.uint8
    np.testing.assert_array_equal(fields, colour_fields(16))
    assert len({field.tobytes() for field in fields}) == 8
