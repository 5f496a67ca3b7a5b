"""Building an engine without disturbing what serves: `edgecl export --trt` as a process of its own, at low priority.

TensorRT's builder takes minutes and the most memory of an engine's whole life, and it may be killed for it; the process that serves
only looks at how it ended.
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from edgecl.runtime.selftest import Precision
from edgecl.store import Store

NICENESS = "10"


@dataclass(frozen=True)
class Ended:
    """How a rebuild ended."""

    code: int  # its exit code; below 0 the signal that killed it
    said: str  # the last line of its stderr

    @property
    def sentence(self) -> str:
        """For a person."""
        if self.code == 0:
            return "the engine was built"
        how = f"was killed by signal {-self.code}, for its memory perhaps" if self.code < 0 else f"ended with {self.code}"
        return f"building the engine {how}: {self.said or 'it said nothing'}"


class Rebuild:
    """One rebuild on its way. `poll` never waits."""

    def __init__(self, store: Store, version: int, *, precision: Precision | None = None) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `wait` closes it; no pipe: nobody reads while it runs, and a full one would stop it
        self._process = subprocess.Popen(
            rebuild_command(store, version, precision=precision),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C at the app's terminal is for the app
        )
        self.version = version
        self._ended: Ended | None = None

    def poll(self) -> Ended | None:
        """How it ended, or None while it runs."""
        return self.wait() if self._ended is not None or self._process.poll() is not None else None

    def wait(self) -> Ended:
        """Wait for its end."""
        if self._ended is None:
            code = self._process.wait()
            with self._said:
                self._said.seek(0)
                lines = [line.decode(errors="replace").rstrip() for line in self._said if line.strip()]
            self._ended = Ended(code, lines[-1] if lines else "")
        return self._ended

    def stop(self) -> None:
        """End it; the store stays as it is."""
        if self._process.poll() is None:
            self._process.terminate()
            self.wait()


def rebuild_command(store: Store, version: int, *, precision: Precision | None = None) -> list[str]:
    """The child's command line."""
    nice = [shutil.which("nice") or "nice", "-n", NICENESS] if shutil.which("nice") else []
    chosen = [] if precision is None else ["--precision", precision]
    edgecl = [sys.executable, "-m", "edgecl", "export", "--trt", "--store", str(store.root), "--version", str(version)]
    return [*nice, *edgecl, *chosen, "--json"]
