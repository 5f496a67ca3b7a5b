"""Who may change the store: `flock` locks that vanish with their process, and whose files say who holds them.

Lock files are never deleted: a process that waits on a deleted file would lock nothing.
"""

import errno
import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from edgecl.errors import BadInput, EdgeclError, StoreBusy, StoreDamaged
from edgecl.manifest import canonical_json
from edgecl.store.atomic import os_errors
from edgecl.store.formats import newest
from edgecl.store.reading import read_json

_POLL_S = 0.02


@contextmanager
def exclusive(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold the lock file `path` during the body; waits at most `wait_s` seconds for it.

    Raises:
        StoreBusy: another process (or thread) holds it; the message names process, command and start.
        BadInput: the file may not be opened, or the file system has no locks.
    """
    with os_errors(f"opening {path.name}"):
        try:
            # A lock file that is a link would have its target emptied and written over.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
                raise StoreDamaged(f"{path.name} is a link or no file, which edgecl never makes. Delete it; it is made anew.") from error
            raise
    try:
        _acquire(descriptor, path, wait_s)
        _sign(descriptor)
        try:
            yield
        finally:
            # Unlocked by hand: a forked worker that inherited the descriptor must not keep the lock alive.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


class NestedLock:
    """A lock file that one thread may hold several times over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread: int | None = None

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold the lock during the body, which is told whether it is the outermost one; never waits.

        Raises:
            StoreBusy: another process or thread holds it.
        """
        if self._thread == threading.get_ident():
            yield False
            return
        with exclusive(self.path, wait_s=0.0):
            self._thread = threading.get_ident()
            try:
                yield True
            finally:
                self._thread = None


def _acquire(descriptor: int, path: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise StoreBusy(f"the store {path.parent.name!r} is being changed by {holder(path)}. Try again when it is done.") from error
        except OSError as error:
            raise BadInput(
                f"{path.name} cannot be locked ({error.strerror}). Keep the store on a local file system such as ext4."
            ) from error
        time.sleep(_POLL_S)


def _sign(descriptor: int) -> None:
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200] if sys.argv else "python"
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    text = canonical_json({"format": newest("lock"), "pid": os.getpid(), "command": command, "since": since})
    # The signature is a courtesy: a full disk must not stop a rollback.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)


def holder(path: Path) -> str:
    """Who holds the lock file, in words."""
    try:
        fields = read_json(path, "lock")
        return f"process {fields['pid']} ({fields['command']}, since {fields['since']})"
    except (EdgeclError, KeyError):
        return "another process, which does not say its name"


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Mark a version's folder as in use, so that gc leaves it alone: a shared lock on its manifest.json.

    Raises:
        StoreDamaged: the version is gone, or was removed while the lock was being taken.
    """
    path = folder / "manifest.json"
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise StoreDamaged(f"version {folder.name} cannot be used: {error.strerror}. Run: edgecl log") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not _still_there(descriptor, path):
            raise StoreDamaged(f"version {folder.name} was removed by gc at this moment. Run: edgecl log")
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Whether nobody uses the version; when True, nobody can begin to during the body."""
    try:
        descriptor = os.open(folder / "manifest.json", os.O_RDONLY)
    except FileNotFoundError:
        yield True  # a folder without a manifest does not exist for anybody
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
