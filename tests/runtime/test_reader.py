"""A camera's thread: the newest frame, reconnects, frame rate, and what happens when something goes wrong."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edgecl.errors import BadInput, EdgeclError, MissingExtra
from edgecl.preprocess import UnreadablePicture
from edgecl.runtime import reader as reading
from edgecl.runtime.base import Camera, CameraLost, Frame
from edgecl.runtime.fake import FakeCamera
from edgecl.runtime.reader import Reader, next_frame
from edgecl.runtime.sources import Source
from tests.runtime.waiting import until

PIXEL = np.zeros((1, 1, 3), np.uint8)


class Device:
    """A live source that is opened again and again: each opening plays the next list of frames, or fails with the next error."""

    def __init__(self, *openings: Any) -> None:
        self.openings = list(openings)
        self.cameras: list[FakeCamera] = []

    def open(self) -> Camera:
        """The next opening; when there is none left, a camera that waits until it is closed."""
        opening = self.openings.pop(0) if self.openings else []
        if isinstance(opening, Exception):
            raise opening
        camera = Endless(opening)
        self.cameras.append(camera)
        return camera

    def source(self) -> Source:
        """For a Reader."""
        return Source("cam", True, self.open)


class Endless(FakeCamera):
    """Plays its frames and then gives nothing, but does not end either: a real camera waits in its driver."""

    def read(self) -> Frame | None:
        frame = super().read()
        while frame is None and not self.closed:
            time.sleep(0.01)
            raise UnreadablePicture("nothing yet")
        return frame


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(reading, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(reading, "LONGEST_DELAY_S", 0.02)


@pytest.fixture
def started() -> Iterator[Any]:
    """Makes readers and stops them at the end."""
    readers: list[Reader] = []

    def make(source: Source, **options: Any) -> Reader:
        reader = Reader(source, threading.Condition(), **options)
        readers.append(reader)
        reader.start()
        return reader

    yield make
    for reader in readers:
        reader.stop()
        assert not reader._thread.is_alive()


def take(reader: Reader) -> Frame | None:
    """Without waiting."""
    with reader._bell:
        return reader.take()


def test_a_live_camera_keeps_only_the_newest_frame(started: Any) -> None:
    """What nobody took is dropped and counted."""
    reader = started(Device([PIXEL] * 5).source())
    until(lambda: reader.frames == 5)
    frame = take(reader)
    assert frame is not None
    assert (frame.index, reader.status().dropped) == (4, 4)
    assert take(reader) is None


def test_a_file_waits_for_its_frames_to_be_taken(started: Any) -> None:
    """It ends with the last, and only when that was taken."""
    reader = started(Source("file", False, lambda: FakeCamera([PIXEL] * 3)))
    indices = []
    while len(indices) < 3:
        assert not reader.done()
        if (frame := take(reader)) is not None:
            indices.append(frame.index)
    until(reader.done)
    assert (indices, reader.status().state, reader.status().dropped) == ([0, 1, 2], "ended", 0)


def test_a_lost_camera_is_opened_again(started: Any) -> None:
    """Told once when it is gone and once when it is back; the index counts on, and the device is given back in between."""
    told: list[str] = []
    gone = CameraLost("the cable is out")
    device = Device(gone, gone, gone, [PIXEL, PIXEL, gone], gone, [PIXEL])
    reader = started(device.source(), tell=told.append)
    until(lambda: reader.frames == 3)
    assert told[:4] == ["the cable is out. Trying again until it is back", "cam is back"] * 2
    frame = take(reader)
    assert frame is not None
    assert frame.index == 2
    assert (reader.status().reconnects, reader.status().last_fault) == (2, "the cable is out")
    assert device.cameras[0].closed


def test_waiting_grows_and_begins_anew_after_a_frame(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubled up to the longest; a camera that gave a frame is tried again soon."""
    monkeypatch.setattr(reading, "FIRST_DELAY_S", 0.5)
    monkeypatch.setattr(reading, "LONGEST_DELAY_S", 3.0)
    waited: list[float] = []
    gone = CameraLost("gone")
    device = Device(*[gone] * 5, [PIXEL, gone], gone)
    reader = Reader(device.source(), threading.Condition())
    monkeypatch.setattr(reader._stopping, "wait", lambda delay_s: waited.append(delay_s))
    reader.start()
    until(lambda: len(waited) >= 7)
    monkeypatch.undo()
    reader.stop()
    assert waited[:7] == [0.5, 1.0, 2.0, 3.0, 3.0, 0.5, 1.0]


