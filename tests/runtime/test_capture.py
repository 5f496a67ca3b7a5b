"""Cameras through OpenCV, which a stand-in plays where there is no camera."""

import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecl.errors import MissingExtra
from edgecl.runtime.base import CameraLost
from edgecl.runtime.capture import Capture, OpenCvCamera, check_backend, csi_pipeline, import_cv2
from edgecl.runtime.sources import parse_source

GSTREAMER = "  Video I/O:\n    GStreamer:                   {}\n    v4l/v4l2:                    YES"


class FakeCv2(types.ModuleType):
    """As much of cv2 as a camera needs: plays `pictures` (BGR), raises exceptions among them, and notes what was opened."""

    CAP_V4L2, CAP_FFMPEG, CAP_GSTREAMER = 200, 1900, 1800
    CAP_PROP_BUFFERSIZE, CAP_PROP_OPEN_TIMEOUT_MSEC, CAP_PROP_READ_TIMEOUT_MSEC = 38, 53, 54
    COLOR_BGR2RGB, COLOR_GRAY2RGB = 4, 8
    __version__ = "4.8.0"
    error = RuntimeError

    def __init__(self, *pictures: Any, gstreamer: str = "NO") -> None:
        super().__init__("cv2")
        self.pictures, self.gstreamer = list(pictures), gstreamer
        self.opened: list[tuple[Any, ...]] = []
        self.released = 0

    def getBuildInformation(self) -> str:
        return GSTREAMER.format(self.gstreamer)

    def cvtColor(self, picture: Any, code: int) -> Any:
        return np.repeat(picture[..., None], 3, 2) if code == self.COLOR_GRAY2RGB else np.ascontiguousarray(picture[..., ::-1])

    def VideoCapture(self, *arguments: Any) -> Any:
        self.opened.append(arguments)
        outer = self

        class Device:
            def isOpened(self) -> bool:
                return bool(outer.pictures)

            def read(self) -> tuple[bool, Any]:
                picture = outer.pictures.pop(0)
                if isinstance(picture, Exception):
                    raise picture
                return picture is not None, picture

            def release(self) -> None:
                outer.released += 1

        return Device()


@pytest.fixture
def device(tmp_path: Path) -> str:
    """A file in the place of /dev/video0."""
    (tmp_path / "video0").touch()
    return str(tmp_path / "video0")


def use(monkeypatch: pytest.MonkeyPatch, cv2: FakeCv2) -> FakeCv2:
    """Import it from now on."""
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    return cv2


def v4l2(device: str) -> Capture:
    """As `parse_source` makes it."""
    return Capture(device, "V4L2", device, (("CAP_PROP_BUFFERSIZE", 1),))


