"""The drawn camera, test://."""

import time

import numpy as np
import pytest

from edgecl.demo.render import THINGS
from edgecl.demo.scene import SceneCamera
from edgecl.errors import UsageError
from edgecl.runtime.base import Camera


def test_a_frame_is_the_same_in_each_run() -> None:
    """By its index; and it is what the camera gives."""
    camera: Camera = SceneCamera("gear,apple?size=64&fps=240")
    frame = camera.read()
    assert frame is not None
    np.testing.assert_array_equal(frame.rgb, SceneCamera("gear,apple?size=64&fps=240").picture(0))
    assert (frame.rgb.shape, frame.rgb.dtype, frame.index) == ((64, 64, 3), np.uint8, 0)


def test_it_moves_and_things_take_turns() -> None:
    """Within a turn the picture shifts; the next turn shows the next thing, and the third the first again, drawn anew."""
    camera = SceneCamera("gear,apple?size=64&fps=10&seconds=1")
    first, moved, second, again = (camera.picture(index).astype(float) for index in (0, 5, 10, 20))
    assert 0 < np.abs(first - moved).mean() < np.abs(first - second).mean() * 5
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, again)


def test_all_things_without_a_name() -> None:
    """Nothing needs to be known to try it out."""
    assert SceneCamera()._things == THINGS


def test_frames_come_at_their_time() -> None:
    """Twenty frames at 100 per second last 0.19 s."""
    camera = SceneCamera("gear?size=32&fps=100")
    start_s = time.monotonic()
    for _ in range(20):
        camera.read()
    assert time.monotonic() - start_s >= 0.19


def test_it_ends_when_it_is_closed() -> None:
    """As every camera."""
    camera = SceneCamera("gear?size=32")
    camera.close()
    camera.close()
    assert camera.read() is None


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("cat", "there is no thing 'cat' to draw. Choose from gear"),
        ("gear?speed=1", "speed=1 is no option of test://. Use fps from 1 to 240"),
        ("gear?fps=0", "fps=0 is no option"),
        ("gear?size=99999", "size=99999 is no option"),
        ("gear?fps=fast", "fps=fast is no option"),
    ],
)
def test_what_makes_no_sense_is_refused(description: str, message: str) -> None:
    """With what would."""
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        SceneCamera(description)
