"""What `edgecl run --source` may name: a folder of pictures, one picture, a video file."""

import os
import re
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from edgecl.errors import BadInput, MissingExtra, UsageError
from edgecl.preprocess import UnreadablePicture, decode
from edgecl.runtime.base import Camera, Frame

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm")
SUPPORTED = (
    f"a folder of pictures or a picture file ({' '.join(suffix[1:] for suffix in PICTURE_SUFFIXES)}), "
    f"a video file ({' '.join(suffix[1:] for suffix in VIDEO_SUFFIXES)})"
)


def open_source(text: str) -> Camera:
    """The camera behind `--source`.

    A folder is searched through all its subfolders in the order of the paths; names that begin with a dot and files that are no
    pictures by their suffix are left out.

    Raises:
        UsageError: a kind of source that is not supported.
        BadInput: no such file or folder, a folder without a picture, or a video that cannot be opened.
        MissingExtra: a video, and OpenCV is not installed.
    """
    path = Path(text)
    if text.startswith("/dev/") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) or (text.isdigit() and not path.exists()):
        raise UsageError(f"the source {text!r} is not supported. Supported now: {SUPPORTED}")
    if text and path.is_dir():  # Path("") would be the working directory
        return PictureFiles(find_picture_files(path))
    if not path.is_file():
        raise BadInput(f"there is no file or folder {text!r}. A source is {SUPPORTED}")
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoFile(path)
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise BadInput(f"the source {text!r} is neither a picture nor a video by its suffix. A source is {SUPPORTED}")
    return PictureFiles([path])


def find_picture_files(folder: Path) -> list[Path]:
    """The picture files of a folder and its subfolders (symlinked ones apart), sorted by their path.

    Raises:
        BadInput: there is none, or a folder cannot be listed.
    """
    found: list[Path] = []
    for here, folders, names in os.walk(folder, onerror=_unlisted):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise BadInput(f"the folder {str(folder)!r} holds no picture; expected files ending in {' '.join(PICTURE_SUFFIXES)}")
    return sorted(found, key=lambda path: path.parts)


def _unlisted(error: OSError) -> NoReturn:
    raise BadInput(f"the folder {error.filename!r} cannot be listed ({error.strerror}). Check its permissions") from error


class PictureFiles:
    """A `Camera` over picture files. A frame's source is its file's path, its index the file's place in the list."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = enumerate(paths)
        self._closed = False

    def read(self) -> Frame | None:
        """The next picture, or None behind the last.

        Raises:
            UnreadablePicture: this one file cannot be decoded, with its path and the reason; the next `read` takes the next file.
        """
        index, path = next(self._paths, (0, None)) if not self._closed else (0, None)
        if path is None:
            return None
        try:
            rgb = decode(path)
        except UnreadablePicture as fault:
            raise UnreadablePicture(f"{path}: {fault}") from fault
        return Frame(rgb, time.monotonic_ns(), _now(), str(path), index)

    def close(self) -> None:
        """End; may be called twice."""
        self._closed = True


class VideoFile:
    """A `Camera` over the frames of a video file, decoded by OpenCV as fast as they are asked for.

    Raises:
        BadInput: OpenCV cannot open the file, or finds no frame in it.
        MissingExtra: OpenCV is not installed.
    """

    def __init__(self, path: Path) -> None:
        cv2 = _import_cv2()
        self._path = path
        self._index = 0
        self._capture = cv2.VideoCapture(str(path))
        opened, self._next = self._capture.read()  # the first frame now, so that a broken file is told before a model is loaded
        if not opened:
            self._capture.release()
            raise BadInput(f"the video {str(path)!r} has no frame that can be read. Try to play it; re-encode it as H.264 in an mp4")

    def read(self) -> Frame | None:
        """The next frame, or None behind the last one that can be decoded."""
        if self._next is None:
            return None
        frame = Frame(np.ascontiguousarray(self._next[..., ::-1]), time.monotonic_ns(), _now(), str(self._path), self._index)  # BGR to RGB
        self._index += 1
        more, picture = self._capture.read()
        self._next = picture if more else None
        return frame

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._next = None
        self._capture.release()


def _import_cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra.of("opencv-python-headless", "camera", "Reading a video") from error
    return cv2


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
