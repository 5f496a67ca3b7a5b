"""Pictures that were collected on the camera and wait to be learned: `inbox/next/<class>/<sha256>.jpg`.

`next` is a task folder as `learn` reads one. When a learn begins, it is renamed to `learning`, so that collecting goes on beside it;
afterwards `learning` is deleted, or its pictures go back to `next`.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import BadInput, BadPictures, NoSpace, UsageError
from edgecl.manifest import BACKGROUND, normal_name
from edgecl.preprocess import decode, encode_jpeg, hamming, perceptual_hash
from edgecl.store.atomic import move_folder, os_errors, remove_all, replace_all, sync_folder
from edgecl.store.names import is_hash
from edgecl.store.ownership import check_changeable
from edgecl.store.reading import PICTURE_LIMIT, read_bytes

INBOX, NEXT, LEARNING, BUNDLE = "inbox", "next", "learning", "bundle.edgecl"
BUDGET_MIB = 64.0  # of all collected pictures: some 1,500 of a 224-pixel model
LONGEST_NAME = 200  # bytes of a folder's name; file systems hold 255
DOUBLE = 2  # bits of 64 in which the perceptual hashes of a picture and of its double differ at most


class Doubled(BadInput):
    """The class has this picture already, or one that can hardly be told from it."""


@dataclass(frozen=True)
class Collected:
    """A class of the inbox and its pictures, oldest first."""

    name: str
    pictures: tuple[str, ...]  # sha256 of each


class Inbox:
    """The inbox of the store in `root`. One process writes it, from any of its threads."""

    def __init__(self, root: Path, *, budget_mib: float = BUDGET_MIB) -> None:
        self._folder = root / INBOX
        self._budget_bytes = int(budget_mib * 2**20)
        self._lock = threading.RLock()
        self._hashes: dict[Path, int] = {}  # perceptual ones, of files that were looked at

    def collected(self) -> list[Collected]:
        """What waits, by class name."""
        with self._lock:
            return [Collected(folder.name, tuple(path.stem for path in _pictures(folder))) for folder in _folders(self._folder / NEXT)]

    def size_bytes(self) -> int:
        """What all its pictures take, those that are being learned among them."""
        with self._lock:
            return sum(path.stat().st_size for path in self._all())

    def add(self, name: str, rgb: NDArray[np.uint8], captured: datetime, *, doubles: bool = False) -> str:
        """Keep the picture `[h, w, 3]` for the class `name`; returns its hash. `doubles` lets a picture in that resembles another.

        Raises:
            BadInput: `name` cannot be a class.
            Doubled: the class has it already.
            NoSpace: the inbox is full, or the disk is.
        """
        folder = self._folder / NEXT / class_folder(name)
        data, phash = encode_jpeg(rgb, captured=captured), perceptual_hash(rgb)
        path = folder / f"{hashlib.sha256(data).hexdigest()}.jpg"
        check_changeable(self._folder.parent)
        with self._lock:
            if path.exists() or (not doubles and self._has_double(folder, phash)):
                raise Doubled(f"the class {folder.name!r} has this picture already. Move the camera or the thing a little.")
            if self.size_bytes() + len(data) > self._budget_bytes:
                raise NoSpace(f"the inbox is full ({self._budget_bytes / 2**20:g} MiB). Let the camera learn, or remove pictures.")
            with os_errors(f"keeping a picture of {folder.name}"):
                folder.mkdir(parents=True, exist_ok=True)
            replace_all({path: data}, tmp=self._folder / "tmp")
            self._hashes[path] = phash
        return path.stem

    def picture(self, name: str, hash: str) -> bytes:
        """The JPEG of a picture that waits.

        Raises:
            UsageError: there is no such picture.
        """
        return read_bytes(self._path(name, hash), limit=PICTURE_LIMIT)

    def remove(self, name: str, hash: str | None = None) -> None:
        """Take a picture out, or without `hash` a whole class.

        Raises:
            UsageError: there is no such picture or class.
        """
        with self._lock, os_errors(f"removing pictures of {name}"):
            folder = self._folder / NEXT / class_folder(name)
            if hash is None:
                if not folder.is_dir():
                    raise UsageError(f"no picture of {name!r} waits in the inbox.")
                shutil.rmtree(folder)
                return
            self._path(name, hash).unlink()
            if not list(_pictures(folder)):
                folder.rmdir()

    def keep_bundle(self, data: bytes) -> Path:
        """Lay a bundle down for a child to apply; returns where. One at a time: a second one takes the first one's place.

        Raises:
            NoSpace: the disk is full.
        """
        check_changeable(self._folder.parent)
        path = self._folder / BUNDLE
        with self._lock:
            with os_errors("keeping a bundle"):
                self._folder.mkdir(exist_ok=True)
            replace_all({path: data}, tmp=self._folder / "tmp")
        return path

    def hand_over(self) -> Path:
        """Move what waits aside for a learn; returns the task folder. End with `learned` or `give_back`.

        Raises:
            BadPictures: nothing waits.
        """
        self.give_back()  # what a learn left that was cut off
        with self._lock, os_errors("handing the inbox to a learn"):
            if not _folders(self._folder / NEXT):
                raise BadPictures("no picture waits in the inbox. Collect some first, a dozen per class from different sides.")
            move_folder(self._folder / NEXT, self._folder / LEARNING)
            sync_folder(self._folder)
        return self._folder / LEARNING

    def learned(self) -> None:
        """What was handed over is in the model's memory now: delete it here."""
        with self._lock:
            if (self._folder / LEARNING).is_dir():
                remove_all([self._folder / LEARNING], tmp=self._folder / "tmp")
            self._hashes.clear()

    def give_back(self) -> None:
        """Put what was handed over beside what waits now."""
        with self._lock, os_errors("giving pictures back to the inbox"):
            for folder in _folders(self._folder / LEARNING):
                target = self._folder / NEXT / folder.name
                target.mkdir(parents=True, exist_ok=True)
                for path in _pictures(folder):
                    os.replace(path, target / path.name)
            shutil.rmtree(self._folder / LEARNING, ignore_errors=True)

    def _path(self, name: str, hash: str) -> Path:
        path = self._folder / NEXT / class_folder(name) / f"{hash}.jpg"
        if not is_hash(hash) or path.is_symlink() or not path.is_file():
            raise UsageError(f"no picture {hash[:12]!r} of {name!r} waits in the inbox.")
        return path

    def _all(self) -> Iterator[Path]:
        for part in (NEXT, LEARNING):
            for folder in _folders(self._folder / part):
                yield from _pictures(folder)

    def _has_double(self, folder: Path, phash: int) -> bool:
        return any(hamming(phash, self._hash_of(path)) <= DOUBLE for path in _pictures(folder))

    def _hash_of(self, path: Path) -> int:
        if path not in self._hashes:
            self._hashes[path] = perceptual_hash(decode(path))
        return self._hashes[path]


def class_folder(name: str) -> str:
    """The folder's name for a class, which is the class's own name.

    Raises:
        BadInput: no class can be called so, or `learn` would not take the folder for a class.
    """
    normal = normal_name(name)
    unclear = "\ufffd" in normal  # what bytes become that are no text
    hidden = normal.startswith(".") or normal.casefold() in ("thumbs.db", "desktop.ini")
    if unclear or hidden or (normal.startswith("_") and normal != BACKGROUND):
        raise BadInput(
            f"{name!r} cannot be a class name here: use plain text that begins with a letter or a digit ({BACKGROUND!r} stands for nothing)."
        )
    if len(normal.encode()) > LONGEST_NAME:
        raise BadInput(f"the class name {normal[:20]!r}... takes {len(normal.encode())} bytes, at most {LONGEST_NAME}. Shorten it.")
    return normal


def _folders(place: Path) -> list[Path]:
    return sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.is_symlink()) if place.is_dir() else []


def _pictures(folder: Path) -> list[Path]:
    """The pictures of a class folder, oldest first; whatever else lies there is not ours."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.suffix == ".jpg" and is_hash(path.stem) and not path.is_symlink()]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))
