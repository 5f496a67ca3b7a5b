"""A camera behind http."""

import base64
import http.client
import io
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecl.preprocess import UnreadablePicture
from edgecl.runtime.base import CameraLost
from edgecl.runtime.mjpeg import HEADER_LIMIT, JPEG_LIMIT, MjpegCamera, decode_jpeg, parts
from edgecl.runtime.sources import parse_source
from tests.runtime.servers import MjpegServer, free_port, jpeg, noisy

RED = jpeg((220, 20, 20))


@pytest.fixture
def opened() -> Iterator[Any]:
    """Opens cameras and closes them at the end."""
    cameras: list[MjpegCamera] = []

    def make(url: str) -> MjpegCamera:
        camera = parse_source(url).open()
        assert isinstance(camera, MjpegCamera)
        cameras.append(camera)
        return camera

    yield make
    for camera in cameras:
        camera.close()
        camera.close()


@pytest.mark.parametrize("sized", [True, False])
def test_frames_come_one_after_the_other(opened: Any, sized: bool) -> None:
    """With the length of each part, and without; a change of resolution is a frame of another size."""
    with MjpegServer(lambda index: RED if index < 2 else jpeg((20, 20, 220), (32, 16)), sized=sized) as server:
        camera = opened(f"{server.url}/video")
        frames = [camera.read() for _ in range(3)]
    assert [frame.rgb.shape for frame in frames] == [(48, 64, 3), (48, 64, 3), (16, 32, 3)]
    assert [frame.rgb[8, 8].argmax() for frame in frames] == [0, 0, 2]
    assert [(frame.index, frame.source) for frame in frames] == [(index, f"{server.url}/video") for index in range(3)]


def test_an_address_that_gives_one_picture_is_asked_again(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as frames are read."""
    monkeypatch.setattr("edgecl.runtime.mjpeg.SNAPSHOT_INTERVAL_S", 0.0)
    with MjpegServer(lambda index: RED) as server:
        camera = opened(f"{server.url}/snapshot")
        assert [camera.read().index for _ in range(3)] == [0, 1, 2]
        assert len(server.authorization) == 3


def test_a_torn_frame_is_one_frame(opened: Any) -> None:
    """The next read goes on behind it, and names neither user nor password."""
    with MjpegServer(lambda index: noisy(0)[:1500] if index == 1 else RED) as server:
        camera = opened(f"http://user:s3cret@127.0.0.1:{server.port}/video")
        assert camera.read().index == 0
        with pytest.raises(UnreadablePicture, match=rf"^http://127.0.0.1:{server.port}/video, frame 1: truncated$"):
            camera.read()
        assert camera.read().index == 2


def test_user_and_password_are_sent(opened: Any) -> None:
    """As basic authentication, with what was escaped in the URL."""
    with MjpegServer(lambda index: RED) as server:
        opened(f"http://user:p%40ss@127.0.0.1:{server.port}/video").read()
        assert server.authorization == ["Basic " + base64.b64encode(b"user:p@ss").decode()]


def test_a_redirect_does_not_carry_the_password_on(opened: Any) -> None:
    """It may lead to another host."""
    with MjpegServer(lambda index: RED) as server:
        assert opened(f"http://user:pass@127.0.0.1:{server.port}/moved").read().index == 0
        assert server.authorization == ["Basic " + base64.b64encode(b"user:pass").decode(), None]


def test_a_stream_that_ends_is_a_lost_camera(opened: Any) -> None:
    """A live camera never ends by itself."""
    with MjpegServer(lambda index: RED if index < 1 else None) as server:
        camera = opened(f"{server.url}/video")
        camera.read()
        with pytest.raises(CameraLost, match="closed the connection"):
            camera.read()


def test_a_stream_that_falls_silent_is_a_lost_camera(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time."""
    monkeypatch.setattr("edgecl.runtime.mjpeg.TIMEOUT_S", 0.1)
    with MjpegServer(lambda index: RED, fps=0.5) as server:
        camera = opened(f"{server.url}/video")
        camera.read()
        with pytest.raises(CameraLost, match="broke off"):
            camera.read()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/locked", r"answers 401 .*asks for a user and a password: http://USER:PASSWORD@"),
        ("/nowhere", r"answers 404 .*is the path right\?"),
        ("/page", r"answers with text/html, expected multipart/x-mixed-replace or image/jpeg"),
    ],
)
def test_what_is_no_camera_says_so(opened: Any, path: str, message: str) -> None:
    """And is tried again later, as any lost camera."""
    with MjpegServer(lambda index: RED) as server, pytest.raises(CameraLost, match=message):
        opened(server.url + path)


