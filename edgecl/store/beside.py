"""A folder to build something in, next to the place that it will take; what killed commands left there goes first."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecl.store.atomic import sync_folder


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """A new hidden folder next to `target`, on the same file system; removed after the body unless that moved it away.

    Missing parents are made, durably, and removed again while they are empty. A lock on the folder tells the next one that it is in
    use; folders for the same target without such a lock were left by a kill or a power cut.

    Raises:
        OSError: the system refused.
    """
    missing = [parent for parent in target.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
        sync_folder(parent.parent)
    prefix = f".{target.name}.making-"
    _sweep(target.parent, prefix)
    fresh = target.parent / f"{prefix}{uuid.uuid4().hex[:12]}"
    try:
        fresh.mkdir()
        with _locked(fresh):
            yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()  # refused when it is not empty: what was made lies in it


def sync_above(target: Path) -> None:
    """Make the name of `target` durable, and those of the two folders above it, which a killed command may have made only visible."""
    sync_folder(target.parent)
    for folder in list(target.parents)[1:3]:
        with suppress(PermissionError):  # not ours, so not made by us
            sync_folder(folder)


def _sweep(folder: Path, prefix: str) -> None:
    for entry in folder.iterdir():
        if entry.name.startswith(prefix) and entry.is_dir():
            with suppress(OSError), _locked(entry):  # BlockingIOError: somebody builds in it
                shutil.rmtree(entry)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
