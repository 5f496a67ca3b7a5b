"""The app as a service: store, cameras, engine and outputs put together; systemd is told how it is, and it stops in an orderly way."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgecl.preprocess import geometry_of
from edgecl.runtime.app import App, CameraPlan, RunSummary
from edgecl.runtime.base import Prediction
from edgecl.runtime.hotswap import StoreServing
from edgecl.runtime.live import LiveView
from edgecl.runtime.loading import OpenPredictor
from edgecl.runtime.outputs.announce import Announcer
from edgecl.runtime.outputs.changes import Change
from edgecl.runtime.outputs.lines import RotatingLines
from edgecl.runtime.systemd import Systemd
from edgecl.settings import AnnounceSettings
from edgecl.store import Store

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Log:
    """A file of JSON lines."""

    path: Path
    limit_bytes: int  # with its older files
    every_answer: bool  # else only changes


class Service:
    """Everything between `edgecl run` and the hardware. Use it as a context: entering loads the model, leaving gives everything back.

    Cameras, and files that are looped, make it follow the store's `current`; with `version`, or on files that end, it serves one version
    and leaves the store as it is. `view` may be asked from any thread between entering and leaving.

    Args:
        tell: gets sentences for a person.
        on_prediction, on_change: called in the loop; must be quick.

    Raises (on entering): what `App`, `StoreServing`, `Announcer` and `RotatingLines` raise.
    """

    def __init__(
        self,
        store: Store,
        plans: Sequence[CameraPlan],
        open_predictor: OpenPredictor,
        *,
        version: int | None = None,
        announce: AnnounceSettings | None = None,
        log: Log | None = None,
        systemd: Systemd | None = None,
        tell: Tell = lambda sentence: None,
        on_prediction: Callable[[Prediction], None] = lambda prediction: None,
        on_change: Callable[[Change], None] = lambda change: None,
    ) -> None:
        self._store, self._plans, self._open_predictor, self._version = store, plans, open_predictor, version
        self._announce, self._log, self._systemd, self._tell = announce or AnnounceSettings(), log, systemd or Systemd({}), tell
        self._on_prediction, self._on_change = on_prediction, on_change
        self._stack = ExitStack()
        self._lines: RotatingLines | None = None
        self._told_version: int | None = None

    def __enter__(self) -> "Service":
        with ExitStack() as stack:
            follow = any(plan.source.live or plan.loop for plan in self._plans)
            self._serving = StoreServing(self._store, self._open_predictor, follow=follow, version=self._version, tell=self._tell)
            # Sources and outputs first: what cannot work at all is told before a version is loaded and its start counted.
            self._app = App(self._plans, self._serving, geometry_of(self._store.facts.architecture), tell=self._tell)
            stack.callback(self._app.close)
            self._announcer = stack.enter_context(Announcer(self._announce, tell=self._tell, on_change=self._changed))
            if self._log is not None:
                self._lines = RotatingLines(self._log.path, limit_bytes=self._log.limit_bytes, tell=self._tell)
                stack.callback(self._lines.close)
            stack.enter_context(self._serving)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._systemd.stopping()
        self._stack.__exit__(kind, error, trace)  # type: ignore[arg-type]

    @property
    def view(self) -> LiveView:
        """A look into the running app."""
        return self._app.view

    def run(self, stop: Callable[[], bool] = lambda: False) -> RunSummary:
        """Answer until all cameras are done or `stop` says so; raises what `App.run` raises."""
        return self._app.run(self._answered, on_turn=self._turned, stop=stop)

    def _answered(self, camera: str, prediction: Prediction) -> None:
        self._on_prediction(prediction)
        if self._lines is not None and self._log is not None and self._log.every_answer:
            self._lines.add(prediction.to_json())
        self._announcer.add(camera, prediction)

    def _changed(self, change: Change) -> None:
        self._on_change(change)
        if self._lines is not None and self._log is not None and not self._log.every_answer:
            self._lines.add(change.to_json())

    def _turned(self) -> None:
        """Between two frames: the loop is alive."""
        version = self._serving.now.number
        if version != self._told_version:
            sentence = f"version {version} answers"
            self._systemd.ready(sentence)  # READY=1 again does no harm, and STATUS= tells of the swap
            if self._told_version is not None:
                self._tell(sentence)
            self._told_version = version
        self._systemd.alive()
