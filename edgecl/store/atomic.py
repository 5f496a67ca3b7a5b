"""How anything gets onto the disk of a store: written aside, fsynced, renamed into place, parent fsynced.

A power cut at any point leaves either the old or the new state. Leftovers stay in `tmp/`, where the next learning sweeps them up.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgecl.errors import BadInput, EdgeclError, NoSpace, StoreDamaged

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def explained(error: OSError, doing: str) -> EdgeclError:
    """The edgecl error for an operating system error met while `doing` something, e.g. "writing labels.txt"."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return NoSpace(f"{doing}: {reason}. Nothing was changed. Free some space, for example with: edgecl gc")
    if error.errno in _NOT_ALLOWED:
        return BadInput(f"{doing}: {reason}. Run edgecl as the user who owns the store, or make the store's folder writable.")
    return StoreDamaged(f"{doing}: {reason}. Run: edgecl verify")


@contextmanager
def os_errors(doing: str) -> Iterator[None]:
    """Turn an OSError from the body into a NoSpace, BadInput or StoreDamaged that says what was being done."""
    try:
        yield
    except OSError as error:
        raise explained(error, doing) from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and make its content (not yet its name) durable."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def aside(tmp: Path, name: str) -> Path:
    """A path in `tmp` that nobody else uses; `tmp` is made if it is missing."""
    tmp.mkdir(exist_ok=True)
    return tmp / f"{name}.{uuid.uuid4().hex[:12]}"


@contextmanager
def ready(changes: Mapping[Path, bytes | str], *, tmp: Path) -> Iterator[Callable[[], None]]:
    """Write the new content of each path aside; when the body calls what it is given, they take their places, in their order.

    Bytes become a file, a string becomes a symbolic link to it. Whatever the disk has no room for is so met before anything changes.
    The body makes the new names durable (`sync_folder`).

    Raises:
        NoSpace, BadInput, StoreDamaged: the system refused.
    """
    names = " and ".join(path.name for path in changes)
    fresh: dict[Path, Path] = {}
    try:
        with os_errors(f"writing {names}"):
            for path, content in changes.items():
                fresh[path] = aside(tmp, path.name)
                if isinstance(content, str):
                    os.symlink(content, fresh[path])
                else:
                    write_file(fresh[path], content)

        def put() -> None:
            with os_errors(f"replacing {names}"):
                for path, new in fresh.items():
                    os.replace(new, path)

        yield put
    finally:
        for new in fresh.values():
            new.unlink(missing_ok=True)


def replace_all(changes: Mapping[Path, bytes | str], *, tmp: Path) -> None:
    """Give each path new content, durably: bytes for a file, a string for a link; each all or nothing, in this order.

    Raises:
        NoSpace, BadInput, StoreDamaged: the system refused.
    """
    with ready(changes, tmp=tmp) as put:
        put()
        with os_errors("making new names durable"):
            sync_folders(path.parent for path in changes)


@contextmanager
def folder_aside(name: str, files: Mapping[str, bytes], *, tmp: Path) -> Iterator[Path]:
    """A durable folder in `tmp` with `files`, written in their order; the body moves it into place, or it is removed again."""
    with os_errors(f"writing {name}"):
        fresh = aside(tmp, name)
    try:
        with os_errors(f"writing {name}"):
            fresh.mkdir()
            for file, data in files.items():
                write_file(fresh / file, data)
            sync_folder(fresh)
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def move_folder(fresh: Path, target: Path) -> None:
    """Rename the durable folder `fresh` to `target`, which must not exist yet; the caller syncs the parent."""
    with os_errors(f"moving {target.name} into place"):
        os.rename(fresh, target)


def remove_all(paths: Iterable[Path], *, tmp: Path, seen_to: Iterable[Path] = ()) -> None:
    """Make files and folders disappear, each at once and all of them durably; folders are deleted out of sight, in `tmp`.

    What an earlier, killed removal took out of the folders `seen_to` is made durable, too.
    """
    doomed = []
    for path in paths:
        with os_errors(f"removing {path.name}"):
            if path.is_dir() and not path.is_symlink():
                doomed.append((path, aside(tmp, path.name)))
                os.rename(*doomed[-1])
            else:
                doomed.append((path, path))
                path.unlink()
    with os_errors("removing what is not needed"):
        sync_folders([*(path.parent for path, _ in doomed), *seen_to])
        for path, aside_path in doomed:
            if aside_path != path:
                shutil.rmtree(aside_path)


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names in each of `folders` durable, once each."""
    for folder in dict.fromkeys(folders):
        sync_folder(folder)


def sweep(tmp: Path) -> int:
    """Delete everything in `tmp`; returns the bytes freed. Call it only while nobody writes there (both locks held)."""
    with os_errors("sweeping tmp"):
        tmp.mkdir(exist_ok=True)
        freed = 0
        for entry in sorted(tmp.iterdir()):
            freed += size_of(entry)
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        return freed


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links count nothing."""
    if path.is_symlink():
        return 0
    if path.is_dir():
        return sum(size_of(entry) for entry in path.iterdir())
    return path.stat().st_size