def test_a_silent_camera_is_waiting(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its thread is alive; the age of its last frame says since when."""
    monkeypatch.setattr(reading, "STALE_S", 0.05)
    reader = started(Device([PIXEL]).source())
    until(lambda: reader.frames == 1)
    until(lambda: reader.status().state == "waiting")
    assert reader.status().frame_age_s > 0.05


def test_before_its_first_frame_a_camera_waits(started: Any) -> None:
    """It has no age."""
    status = started(Device(*[CameraLost("not plugged in")] * 1000).source()).status()
    assert (status.state, status.frame_age_s) == ("waiting", None)


def test_torn_frames_are_left_out(started: Any) -> None:
    """The first of a row is told, all are counted, and the next good one is handed on."""
    told: list[str] = []
    torn = UnreadablePicture("torn")
    reader = started(Device([torn, torn, PIXEL, torn, PIXEL]).source(), tell=told.append)
    until(lambda: reader.frames == 2)
    assert told[:2] == ["left out: torn"] * 2
    assert reader.status().skipped >= 3


def test_a_camera_that_gives_only_torn_frames_is_opened_again(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cable may be loose, or the stream out of step."""
    monkeypatch.setattr(reading, "TORN_LIMIT", 5)
    reader = started(Device([UnreadablePicture("torn")] * 5, [PIXEL]).source())
    until(lambda: reader.frames == 1)
    assert "gave 5 frames in a row that cannot be decoded, the last: torn" in str(reader.status().last_fault)


def test_frames_that_come_too_early_are_passed_over(started: Any) -> None:
    """A live camera is capped by leaving frames out, and they are not counted as dropped."""
    reader = started(Device([PIXEL] * 50).source(), max_fps=0.5)
    until(lambda: reader._next_index >= 50)
    assert (reader.frames, reader.status().dropped) == (1, 0)


def test_a_rate_that_was_missed_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause the next frames keep their distance; small delays do not lower the rate."""
    reader = Reader(Device().source(), threading.Condition(), max_fps=10.0)
    moments = iter([0.0, 0.05, 0.101, 0.15, 0.2, 5.0, 5.01, 5.11])
    monkeypatch.setattr("edgecl.runtime.reader.time.monotonic", lambda: 100 + next(moments))
    assert [reader._wanted() for _ in range(8)] == [True, False, True, False, True, True, False, True]


def test_a_named_camera_names_its_frames(started: Any) -> None:
    """Without a name a live one has its source's, and a file keeps what it says."""
    found = []
    for live, name in ((True, "bench"), (True, None), (False, "bench"), (False, None)):
        source = Source("rtsp://host", live, lambda: Endless([PIXEL], "a/0.png"))
        reader = started(source, name=name)
        until(lambda reader=reader: reader.frames)
        frame = take(reader)
        found.append((reader.name, frame and frame.source))
    assert found == [("bench", "bench"), ("rtsp://host", "rtsp://host"), ("bench", "bench"), ("rtsp://host", "a/0.png")]


def test_what_can_never_be_opened_is_told_at_once() -> None:
    """Before anything is started; a file that is not there, too."""

    def never() -> None:
        raise MissingExtra("no OpenCV")

    with pytest.raises(MissingExtra):
        Reader(Source("cam", True, Device().open, check=never), threading.Condition())

    def missing() -> Camera:
        raise BadInput("no such file")

    with pytest.raises(BadInput):
        Reader(Source("file", False, missing), threading.Condition())


def test_an_error_that_is_no_lost_camera_reaches_the_loop(started: Any) -> None:
    """Trying again would not help."""
    reader = started(Device(MissingExtra("no OpenCV")).source())
    until(lambda: reader.ended)
    with pytest.raises(MissingExtra, match="no OpenCV"):
        next_frame([reader], reader._bell, 0, 0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_reader_is_not_silent(started: Any) -> None:
    """The app ends with it instead of waiting for frames forever."""
    reader = started(Device([RuntimeError("a bug")]).source())
    until(lambda: reader.ended)
    with pytest.raises(EdgeclError, match="the reader of cam was ended by a bug"):
        next_frame([reader], reader._bell, 0, 0.01)


def test_stopping_does_not_wait_for_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that never returns is left behind."""
    monkeypatch.setattr(reading, "JOIN_S", 0.05)
    free = threading.Event()

    class Stuck(FakeCamera):
        def read(self) -> Frame | None:
            free.wait(20)
            return None

    reader = Reader(Source("cam", True, lambda: Stuck([])), threading.Condition())
    reader.start()
    start_s = time.monotonic()
    reader.stop()
    assert time.monotonic() - start_s < 5
    free.set()


def test_a_reader_that_never_started_gives_its_file_back() -> None:
    """When something else fails before the app runs."""
    camera = FakeCamera([PIXEL])
    Reader(Source("file", False, lambda: camera), threading.Condition()).stop()
    assert camera.closed
