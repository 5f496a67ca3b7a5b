"""An architecture read from a file is that of a ViT, or refused."""

from typing import Any

import pytest

from edgecl.architecture import Architecture
from edgecl.errors import BadInput
from tests.store.builders import TINY


def test_it_survives_its_file() -> None:
    """Fields out, fields in."""
    assert Architecture.from_json(TINY.to_json()) == TINY


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean": [0.5, 0.5]}, r"architecture.mean is \[0.5, 0.5\], expected a list of 3"),
        ({"layer_scale": 0}, "architecture.layer_scale is 0, expected true or false"),
        ({"width": "32"}, "architecture.width is '32', expected a whole number"),
        ({"hook": 1}, "'hook' is unknown"),
        ({"depth": 0}, "that of no ViT"),
        ({"width": 2**40}, "that of no ViT"),
        ({"patch_size": 5}, "that of no ViT"),
        ({"heads": 3}, "that of no ViT"),
        ({"crop_pct": 0}, "that of no ViT"),
    ],
)
def test_numbers_of_no_vit_are_refused(changes: dict[str, Any], said: str) -> None:
    """By type, by range, and where they do not divide."""
    with pytest.raises(BadInput, match=said):
        Architecture.from_json({**TINY.to_json(), **changes})
