"""From settings.toml and the command line to cameras."""

from pathlib import Path

import pytest

from edgecl.errors import BadInput, UsageError
from edgecl.runtime.plan import camera_plans
from edgecl.settings import CameraSettings

CAMERAS = {
    "roof": CameraSettings(source="rtsp://user:s3cret@10.0.0.7/1", region=(0.0, 0.0, 0.5, 0.5), max_fps=10.0, smoothing=5, loop=True),
    "bench": CameraSettings(source="/dev/video0"),
}


def test_without_a_wish_all_cameras_run() -> None:
    """With everything that is said of them."""
    roof, bench = camera_plans(CAMERAS, [], schemes={})
    assert (roof.name, roof.region, roof.max_fps, roof.smoothing, roof.loop) == ("roof", (0.0, 0.0, 0.5, 0.5), 10.0, 5, True)
    assert (roof.source.name, roof.source.live) == ("rtsp://10.0.0.7/1", True)
    assert (bench.name, bench.region, bench.max_fps, bench.smoothing, bench.loop) == ("bench", None, 0.0, 1, False)


def test_a_source_is_a_camera_of_the_settings_or_stands_for_itself(tmp_path: Path) -> None:
    """In the order of the wishes; one that stands for itself has no name of its own."""
    plans = camera_plans(CAMERAS, ["0", "bench"], schemes={})
    assert [(plan.name, plan.source.name) for plan in plans] == [(None, "/dev/video0"), ("bench", "/dev/video0")]


def test_the_command_line_wins() -> None:
    """Over every camera's own settings, also with what is the default."""
    for plan in camera_plans(CAMERAS, [], schemes={}, max_fps=0.0, smoothing=1, loop=False):
        assert (plan.max_fps, plan.smoothing, plan.loop) == (0.0, 1, False)


def test_no_camera_at_all() -> None:
    """The message shows both ways to get one."""
    with pytest.raises(UsageError, match=r"there is no camera\. Give one with --source, or describe it in settings\.toml"):
        camera_plans({}, [], schemes={})


def test_a_name_that_nobody_knows() -> None:
    """Is a file that is not there."""
    with pytest.raises(BadInput, match="there is no file or folder 'door'"):
        camera_plans(CAMERAS, ["door"], schemes={})
