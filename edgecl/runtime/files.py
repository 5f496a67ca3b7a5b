"""Cameras over files: a folder of pictures, one picture, a video. They end, and no frame of them is dropped."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from edgecl.errors import BadInput
from edgecl.preprocess import UnreadablePicture, decode
from edgecl.runtime.base import Frame, wall_time
from edgecl.runtime.capture import import_cv2

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mjpeg")


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
        return Frame(rgb, time.monotonic_ns(), wall_time(), str(path), index)

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
        cv2 = import_cv2("Reading a video")
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
        frame = Frame(
            np.ascontiguousarray(self._next[..., ::-1]), time.monotonic_ns(), wall_time(), str(self._path), self._index
        )  # BGR to RGB
        self._index += 1
        more, picture = self._capture.read()
        self._next = picture if more else None
        return frame

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._next = None
        self._capture.release()
