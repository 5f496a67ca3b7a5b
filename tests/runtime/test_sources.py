"""What `--source` may name."""

import builtins
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecl.errors import BadInput, MissingExtra, UsageError
from edgecl.preprocess import UnreadablePicture, encode_jpeg
from edgecl.runtime.base import Camera, Frame
from edgecl.runtime.fake import FakeCamera
from edgecl.runtime.files import find_picture_files
from edgecl.runtime.sources import open_source, parse_source


def save_picture(path: Path, colour: tuple[int, int, int] = (255, 0, 0), size: tuple[int, int] = (6, 4)) -> Path:
    """One plain picture, `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def frames_of(camera: Camera) -> list[Frame]:
    """Read to the end."""
    frames = []
    while frame := camera.read():
        frames.append(frame)
    return frames


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Three frames of 16 x 32 pixels (h x w): red, green, blue."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 16))
    for channel in range(3):
        rgb = np.zeros((16, 32, 3), np.uint8)
        rgb[..., channel] = 255
        writer.write(np.ascontiguousarray(rgb[..., ::-1]))
    writer.release()
    return path


class TestFolder:
    def test_is_read_in_the_order_of_the_paths(self, tmp_path: Path) -> None:
        """Subfolders too; hidden names and other files are left out, and suffixes may be written in capitals."""
        for name in ("b.png", "a/z.JPG", "a/b/c.bmp", "c.webp", ".hidden.png", ".git/x.png"):
            save_picture(tmp_path / name)
        (tmp_path / "notes.txt").write_text("no picture")
        assert [path.relative_to(tmp_path).as_posix() for path in find_picture_files(tmp_path)] == [
            "a/b/c.bmp",
            "a/z.JPG",
            "b.png",
            "c.webp",
        ]

    def test_each_frame_names_its_file(self, tmp_path: Path) -> None:
        """Pictures have nothing to do with each other, so each is a source of its own; index counts through the folder."""
        paths = [save_picture(tmp_path / "a.png", (255, 0, 0)), save_picture(tmp_path / "b.png", (0, 0, 255))]
        frames = frames_of(open_source(str(tmp_path)))
        assert [(frame.source, frame.index) for frame in frames] == [(str(paths[0]), 0), (str(paths[1]), 1)]
        assert [frame.rgb[0, 0].tolist() for frame in frames] == [[255, 0, 0], [0, 0, 255]]
        assert (frames[0].rgb.shape, frames[0].rgb.dtype) == ((4, 6, 3), np.uint8)
        assert frames[0].captured_ns <= frames[1].captured_ns
        assert datetime.fromisoformat(frames[0].wall_time).tzinfo is not None

    def test_an_unreadable_picture_is_reported_and_passed_over(self, tmp_path: Path) -> None:
        """The next read goes on behind it, and the index keeps its place."""
        save_picture(tmp_path / "a.png")
        (tmp_path / "b.png").write_bytes(b"not a picture")
        save_picture(tmp_path / "c.png")
        camera = open_source(str(tmp_path))
        assert camera.read() is not None
        with pytest.raises(UnreadablePicture, match=r"b\.png: not a picture"):
            camera.read()
        last = camera.read()
        assert last is not None
        assert last.index == 2
        assert camera.read() is None

    def test_a_folder_without_pictures_is_refused(self, tmp_path: Path) -> None:
        """The message names the folder and the suffixes."""
        (tmp_path / "notes.txt").write_text("no picture")
        with pytest.raises(BadInput, match=r"holds no picture; expected files ending in \.jpg"):
            open_source(str(tmp_path))

    def test_a_folder_that_cannot_be_listed_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is not passed over in silence."""

        def closed(path: str) -> Any:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "scandir", closed)
        with pytest.raises(BadInput, match=r"cannot be listed \(Permission denied\)\. Check its permissions"):
            open_source(str(tmp_path))

    def test_a_closed_source_has_ended(self, tmp_path: Path) -> None:
        """Closing twice is fine."""
        camera = open_source(str(save_picture(tmp_path / "a.png").parent))
        camera.close()
        camera.close()
        assert camera.read() is None


def test_one_picture_is_one_frame(tmp_path: Path) -> None:
    """A file is a source as well."""
    path = save_picture(tmp_path / "a.jpeg")
    assert [(frame.source, frame.index) for frame in frames_of(open_source(str(path)))] == [(str(path), 0)]