def test_pictures_are_rgb(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """OpenCV gives blue first; grey cameras are rgb, too. Frames are counted and carry the camera's name."""
    blue, grey = np.zeros((4, 6, 3), np.uint8), np.full((4, 6), 7, np.uint8)
    blue[..., 0] = 255
    cv2 = use(monkeypatch, FakeCv2(blue, grey))
    camera = OpenCvCamera(v4l2(device))
    first, second = camera.read(), camera.read()
    camera.close()
    assert first is not None
    assert second is not None
    assert (first.rgb[0, 0].tolist(), second.rgb[0, 0].tolist()) == ([0, 0, 255], [7, 7, 7])
    assert (first.index, second.index, first.source) == (0, 1, device)
    assert cv2.opened == [(device, 200, [38, 1])]
    assert cv2.released == 1


@pytest.mark.parametrize("nothing", [None, np.zeros((0, 0, 3), np.uint8), RuntimeError("OpenCV(4.8)\nselect() timeout\n")])
def test_a_camera_that_gives_nothing_is_lost(monkeypatch: pytest.MonkeyPatch, device: str, nothing: Any) -> None:
    """Whatever way OpenCV says it."""
    use(monkeypatch, FakeCv2(nothing))
    with pytest.raises(CameraLost, match=r"gives no picture any more.*fuser|failed while reading \(select\(\) timeout\)"):
        OpenCvCamera(v4l2(device)).read()


def test_a_camera_that_cannot_be_opened_is_lost(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """The message says who may hold it, and the device is given back."""
    cv2 = use(monkeypatch, FakeCv2())
    with pytest.raises(CameraLost, match=r"cannot be opened\. Another program may use it; see: fuser -v"):
        OpenCvCamera(v4l2(device))
    assert cv2.released == 1


def test_a_missing_device_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OpenCV is not even asked."""
    cv2 = use(monkeypatch, FakeCv2())
    with pytest.raises(CameraLost, match=r"there is no camera .*video7 \(there are: .*\)\. Plug it in"):
        OpenCvCamera(v4l2(str(tmp_path / "video7")))
    assert cv2.opened == []


def test_without_permission_the_group_is_named(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """It is waited for as any lost camera: somebody may grant it."""
    use(monkeypatch, FakeCv2())
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(CameraLost, match=r"may not be opened by this user\. Add the user to the group video: sudo usermod -aG video USER"):
        OpenCvCamera(v4l2(device))


def test_a_jetson_camera_needs_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV from pip has none; the message has the lines that help. It is told before anything is started."""
    use(monkeypatch, FakeCv2(np.zeros((2, 2, 3), np.uint8)))
    with pytest.raises(
        MissingExtra, match=r"csi://0 needs an OpenCV that was built with GStreamer.*\(4\.8\.0\).*apt install python3-opencv"
    ):
        parse_source("csi://0").check()
    cv2 = use(monkeypatch, FakeCv2(np.zeros((2, 2, 3), np.uint8), gstreamer="YES (1.20.3)"))
    parse_source("csi://0").check()
    parse_source("csi://0?width=640&height=480&fps=60&flip=2").open()
    assert cv2.opened == [(csi_pipeline(0, width=640, height=480, fps=60, flip=2), 1800, [])]


def test_the_pipeline_of_a_jetson_camera() -> None:
    """Only ever the newest frame, or the answer would be about the past."""
    assert csi_pipeline(1) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1,format=NV12 ! "
        "nvvidconv flip-method=0 ! video/x-raw,width=1280,height=720,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )


def test_a_pipeline_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes around it are left out."""
    cv2 = use(monkeypatch, FakeCv2(np.zeros((2, 2, 3), np.uint8), gstreamer="YES"))
    parse_source('gst:"videotestsrc ! appsink"').open()
    assert cv2.opened == [("videotestsrc ! appsink", 1800, [])]


def test_a_stream_has_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five seconds each; the password goes to FFmpeg and nowhere else."""
    cv2 = use(monkeypatch, FakeCv2(np.zeros((2, 2, 3), np.uint8), None))
    camera = parse_source("rtsp://user:s3cret@cam/1").open()
    assert cv2.opened == [("rtsp://user:s3cret@cam/1", 1900, [53, 5000, 54, 5000])]
    frame = camera.read()
    assert frame is not None
    assert frame.source == "rtsp://cam/1"
    with pytest.raises(CameraLost, match=r"^rtsp://cam/1 gives no picture any more\. Is it switched on"):
        camera.read()


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"'opencv-python-headless'.*edgecl\[camera\]"):
        check_backend(v4l2("/dev/video0"))


def test_the_real_opencv_reads_streams() -> None:
    """The one from pip has FFmpeg inside, and the names that are used here."""
    pytest.importorskip("cv2")
    cv2 = import_cv2("A test")
    assert "FFMPEG" in [cv2.videoio_registry.getBackendName(backend) for backend in cv2.videoio_registry.getBackends()]
    names = [name for name in dir(FakeCv2) if name.startswith(("CAP_", "COLOR_"))]
    assert {name: getattr(cv2, name) for name in names} == {name: getattr(FakeCv2, name) for name in names}
