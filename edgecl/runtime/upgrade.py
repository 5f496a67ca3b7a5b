"""A version that should be served by a TensorRT engine and is not yet: the engine is built in a child process and made ready in a thread.

child builds -> thread loads, refits, tests -> `ready` hands over a predictor at the next frame
either fails -> one sentence, and what serves goes on
"""

import threading
from collections.abc import Callable
from typing import Protocol

from edgecl.errors import EdgeclError
from edgecl.runtime.rebuild import Ended
from edgecl.runtime.trt import TrtPredictor
from edgecl.store import Store


class Rebuilding(Protocol):
    """What `Rebuild` offers."""

    def poll(self) -> Ended | None:
        """How it ended, or None while it runs."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


class Upgrade:
    """One version on its way to an engine.

    Args:
        building: the child that builds it, already started.
        make: an empty predictor on TensorRT.
        note: is told, in a sentence, why it came to nothing.
    """

    def __init__(
        self, store: Store, version: int, building: Rebuilding, make: Callable[[], TrtPredictor], *, note: Callable[[str], None]
    ) -> None:
        self._store, self._version, self._make, self._note = store, version, make, note
        self._building: Rebuilding | None = building
        self._thread: threading.Thread | None = None
        self._made: TrtPredictor | EdgeclError | None = None

    def ready(self) -> TrtPredictor | None:
        """The predictor, once; never waits. Called between two frames."""
        if self._building is not None:
            self._look_at_child(self._building)
        elif self._thread is not None and not self._thread.is_alive():
            return self._look_at_thread()
        return None

    @property
    def pending(self) -> bool:
        """Whether an engine may still come of it."""
        return self._building is not None or self._thread is not None

    def close(self) -> None:
        """End the child, wait for the thread, free what it made."""
        if self._building is not None:
            self._building.stop()
        if self._thread is not None:
            self._thread.join()
        if isinstance(self._made, TrtPredictor):
            self._made.close()
        self._building = self._thread = self._made = None

    def _look_at_child(self, building: Rebuilding) -> None:
        ended = building.poll()
        if ended is None:
            return
        self._building = None
        if ended.code:
            self._note(f"version {self._version} gets no TensorRT engine: {ended.sentence}")
            return
        self._thread = threading.Thread(target=self._load, name=f"edgecl-engine-{self._version}", daemon=True)
        self._thread.start()

    def _load(self) -> None:
        try:
            with self._store.use(self._version) as folder:
                predictor = self._make()
                predictor.load(folder)
                self._made = predictor
        except EdgeclError as error:
            self._made = error

    def _look_at_thread(self) -> TrtPredictor | None:
        made, self._thread, self._made = self._made, None, None
        if isinstance(made, TrtPredictor):
            return made
        reason = made if made is not None else "loading it ended without a result"
        self._note(f"version {self._version} gets no TensorRT engine: {reason}")
        return None
