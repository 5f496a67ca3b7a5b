"""A real file system that is too small: a tmpfs, filled up to a level, on which a command runs."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import edgecl.begin
import edgecl.store.store
import edgecl_export.prove
from edgecl.store import Store
from edgecl.store.verify import verify
from tests.crash.damage import answer

PAGE = 4096  # bytes; a tmpfs gives room in pages


@contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[Path]:
    """A tmpfs of this size at `place`, gone after the body.

    Raises:
        OSError: the system does not let us mount one.
    """
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(f"mount: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def unchecked() -> Iterator[None]:
    """Without the look at the free space before the work, so that the disk is full in the middle of it."""
    with ExitStack() as stack:
        for module in (edgecl.begin, edgecl.store.store, edgecl_export.prove):
            stack.enter_context(mock.patch.object(module, "require_space"))
        yield


def needed(template: Path, command: str, scratch: Path) -> int:
    """Bytes that a command adds at its highest, found by running it with room enough and looking at what is there, and then once more."""
    with small_disk(scratch, 256 * 2**20) as place:
        shutil.copytree(template, place / "place", symlinks=True)
        before = _used(place)
        code, said = answer(command, place / "place")
        if code != 0:
            raise RuntimeError(f"{command}: {said}")
        return 2 * (_used(place) - before)


def _used(place: Path) -> int:
    disk = os.statvfs(place)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


def run_with(template: Path, command: str, left_bytes: int, scratch: Path) -> tuple[int, str, str]:
    """Run a command where so much is left; returns its exit code, what it said, and what is wrong with the store (empty: nothing)."""
    with small_disk(scratch, 256 * 2**20) as place:
        shutil.copytree(template, place / "place", symlinks=True)
        size = _used(place) + left_bytes
        subprocess.run(["mount", "-o", f"remount,size={-(-size // PAGE) * PAGE}", str(place)], check=True)
        store = Store.open(place / "place" / "model")
        before = (store.current, store.numbers())
        code, said = answer(command, place / "place")
        return code, said, _wrong(store, before, code)


def _wrong(store: Store, before: tuple[int | None, list[int]], code: int) -> str:
    damage = [f"{finding.path}: {finding.problem}" for finding in verify(store, deep=True) if finding.damage]
    if damage:
        return damage[0]
    current, numbers = before
    if not set(numbers) <= set(store.numbers()):
        return f"versions were lost: {numbers} became {store.numbers()}"
    if code != 0 and store.current != current:
        return f"current moved from {current} to {store.current}"
    with store.learning_lock():
        left = list((store.root / "tmp").iterdir())
    return f"tmp/ still holds {left[0].name}" if left else ""
