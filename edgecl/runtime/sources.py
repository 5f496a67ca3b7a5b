"""What `edgecl run --source` may name, and how it is opened."""

import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgecl.errors import BadInput, UsageError
from edgecl.runtime.base import Camera
from edgecl.runtime.capture import Capture, OpenCvCamera, check_backend, csi_pipeline, device, pipeline, rtsp
from edgecl.runtime.files import PICTURE_SUFFIXES, VIDEO_SUFFIXES, PictureFiles, VideoFile, find_picture_files
from edgecl.runtime.mjpeg import MjpegCamera

Opener = Callable[[str], Camera]
"""Opens what stands behind a scheme's `://`; at once and without harm, for it is opened once to check the text."""

SUPPORTED = (
    f"a folder of pictures or a picture file ({' '.join(suffix[1:] for suffix in PICTURE_SUFFIXES)}), "
    f"a video file ({' '.join(suffix[1:] for suffix in VIDEO_SUFFIXES)}), a camera (/dev/video0 or 0, csi://0), a stream "
    "(rtsp://..., http://... with MJPEG), a GStreamer pipeline (gst:...) or the drawn scene (test://)"
)
GST_NAME = 40  # characters of a pipeline that serve as its name
CSI_OPTIONS = ("width", "height", "fps", "flip")


@dataclass(frozen=True)
class Source:
    """Something that frames come from."""

    name: str  # as answers and messages call it: never with a password
    live: bool  # frames come whether they are read or not: only the newest counts, and a lost camera is opened again
    open: Callable[[], Camera]  # raises CameraLost, BadInput or MissingExtra
    check: Callable[[], object] = lambda: None  # raises what no later attempt to open can change: UsageError, MissingExtra


def parse_source(text: str, *, schemes: Mapping[str, Opener] | None = None) -> Source:
    """The source that `text` names; `schemes` adds live ones by their `scheme://`.

    A folder is searched through all its subfolders in the order of the paths; names that begin with a dot and files that are no
    pictures by their suffix are left out.

    Raises:
        UsageError: a kind of source that is not supported.
        BadInput: no such file or folder, or a file that is no picture and no video.
    """
    for scheme, opener in (schemes or {}).items():
        if text.startswith(f"{scheme}://"):
            return _added(text, partial(opener, text.removeprefix(f"{scheme}://")))
    if text.startswith("gst:"):
        elements = text.removeprefix("gst:").strip("\"' ")
        return _live(pipeline(elements, f"gst:{elements[:GST_NAME]}"))
    if re.fullmatch(r"/dev/\w+", text):
        return _live(device(text))
    if re.fullmatch(r"[0-9]{1,3}", text) and not Path(text).exists():
        return _live(device(f"/dev/video{int(text)}"))
    if "://" in text:
        return _stream(text)
    return _file(text)


def open_source(text: str) -> Camera:
    """The camera behind `text`, opened; otherwise as `parse_source`."""
    return parse_source(text).open()


def without_password(url: str) -> str:
    """The URL as it may be shown: user and password left out, and so is its query, for it often holds a key."""
    parsed = urllib.parse.urlsplit(url)
    return parsed._replace(netloc=parsed.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _added(text: str, opened: Callable[[], Camera]) -> Source:
    return Source(text, True, opened, check=lambda: opened().close())


def _live(capture: Capture) -> Source:
    return Source(capture.name, True, lambda: OpenCvCamera(capture), check=lambda: check_backend(capture))


def _stream(text: str) -> Source:
    scheme, _, rest = text.partition("://")
    if scheme == "csi":
        return _csi(text, rest)
    try:
        host = urllib.parse.urlsplit(text).hostname
    except ValueError:
        host = None
    if scheme not in ("rtsp", "rtsps", "http", "https"):
        raise UsageError(f"the source {text!r} is not supported. Supported now: {SUPPORTED}")
    if not host:
        shown = f"{scheme}://{rest.rpartition('@')[2]}"
        raise UsageError(f"the source {shown!r} names no host. Write it as {scheme}://[USER:PASSWORD@]HOST[:PORT]/PATH")
    name = without_password(text)
    if scheme in ("http", "https"):
        return Source(name, True, lambda: MjpegCamera(text, name))
    return _live(rtsp(text, name))


def _csi(text: str, rest: str) -> Source:
    sensor, _, query = rest.partition("?")
    options = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    if not sensor.isdigit() or not set(options) <= set(CSI_OPTIONS) or not all(value.isdigit() for value in options.values()):
        raise UsageError(f"the source {text!r} is no CSI camera. Write it as csi://0 or csi://0?width=1280&height=720&fps=30&flip=0")
    return _live(pipeline(csi_pipeline(int(sensor), **{name: int(value) for name, value in options.items()}), f"csi://{sensor}"))


def _file(text: str) -> Source:
    path = Path(text)
    if text and path.is_dir():  # Path("") would be the working directory
        return Source(text, False, lambda: PictureFiles(find_picture_files(path)))
    if not path.is_file():
        raise BadInput(f"there is no file or folder {text!r}. A source is {SUPPORTED}")
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return Source(text, False, lambda: VideoFile(path))
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise BadInput(f"the source {text!r} is neither a picture nor a video by its suffix. A source is {SUPPORTED}")
    return Source(text, False, lambda: PictureFiles([path]))
