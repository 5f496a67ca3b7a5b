"""Live cameras through OpenCV: a V4L2 device, a Jetson's CSI camera, an RTSP stream, any GStreamer pipeline."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecl.errors import MissingExtra
from edgecl.runtime.base import CameraLost, Frame, wall_time

OPEN_TIMEOUT_MS = 5_000  # of a stream that does not answer
READ_TIMEOUT_MS = 5_000  # of a stream that falls silent


@dataclass(frozen=True)
class Capture:
    """What OpenCV is to open: with which of its backends, and how messages call it."""

    target: str  # device path, URL without credentials removed, or pipeline
    backend: str  # V4L2 | FFMPEG | GSTREAMER
    name: str  # without credentials
    options: tuple[tuple[str, int], ...] = field(default=())  # names of cv2's CAP_PROP_* and their values


def device(path: str) -> Capture:
    """`/dev/video0`. One buffer, so that a frame is never older than the one before it was read."""
    return Capture(path, "V4L2", path, (("CAP_PROP_BUFFERSIZE", 1),))


def rtsp(url: str, name: str) -> Capture:
    """An RTSP stream by FFmpeg, over TCP unless the environment's OPENCV_FFMPEG_CAPTURE_OPTIONS says otherwise."""
    return Capture(url, "FFMPEG", name, (("CAP_PROP_OPEN_TIMEOUT_MSEC", OPEN_TIMEOUT_MS), ("CAP_PROP_READ_TIMEOUT_MSEC", READ_TIMEOUT_MS)))


def pipeline(text: str, name: str) -> Capture:
    """A GStreamer pipeline that ends in an appsink."""
    return Capture(text, "GSTREAMER", name)


def csi_pipeline(sensor: int, *, width: int = 1280, height: int = 720, fps: int = 30, flip: int = 0) -> str:
    """The pipeline of a Jetson's CSI camera: the ISP's picture, brought to BGR, only ever the newest frame."""
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1,format=NV12 ! "
        f"nvvidconv flip-method={flip} ! video/x-raw,width={width},height={height},format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )


class OpenCvCamera:
    """A `Camera` over a live source that OpenCV reads.

    Raises:
        CameraLost: it is not there, may not be opened, or gives no picture.
        MissingExtra: OpenCV is not installed, or was built without the backend.
    """

    def __init__(self, capture: Capture) -> None:
        self._cv2 = import_cv2("Reading a camera")
        self._capture_of = capture
        self._index = 0
        check_backend(capture)
        if capture.backend == "V4L2":
            _check_device(capture.target)
        self._capture = self._opened(capture)
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraLost(f"{capture.name} cannot be opened{_remedy(capture)}")

    def _opened(self, capture: Capture) -> Any:
        options = [number for name, value in capture.options for number in (getattr(self._cv2, name), value)]
        return self._cv2.VideoCapture(capture.target, getattr(self._cv2, f"CAP_{capture.backend}"), options)

    def read(self) -> Frame | None:
        """The next frame; waits for it. A live camera never ends.

        Raises:
            CameraLost: nothing came within some seconds, or the device is gone.
        """
        try:
            came, bgr = self._capture.read()
        except self._cv2.error as error:
            raise CameraLost(f"{self._capture_of.name} failed while reading ({str(error).strip().splitlines()[-1]})") from error
        if not came or bgr is None or not bgr.size:
            raise CameraLost(f"{self._capture_of.name} gives no picture any more{_remedy(self._capture_of)}")
        captured_ns = time.monotonic_ns()
        rgb = self._cv2.cvtColor(bgr, self._cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else self._cv2.COLOR_BGR2RGB)
        frame = Frame(rgb, captured_ns, wall_time(), self._capture_of.name, self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        """Give the device back; may be called twice."""
        self._capture.release()


def import_cv2(purpose: str) -> Any:
    """OpenCV, with FFmpeg's and its own complaints kept off stderr: what goes wrong is said once, as a sentence of ours.

    Raises:
        MissingExtra: it is not installed.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # is read once, when the first stream is opened
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra.of("opencv-python-headless", "camera", purpose) from error
    logging = getattr(getattr(cv2, "utils", None), "logging", None)  # not in every build
    if logging is not None:
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    return cv2


def check_backend(capture: Capture) -> None:
    """Whether this OpenCV can open such a camera at all: the one from pip has no GStreamer, and would only say that it cannot open it.

    Raises:
        MissingExtra: OpenCV is not installed, or was built without the backend.
    """
    cv2 = import_cv2("Reading a camera")
    if capture.backend == "GSTREAMER" and not _built_with_gstreamer(cv2.getBuildInformation()):
        raise MissingExtra(
            f"{capture.name} needs an OpenCV that was built with GStreamer, but the installed one ({cv2.__version__}) was not; pip's never is. "
            "On a Jetson use the system's: pip uninstall opencv-python-headless opencv-python, then apt install python3-opencv, in an "
            "environment made with --system-site-packages"
        )


def _built_with_gstreamer(information: str) -> bool:
    return any(
        line.split(":", 1)[1].strip().startswith("YES") for line in information.splitlines() if line.strip().startswith("GStreamer:")
    )


def _check_device(path: str) -> None:
    if not Path(path).exists():
        there = ", ".join(sorted(str(found) for found in Path("/dev").glob("video*"))) or "none"
        raise CameraLost(f"there is no camera {path} (there are: {there}). Plug it in; edgecl goes on looking for it")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CameraLost(f"{path} may not be opened by this user. Add the user to the group video: sudo usermod -aG video USER")


def _remedy(capture: Capture) -> str:
    remedies = {
        "V4L2": ". Another program may use it; see: fuser -v " + capture.target,
        "FFMPEG": ". Is it switched on, and are address, path and password right? Try it with: ffplay URL",
        "GSTREAMER": ". Try the pipeline with: gst-launch-1.0, and on a Jetson: sudo systemctl restart nvargus-daemon",
    }
    return remedies[capture.backend]