class TestVideo:
    def test_frames_are_rgb_in_their_order(self, video: Path) -> None:
        """OpenCV's channel order stays inside."""
        frames = frames_of(open_source(str(video)))
        assert [int(frame.rgb.mean(axis=(0, 1)).argmax()) for frame in frames] == [0, 1, 2]
        assert [(frame.source, frame.index) for frame in frames] == [(str(video), index) for index in range(3)]
        assert frames[0].rgb.shape == (16, 32, 3)
        assert frames[0].rgb.flags.c_contiguous

    def test_jpegs_behind_each_other_are_a_video(self, tmp_path: Path) -> None:
        """As a camera's MJPEG stream is recorded, and as the demo draws its own."""
        pytest.importorskip("cv2")
        frames = [np.full((16, 32, 3), grey, np.uint8) for grey in (30, 120, 210)]
        (tmp_path / "clip.mjpeg").write_bytes(b"".join(encode_jpeg(frame) for frame in frames))
        found = frames_of(open_source(str(tmp_path / "clip.mjpeg")))
        assert [round(float(frame.rgb.mean()), -1) for frame in found] == [30, 120, 210]

    def test_a_closed_video_has_ended(self, video: Path) -> None:
        """Closing twice is fine."""
        camera = open_source(str(video))
        camera.close()
        camera.close()
        assert camera.read() is None

    def test_a_broken_video_is_refused_at_once(self, tmp_path: Path) -> None:
        """Before anything is read from it."""
        pytest.importorskip("cv2")
        (tmp_path / "broken.mp4").write_bytes(b"\0" * 1000)
        with pytest.raises(BadInput, match=r"broken\.mp4' has no frame that can be read"):
            open_source(str(tmp_path / "broken.mp4"))

    def test_a_missing_opencv_is_named_with_its_extra(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pictures need none; a video says what to install."""
        real = builtins.__import__

        def absent(name: str, *rest: Any, **more: Any) -> Any:
            if name == "cv2":
                raise ImportError(name)
            return real(name, *rest, **more)

        monkeypatch.setattr(builtins, "__import__", absent)
        (tmp_path / "clip.mp4").write_bytes(b"\0")
        with pytest.raises(MissingExtra, match=r"'opencv-python-headless'.*pip install 'edgecl\[camera\]'"):
            open_source(str(tmp_path / "clip.mp4"))


@pytest.mark.parametrize("text", ["usb-cam://1", "ftp://host/a.jpg", "file:///a.jpg"])
def test_what_is_not_supported_is_refused(text: str) -> None:
    """The message lists what is."""
    with pytest.raises(UsageError, match=r"is not supported\. Supported now: a folder of pictures .*mp4.*rtsp") as raised:
        parse_source(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/dev/video2", "/dev/video2"),
        ("0", "/dev/video0"),
        ("csi://1", "csi://1"),
        ("rtsp://10.0.0.1/stream", "rtsp://10.0.0.1/stream"),
        ("http://cam/feed.mjpg", "http://cam/feed.mjpg"),
        ("gst:videotestsrc ! appsink", "gst:videotestsrc ! appsink"),
        ('gst:"videotestsrc ! appsink"', "gst:videotestsrc ! appsink"),
    ],
)
def test_a_camera_is_a_live_source(text: str, name: str) -> None:
    """Nothing is opened yet: it may come later."""
    source = parse_source(text)
    assert (source.live, source.name) == (True, name)


@pytest.mark.parametrize(
    "text", ["rtsp://admin:s3cret@cam:554/1?token=s3cret", "http://admin:s3cret@cam/video?pass=s3cret#s3cret", "rtsp://s3cret@cam/1"]
)
def test_a_password_is_no_part_of_the_name(text: str) -> None:
    """Names stand in answers, messages, topics and logs; queries often hold keys."""
    assert "s3cret" not in parse_source(text).name
    assert "cam" in parse_source(text).name


@pytest.mark.parametrize("text", ["rtsp:///stream", "http://", "rtsp://[::1/x", "rtsp://user:s3cret@/stream"])
def test_a_stream_has_a_host(text: str) -> None:
    """The message shows how it is written, and no password."""
    with pytest.raises(UsageError, match=r"names no host\. Write it as (rtsp|http)://\[USER:PASSWORD@\]HOST") as raised:
        parse_source(text)
    assert "s3cret" not in str(raised.value)


def test_a_video_that_was_cut_is_read_as_far_as_it_goes(video: Path) -> None:
    """A recorder that lost its power leaves such files."""
    content = video.read_bytes()
    video.write_bytes(content[: content.rindex(b"00dc", 0, content.rindex(b"idx1")) + 40])
    frames = frames_of(open_source(str(video)))
    assert [frame.rgb[8, 8].argmax() for frame in frames[:2]] == [0, 1]
    assert len(frames) <= 3


@pytest.mark.parametrize("text", ["csi://", "csi://left", "csi://0?width=wide", "csi://0?colour=1"])
def test_a_csi_camera_has_a_number(text: str) -> None:
    """Options are whole numbers."""
    with pytest.raises(UsageError, match=r"is no CSI camera\. Write it as csi://0"):
        parse_source(text)


def test_a_scheme_can_be_added() -> None:
    """Its opener gets what stands behind the ://."""
    opened: list[str] = []

    def opener(rest: str) -> Camera:
        opened.append(rest)
        return FakeCamera([])

    source = parse_source("test://gear?fps=1", schemes={"test": opener})
    source.open()
    assert (source.live, source.name, opened) == (True, "test://gear?fps=1", ["gear?fps=1"])


@pytest.mark.parametrize("text", ["nowhere", "nowhere/a.jpg", ""])
def test_a_source_that_does_not_exist_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the text as it was given; an empty one is not the working directory."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="there is no file or folder") as raised:
        open_source(text)
    assert repr(text) in str(raised.value)


def test_another_file_is_refused(tmp_path: Path) -> None:
    """Neither a picture nor a video."""
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BadInput, match=r"notes\.txt' is neither a picture nor a video by its suffix"):
        open_source(str(tmp_path / "notes.txt"))


def test_a_folder_may_be_called_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What exists is meant."""
    monkeypatch.chdir(tmp_path)
    save_picture(tmp_path / "0" / "a.png")
    assert len(frames_of(open_source("0"))) == 1
