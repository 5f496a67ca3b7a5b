"""What is measured of a picture's light and focus."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from edgecl.demo.render import THINGS, render
from edgecl.runtime.looks import looks


@pytest.mark.parametrize("thing", THINGS)
def test_a_drawn_scene_has_no_fault_and_a_blurred_one_has(thing: str) -> None:
    """Scenes of the demo pass; out of focus, in the dark and against the light they do not."""
    rgb = render(thing, seed=1, size=224)
    assert looks(rgb).fault == ""
    assert looks(np.array(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(9)))).fault == "blurred"
    assert looks((rgb * 0.1).astype(np.uint8)).fault == "too dark"
    assert looks(255 - ((255 - rgb.astype(int)) * 0.05).astype(np.uint8)).fault == "too bright"


def test_the_size_of_the_frame_does_not_matter() -> None:
    """A large frame is measured as small as all others."""
    rgb = render("gear", seed=3, size=320)
    large = np.array(Image.fromarray(rgb).resize((1280, 1280), Image.Resampling.BICUBIC))
    assert looks(large).brightness == pytest.approx(looks(rgb).brightness, abs=1)
    assert looks(large).sharpness == pytest.approx(looks(rgb).sharpness, rel=0.25)


def test_grey_is_weighed_and_a_step_is_measured_by_hand() -> None:
    """Green counts 0.587 of white; one bright pixel among black ones gives a Laplacian of -4, 1, 1, 1, 1 times its grey."""
    green = np.zeros((9, 9, 3), np.uint8)
    green[..., 1] = 100
    assert looks(green).brightness == pytest.approx(58.7)
    dot = np.zeros((9, 9, 3), np.uint8)
    dot[4, 4] = 100
    expected = np.zeros(49)
    expected[:5] = [-400, 100, 100, 100, 100]
    assert looks(dot).sharpness == pytest.approx(expected.std(), rel=1e-4)
    assert looks(np.zeros((2, 2, 3), np.uint8)).sharpness == 0.0
