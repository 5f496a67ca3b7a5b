"""The camera app's loop: frame -> input -> logits -> answer, from one camera or several, until they end or somebody stops it."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from edgecl.errors import EdgeclError, UsageError
from edgecl.preprocess import Geometry, to_input
from edgecl.runtime.base import Frame, Prediction, wall_time
from edgecl.runtime.decide import Smoother, decide
from edgecl.runtime.ledger import Ask, Ledger
from edgecl.runtime.reader import Reader, next_frame
from edgecl.runtime.serving import Served, Serving
from edgecl.runtime.sources import Source

WAIT_S = 0.2  # for a frame, before the loop looks at everything else again
ASKED = "ask"  # the source of an answer to a picture that came from elsewhere


@dataclass(frozen=True)
class RunSummary:
    """What a run came to."""

    answered: int
    skipped: int  # could not be decoded
    dropped: int  # were replaced by a newer frame before the engine had time
    swaps: int
    latency_p50_ms: float | None  # of preprocess, inference and decision; None without an answer
    latency_p95_ms: float | None

    @property
    def frames(self) -> int:
        """Read from the sources."""
        return self.answered + self.skipped + self.dropped


@dataclass(frozen=True, kw_only=True)
class CameraPlan:
    """One camera of an app."""

    source: Source
    name: str | None = None  # None: the source's own
    region: tuple[float, float, float, float] | None = None  # left, top, width, height as parts of the frame
    max_fps: float = 0.0  # 0 = all that the engine has time for
    smoothing: int = 1  # frames over which probabilities are averaged; 1 = none
    loop: bool = False  # a file or folder begins anew at its end


class App:
    """Cameras, an engine, and the loop between them. `view` may be asked from any thread.

    Args:
        tell: gets a sentence when a camera is lost or back, and for each picture of a folder that cannot be decoded.

    Raises:
        UsageError: no camera, or two of one name.
        BadInput, MissingExtra: a file or folder that cannot be opened.
    """

    def __init__(
        self, plans: Sequence[CameraPlan], serving: Serving, geometry: Geometry, *, tell: Callable[[str], None] = lambda sentence: None
    ) -> None:
        self._serving, self._geometry = serving, geometry
        self._bell = threading.Condition()
        _check_names(plans)
        self._readers = [
            Reader(plan.source, self._bell, name=plan.name, region=plan.region, max_fps=plan.max_fps, loop=plan.loop, tell=tell)
            for plan in plans
        ]
        self._smoothers = [Smoother(plan.smoothing) for plan in plans]
        self.view = Ledger(self._readers, serving)

    def run(
        self,
        on_prediction: Callable[[str, Prediction], None],
        *,
        on_turn: Callable[[], None] = lambda: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> RunSummary:
        """Answer the frames of all cameras in turns, until they are done or `stop` says so.

        Args:
            on_prediction: gets each answer with its camera's name; must be quick.
            on_turn: called at least every 0.2 s, between two frames; whatever must show that the loop is alive.

        Raises:
            BadInput: a file or folder cannot be read any more, or not one of its frames could be decoded.
            StoreDamaged: the version that serves fails on a frame, and there is no other.
        """
        place = 0
        for reader in self._readers:
            reader.start()
        try:
            while not stop():
                on_turn()
                self._serving.turn()
                if (ask := self.view.next_ask()) is not None:
                    self._answer_ask(ask)
                taken = next_frame(self._readers, self._bell, place, WAIT_S)
                if taken is not None:
                    place, frame = taken
                    prediction = self._answer(frame, self._smoothers[place])
                    self.view.record(self._readers[place].name, frame, prediction)
                    on_prediction(self._readers[place].name, prediction)
                    place += 1
                elif all(reader.ended for reader in self._readers):
                    break
        finally:
            self.close()
        return self._summary()

    def close(self) -> None:
        """Give the cameras back; `run` does so at its end."""
        for reader in self._readers:
            reader.stop()
        self.view.close()

    def _answer(self, frame: Frame, smoother: Smoother) -> Prediction:
        """The frame's answer from the version that serves, or from the good one when that fails on it."""
        try:
            prediction = answer(frame, self._serving.now, self._geometry, smoother=smoother)
        except EdgeclError as error:
            self._serving.broke(error)
            prediction = answer(frame, self._serving.now, self._geometry, smoother=smoother)
        self._serving.answered()
        return prediction

    def _answer_ask(self, ask: Ask) -> None:
        rgb, future = ask
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(answer(Frame(rgb, 0, wall_time(), ASKED, 0), self._serving.now, self._geometry))
        except EdgeclError as error:
            future.set_exception(error)

    def _summary(self) -> RunSummary:
        status = self.view.status()
        return RunSummary(
            answered=status.frames,
            skipped=sum(camera.skipped for camera in status.cameras.values()),
            dropped=sum(camera.dropped for camera in status.cameras.values()),
            swaps=status.swaps,
            latency_p50_ms=status.latency_p50_ms,
            latency_p95_ms=status.latency_p95_ms,
        )


def answer(frame: Frame, served: Served, geometry: Geometry, *, smoother: Smoother | None = None) -> Prediction:
    """One frame's prediction; `latency_ms` runs from the decoded frame to the decision."""
    start = perf_counter()
    logits, _ = served.predictor.infer(to_input(frame.rgb, geometry)[np.newaxis])
    prediction = decide(
        logits[0], served.manifest, source=frame.source, index=frame.index, time=frame.wall_time, latency_ms=0.0, smoother=smoother
    )
    return replace(prediction, latency_ms=(perf_counter() - start) * 1000)


def _check_names(plans: Sequence[CameraPlan]) -> None:
    names = [plan.name or plan.source.name for plan in plans]
    if not names:
        raise UsageError(
            "there is no source. Give one with --source, or describe a camera in settings.toml: [cameras.NAME] with source = ..."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"the source {twice[0]!r} is given twice. Name each camera once, or give them names in settings.toml")