def test_nobody_there(opened: Any) -> None:
    """The reason is the system's."""
    with pytest.raises(CameraLost, match=r"cannot be reached \(.*refused.*\)\. Is it switched on"):
        opened(f"http://127.0.0.1:{free_port()}/video")


class TestParts:
    def test_headers_may_be_written_in_any_way(self) -> None:
        """Other headers, other cases, lines without a carriage return, empty lines before the boundary."""
        stream = b"\r\n\r\n--x\r\nX-Time: 1\r\ncontent-length:2\r\n\r\nab\r\n--x\nCONTENT-LENGTH: 1\n\nc\n"
        assert list(parts(io.BytesIO(stream))) == [b"ab", b"c"]

    def test_without_a_length_a_jpeg_ends_with_its_marker(self) -> None:
        """Newlines within it are its own."""
        picture = b"\xff\xd8a\nb\r\n\xff\xd9"
        stream = b"--x\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n--x\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n"
        assert [part.rstrip() for part in parts(io.BytesIO(stream))] == [picture, picture]

    @pytest.mark.parametrize(
        ("stream", "error"),
        [
            (b"--x\r\nContent-Length: 5\r\n\r\nabc", http.client.IncompleteRead),
            (b"--x\r\n\r\nabc", http.client.IncompleteRead),
            (b"--x\r\nContent-Length: -5\r\n\r\nabc", ValueError),
            (b"--x\r\nContent-Length: many\r\n\r\nabc", ValueError),
            (f"--x\r\nContent-Length: {JPEG_LIMIT + 1}\r\n\r\n".encode(), ValueError),
            (b"X: 1\r\n" * (HEADER_LIMIT + 1), ValueError),
            (b"--x\r\n\r\n" + b"a" * 65_536 * 300, ValueError),
        ],
    )
    def test_a_stream_that_is_none_ends_with_an_error(self, stream: bytes, error: type[Exception]) -> None:
        """Never with a full memory."""
        with pytest.raises(error):
            list(parts(io.BytesIO(stream)))


class TestDecode:
    def test_it_agrees_with_pillow(self) -> None:
        """Both are libjpeg-turbo: no pixel differs by more than rounding."""
        data = io.BytesIO()
        ramp = np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8)
        Image.fromarray(ramp).save(data, "JPEG", quality=90)
        expected = np.asarray(Image.open(data).convert("RGB")).astype(int)
        assert np.abs(decode_jpeg(data.getvalue()).astype(int) - expected).max() <= 2

    def test_without_opencv_pillow_decodes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """MJPEG needs no extra."""
        monkeypatch.setitem(sys.modules, "cv2", None)
        assert decode_jpeg(RED).shape == (48, 64, 3)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [(b"", "not a JPEG"), (b"<html>", "not a JPEG"), (RED[:-40], "truncated"), (RED[:20] + b"\xff\xd9", "damaged")],
    )
    def test_what_is_no_whole_picture_is_refused(self, data: bytes, reason: str) -> None:
        """In a few words; padding behind the end is none of the picture."""
        with pytest.raises(UnreadablePicture, match=f"^{reason}$"):
            decode_jpeg(data)
        assert decode_jpeg(RED + b"\0\0\r\n").shape == (48, 64, 3)
