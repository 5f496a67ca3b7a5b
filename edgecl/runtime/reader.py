"""A thread per camera with room for one frame. The engine takes the newest frame; a lost camera is opened again, for as long as it takes.

Live cameras overwrite a frame that nobody took. Files and folders wait until it is taken, so none of their frames is lost.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgecl.errors import BadInput, EdgeclError
from edgecl.preprocess import UnreadablePicture, cut_region
from edgecl.runtime.base import Camera, CameraLost, Frame
from edgecl.runtime.live import CameraState
from edgecl.runtime.sources import Source

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 10.0  # between two attempts to open a lost camera; doubled each time
STALE_S = 2.0  # without a frame: a live camera counts as waiting
TORN_LIMIT = 100  # unreadable frames in a row after which a live camera is opened again
JOIN_S = 2.0  # how long `stop` waits for a thread that may sit in a driver

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ReaderStatus:
    """One camera as its reader sees it."""

    state: CameraState
    frame_age_s: float | None
    dropped: int
    skipped: int
    reconnects: int
    last_fault: str | None


class Reader:
    """Reads one source in a thread of its own.

    Args:
        source: what to read. A file or folder is opened at once, so that a missing one is told before a model is loaded.
        name: of the camera, which its frames carry; None: the source's own, and pictures of a folder are named by their files.
        bell: shared by all readers of an app; rung when a frame comes and when a reader ends.
        region: (left, top, width, height) as parts of the frame; only it is handed on.
        max_fps: frames per second that are handed on at most; 0 = all.
        loop: begin a file or folder anew at its end.
        tell: gets a sentence when a camera is lost or back, and for a frame that cannot be decoded.

    Raises:
        BadInput: a file or folder that cannot be opened.
        UsageError, MissingExtra: a live source that can never be opened.
    """

    def __init__(
        self,
        source: Source,
        bell: threading.Condition,
        *,
        name: str | None = None,
        region: tuple[float, float, float, float] | None = None,
        max_fps: float = 0.0,
        loop: bool = False,
        tell: Tell = lambda sentence: None,
    ) -> None:
        self.name = name or source.name
        self.live = source.live
        self.frames = 0  # handed on, or dropped for a newer one
        self.ended = False
        self.failure: EdgeclError | None = None  # why it ended, where it should not have
        self._source, self._bell = source, bell
        self._renamed = name or (source.name if source.live else None)
        self._region, self._period_s, self._loop, self._tell = region, 1 / max_fps if max_fps else 0.0, loop, tell
        self._slot: Frame | None = None
        self._newest_s: float | None = None  # monotonic
        self._due_s = 0.0  # monotonic: before it no frame is handed on
        self._next_index = 0  # of the next frame, counted on over reconnects
        self._dropped = self._skipped = self._reconnects = 0
        self._last_fault: str | None = None
        self._stopping = threading.Event()
        source.check()
        self._first: Camera | None = None if source.live else source.open()
        self._thread = threading.Thread(target=self._run, name=f"camera {self.name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End; waits a moment for the thread, which is left alone when it sits in a driver."""
        self._stopping.set()
        with self._bell:
            self._bell.notify_all()
        if self._thread.is_alive():
            self._thread.join(JOIN_S)
        elif self._first is not None:
            self._first.close()

    def take(self) -> Frame | None:
        """The newest frame that was not taken yet; hold `bell`."""
        frame, self._slot = self._slot, None
        if frame is not None:
            self._bell.notify_all()
        return frame

    def done(self) -> bool:
        """Whether nothing more will come; hold `bell`."""
        return self.ended and self._slot is None

    def status(self) -> ReaderStatus:
        """How the camera is."""
        age_s = None if self._newest_s is None else time.monotonic() - self._newest_s
        running = age_s is not None and (age_s <= STALE_S + self._period_s or not self.live)
        return ReaderStatus(
            state="ended" if self.ended else "running" if running else "waiting",
            frame_age_s=age_s,
            dropped=self._dropped,
            skipped=self._skipped,
            reconnects=self._reconnects,
            last_fault=self._last_fault,
        )

    def _run(self) -> None:
        failure: EdgeclError | None = EdgeclError(f"the reader of {self.name} was ended by a bug; the lines above say where")
        try:
            self._read_live() if self.live else self._read_files()
            failure = None
        except EdgeclError as error:
            failure = error
        finally:
            with self._bell:
                self.failure, self.ended = failure, True
                self._bell.notify_all()

    def _read_files(self) -> None:
        camera = self._first
        while camera is not None:
            before = self.frames
            try:
                self._play(camera)
            finally:
                camera.close()
            if self.frames == before and self._last_fault is not None and not self._stopping.is_set():
                raise BadInput(f"the source holds no picture that can be read ({self._skipped} tried); the last: {self._last_fault}")
            camera = self._source.open() if self._loop and not self._stopping.is_set() else None

    def _read_live(self) -> None:
        delay_s, lost = FIRST_DELAY_S, False
        while not self._stopping.is_set():
            before = self.frames
            try:
                camera = self._source.open()
                try:
                    if lost:
                        self._reconnects += 1
                        self._tell(f"{self.name} is back")
                    self._play(camera)
                finally:
                    camera.close()
                return
            except CameraLost as fault:
                delay_s = FIRST_DELAY_S if self.frames > before else delay_s
                if not lost or self.frames > before:
                    self._tell(f"{fault}. Trying again until it is back")
                self._last_fault, lost = str(fault), True
            self._stopping.wait(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    def _play(self, camera: Camera) -> None:
        """Hand on what the camera gives, until it ends or `stop` is called."""
        offset, torn = self._next_index, 0
        while not self._stopping.is_set():
            try:
                frame = camera.read()
            except UnreadablePicture as fault:
                self._skip(fault, torn)
                torn += 1
                if self.live and torn >= TORN_LIMIT:
                    raise CameraLost(f"{self.name} gave {torn} frames in a row that cannot be decoded, the last: {fault}") from fault
                continue
            if frame is None:
                return
            torn = 0
            self._next_index = offset + frame.index + 1
            if self._wanted():
                self._hand_on(frame, offset)

    def _skip(self, fault: UnreadablePicture, torn: int) -> None:
        self._skipped += 1
        self._next_index += 1
        self._last_fault = str(fault)
        if not self.live or torn == 0:
            self._tell(f"left out: {fault}")

    def _wanted(self) -> bool:
        """Whether the rate allows another frame. A file waits for its turn; of a live camera what comes too early is passed over."""
        now_s = time.monotonic()
        if self._period_s and now_s < self._due_s:
            if self.live:
                return False
            self._stopping.wait(self._due_s - now_s)
        late = now_s - self._due_s > self._period_s  # what was missed is not made up for
        self._due_s = (now_s if late else self._due_s) + self._period_s
        return True

    def _hand_on(self, frame: Frame, offset: int) -> None:
        rgb = frame.rgb if self._region is None else cut_region(frame.rgb, self._region)
        frame = replace(frame, rgb=rgb, index=offset + frame.index, source=self._renamed or frame.source)
        with self._bell:
            if not self.live:
                self._bell.wait_for(lambda: self._slot is None or self._stopping.is_set())
            elif self._slot is not None:
                self._dropped += 1
            self._slot = frame
            self.frames += 1
            self._newest_s = time.monotonic()
            self._bell.notify_all()


def next_frame(readers: Sequence[Reader], bell: threading.Condition, first: int, timeout_s: float) -> tuple[int, Frame] | None:
    """A waiting frame and its reader's place, asked in turns from place `first` on; None when none came in time or all readers are done.

    Raises:
        EdgeclError: what ended a reader that should not have ended.
    """

    def found() -> tuple[int, Frame] | None:
        for step in range(len(readers)):
            place = (first + step) % len(readers)
            frame = readers[place].take()
            if frame is not None:
                return place, frame
        return None

    with bell:
        taken = found()
        if taken is None and not all(reader.done() for reader in readers):
            bell.wait(timeout_s)
            taken = found()
        if taken is None:
            for reader in readers:
                if reader.failure is not None:
                    raise reader.failure
        return taken
