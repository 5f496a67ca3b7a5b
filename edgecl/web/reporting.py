"""Writing reports in the background: `edgecl report` as a child, one at a time."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from subprocess import Popen

from edgecl.errors import EdgeclError, StoreBusy
from edgecl.store import Store
from edgecl.store.reports import place_for_report
from edgecl.web.child import report_command, start


class Reporting:
    """Writes the reports of a store. `writing` is the version whose turn it is, `problem` why the last one was not written."""

    def __init__(self, store: Store, *, command: Callable[..., Sequence[str]] = report_command) -> None:
        self._store, self._command = store, command
        self._lock = threading.Lock()
        self._process: Popen[str] | None = None
        self._follower: threading.Thread | None = None
        self.writing: int | None = None
        self.problem = ""

    def write(self, number: int) -> None:
        """Begin to write the report of version `number`.

        Raises:
            StoreBusy: another one is being written.
            UsageError: there is no such version.
        """
        self._store.folder(number)
        with self._lock:
            if self.writing is not None:
                raise StoreBusy(f"the report of version {self.writing} is being written. Wait for it.")
            command = self._command(self._store.root, number, place_for_report(self._store.root, number))
            try:
                self._process = start(command)
            except OSError as error:
                raise EdgeclError(f"the report cannot be begun ({error.strerror}). Is the disk full, or the memory?") from error
            self.writing, self.problem = number, ""
            self._follower = threading.Thread(target=self._follow, args=(self._process, number), name="edgecl-report", daemon=True)
            self._follower.start()

    def write_after_learning(self, number: int) -> None:
        """The same, where nobody waits for it: what keeps it from being written is told in `problem` only."""
        try:
            self.write(number)
        except EdgeclError as error:
            self.problem = str(error)

    def close(self) -> None:
        """End what is being written, and wait for it; an earlier report stays as it was."""
        with self._lock:
            process, follower = self._process, self._follower
        if process is not None:
            with suppress(OSError):
                process.kill()
        if follower is not None:
            follower.join()

    def _follow(self, process: "Popen[str]", number: int) -> None:
        _, said = process.communicate()
        lines = [line for line in said.splitlines() if line.startswith("error: ")]
        with self._lock:
            if process.returncode != 0:
                self.problem = f"the report of version {number} was not written: " + (
                    lines[-1].removeprefix("error: ") if lines else f"its writer ended with {process.returncode}"
                )
            self.writing = self._process = None
