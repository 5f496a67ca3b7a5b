"""A live camera behind http: a multipart stream of JPEGs (MJPEG), or an address that gives one JPEG per request.

Read here and not by FFmpeg, which hands a torn JPEG out as a picture and squeezes frames of a new size into the old one.
"""

import base64
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import MissingExtra
from edgecl.preprocess import UnreadablePicture, decode
from edgecl.runtime.base import CameraLost, Frame, wall_time
from edgecl.runtime.capture import import_cv2

TIMEOUT_S = 5.0  # without a byte
JPEG_LIMIT = 16 * 2**20  # bytes of one frame
HEADER_LIMIT = 64  # lines between two frames
SNAPSHOT_INTERVAL_S = 0.1  # between two requests where each gives one picture
STREAM, SNAPSHOT = "multipart/x-mixed-replace", "image/jpeg"


class _Bytes(Protocol):
    """What `parts` reads from; a response of http.client is one."""

    def readline(self, limit: int, /) -> bytes: ...

    def read(self, count: int, /) -> bytes: ...


class MjpegCamera:
    """A `Camera` over http or https; user and password may stand in the URL (basic authentication).

    Raises:
        CameraLost: it does not answer, or with something else than pictures.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._index = 0
        self._response = self._request()
        self._kind = self._response.headers.get_content_type()
        if self._kind not in (STREAM, SNAPSHOT):
            self._response.close()
            raise CameraLost(f"{name} answers with {self._kind}, expected {STREAM} or {SNAPSHOT}. Look for the address of its MJPEG stream")
        self._jpegs = parts(self._response) if self._kind == STREAM else self._snapshots()

    def _request(self) -> Any:
        parsed = urllib.parse.urlsplit(self._url)
        address = parsed._replace(netloc=parsed.netloc.rpartition("@")[2]).geturl()
        request = urllib.request.Request(address, headers={"User-Agent": "edgecl"})
        if parsed.username is not None:
            user, password = (urllib.parse.unquote(part or "") for part in (parsed.username, parsed.password))
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii"))
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            what = "asks for a user and a password: http://USER:PASSWORD@..." if error.code == 401 else "is the path right?"
            raise CameraLost(f"{self._name} answers {error.code} {error.reason}; {what}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CameraLost(f"{self._name} cannot be reached ({_why(error)}). Is it switched on, and is the address right?") from error

    def _snapshots(self) -> Iterator[bytes]:
        while True:
            yield self._response.read(JPEG_LIMIT)
            self._response.close()
            time.sleep(SNAPSHOT_INTERVAL_S)
            self._response = self._request()

    def read(self) -> Frame | None:
        """The next frame; waits for it. A live camera never ends.

        Raises:
            UnreadablePicture: this frame is torn or damaged.
            CameraLost: the stream broke off or fell silent.
        """
        try:
            jpeg = next(self._jpegs, None)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CameraLost(f"{self._name} broke off ({_why(error)})") from error
        if jpeg is None:
            raise CameraLost(f"{self._name} closed the connection")
        captured_ns, index = time.monotonic_ns(), self._index
        self._index += 1
        try:
            return Frame(decode_jpeg(jpeg), captured_ns, wall_time(), self._name, index)
        except UnreadablePicture as fault:
            raise UnreadablePicture(f"{self._name}, frame {index}: {fault}") from fault

    def close(self) -> None:
        """End the connection; may be called twice."""
        self._response.close()


def parts(stream: _Bytes) -> Iterator[bytes]:
    """The bodies of a multipart stream, each a JPEG; by their Content-Length, or up to the next boundary where none is given.

    Ends where the stream ends between two parts.

    Raises:
        ValueError: the stream is no multipart stream, or a part is larger than 16 MiB.
        http.client.IncompleteRead: it ended within a part.
    """
    while True:
        length, lines = None, 0
        # Skips the boundary and whatever is empty before it; a blank line after a header ends the header.
        while (line := stream.readline(1024)) not in (b"\r\n", b"\n") or lines == 0:
            if not line:
                return
            if line.strip():
                lines += 1
            if lines > HEADER_LIMIT:
                raise ValueError(f"{HEADER_LIMIT} lines without the end of a part's header")
            key, _, value = line.partition(b":")
            if key.strip().lower() == b"content-length":
                length = int(value)
        yield _sized(stream, length) if length is not None else _up_to_end_marker(stream)


def _sized(stream: _Bytes, length: int) -> bytes:
    if not 0 <= length <= JPEG_LIMIT:
        raise ValueError(f"a frame of {length} bytes, at most {JPEG_LIMIT}")
    body = b""
    while len(body) < length:
        piece = stream.read(length - len(body))
        if not piece:
            raise http.client.IncompleteRead(body, length - len(body))
        body += piece
    return body


def _up_to_end_marker(stream: _Bytes) -> bytes:
    """Lines up to the one with which a JPEG ends, and that is followed by a boundary."""
    body = b""
    while line := stream.readline(65_536):
        body += line
        if body.rstrip(b"\r\n").endswith(b"\xff\xd9"):
            return body
        if len(body) > JPEG_LIMIT:
            raise ValueError(f"a frame of more than {JPEG_LIMIT} bytes")
    raise http.client.IncompleteRead(body)


def decode_jpeg(jpeg: bytes) -> NDArray[np.uint8]:
    """A camera's JPEG as rgb `[h, w, 3]`: by OpenCV, which takes half of Pillow's time, or by Pillow where it is not installed.

    Raises:
        UnreadablePicture: not a whole JPEG.
    """
    if not jpeg.startswith(b"\xff\xd8"):
        raise UnreadablePicture("not a JPEG")
    if not jpeg.rstrip(b"\r\n\0").endswith(b"\xff\xd9"):
        raise UnreadablePicture("truncated")
    try:
        cv2 = import_cv2("Decoding")
    except MissingExtra:
        return decode(jpeg)
    straight = getattr(cv2, "IMREAD_COLOR_RGB", None)  # since OpenCV 4.10; saves a pass over the picture
    flags = (cv2.IMREAD_COLOR if straight is None else straight) | cv2.IMREAD_IGNORE_ORIENTATION
    decoded: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flags)
    if decoded is None:
        raise UnreadablePicture("damaged")
    return decoded if straight is not None else np.ascontiguousarray(decoded[..., ::-1])


def _why(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or getattr(error, "strerror", None) or error or type(error).__name__)
