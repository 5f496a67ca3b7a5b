"""One engine serves while the next is made ready beside it: the app calls `step` between two frames, and never waits.

current has changed -> prepare its engine in a thread -> passed: take it over at the next step
                                                      -> not: keep what serves, say why, build one in a child process, try again
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edgecl.errors import EdgeclError, EngineUnusable
from edgecl.runtime.rebuild import Ended, Rebuild
from edgecl.runtime.trt import Prepared
from edgecl.store import Store


class Preparing(Protocol):
    """What `TrtPredictor` offers beside being a predictor."""

    def prepare(self, folder: Path) -> Prepared:
        """A tested engine for the version in `folder`."""
        ...

    def adopt(self, prepared: Prepared) -> None:
        """Let it answer."""
        ...


class Rebuilding(Protocol):
    """What `Rebuild` offers."""

    def poll(self) -> Ended | None:
        """How it ended, or None while it runs."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


class Standby:
    """Follows the store's `current` with a predictor that already serves version `serving`.

    Args:
        note: is told each sentence for a person.
        rebuild: starts the child process that builds an engine; `Rebuild` itself, or a fake.
    """

    def __init__(
        self,
        store: Store,
        predictor: Preparing,
        *,
        serving: int,
        note: Callable[[str], None],
        rebuild: Callable[[Store, int], Rebuilding] = Rebuild,
    ) -> None:
        self._store, self._predictor, self._note, self._rebuild = store, predictor, note, rebuild
        self.serving = serving
        self._thread: threading.Thread | None = None
        self._result: Prepared | EdgeclError | None = None
        self._building: Rebuilding | None = None
        self._wanted: int | None = None  # on its way, or given up
        self._rebuilt = False

    def step(self) -> bool:
        """Do what can be done without waiting; True when another version serves from now on."""
        current = self._store.current
        if self._thread is not None:
            return not self._thread.is_alive() and self._prepared()
        if current is None or current == self.serving:
            return False
        if current != self._wanted:
            self._wanted, self._rebuilt = current, False
            self._stop_building()
            self._begin(current)
        elif self._building is not None:
            self._look_at_building(current)
        return False

    def close(self) -> None:
        """Wait for the thread, end the child."""
        if self._thread is not None:
            self._thread.join()
            if isinstance(self._result, Prepared):
                self._result.session.close()
        self._thread = self._result = None
        self._stop_building()

    def _begin(self, version: int) -> None:
        self._result = None
        self._thread = threading.Thread(target=self._prepare, args=(version,), name=f"edgecl-engine-{version}", daemon=True)
        self._thread.start()

    def _prepare(self, version: int) -> None:
        try:
            with self._store.use(version) as folder:
                self._result = self._predictor.prepare(folder)
        except EdgeclError as error:
            self._result = error

    def _prepared(self) -> bool:
        """The thread has ended: take over what it made, or say why not."""
        result, self._thread, self._result = self._result, None, None
        if isinstance(result, Prepared):
            self._predictor.adopt(result)
            self.serving = result.version
            self._note(f"version {result.version} serves from now on ({result.facts.name})")
            return True
        reason = str(result) if result is not None else "preparing it ended without a result"
        self._note(f"version {self.serving} goes on serving: {reason}")
        if isinstance(result, EngineUnusable) and not self._rebuilt and self._wanted is not None:
            self._rebuilt = True  # once per version: what fails twice is not tried for ever
            self._building = self._rebuild(self._store, self._wanted)
        return False

    def _look_at_building(self, version: int) -> None:
        ended = self._building.poll() if self._building is not None else None
        if ended is None:
            return
        self._building = None
        if ended.code:
            self._note(f"version {self.serving} goes on serving: {ended.sentence}")
        else:
            self._begin(version)

    def _stop_building(self) -> None:
        if self._building is not None:
            self._building.stop()
        self._building = None
