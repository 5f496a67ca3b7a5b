"""What a disk may hold after a power cut: a model of files, folders, and what fsync promises about them.

The promises that are relied on, and no others (POSIX, and what journalling file systems add for renames):

- what a file held at its last fsync is on the disk, unless it was written to since; of later bytes any part may be;
- a name (made, removed, renamed) is on the disk once its folder was fsynced after it; before that it may be there or not, each name
  independently of all others;
- a rename is one step: the old name goes when, and only when, the new one comes, and an fsync of either folder makes it durable.

A process that is killed loses nothing: what it did is visible to the next one, durable or not.
"""

import itertools
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.recording import Op

Tree = dict[str, bytes | str | None]
"""Path -> content of a file, target of a link, or None for a folder; without the place itself."""

FOLDER = dict[str, int]
ROOT = 0
ALL_SUBSETS = 5  # up to so many undecided names every combination is tried
TORN = ("whole", "empty", "half", "zeros")


def tree_of(place: Path) -> Tree:
    """What lies below `place`."""
    found: Tree = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def write_tree(tree: Tree, place: Path) -> None:
    """Put a tree into the empty or absent folder `place`."""
    place.mkdir(parents=True, exist_ok=True)
    for name in sorted(tree):
        content, path = tree[name], place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)


class Impossible(Exception):
    """What the operating system would refuse."""


@dataclass
class _File:
    now: bytes
    safe: bytes | None  # None: never fsynced


@dataclass(frozen=True)
class _Change:
    """One step in the folders that is not durable yet: (folder, name) -> inode, None where the name goes."""

    entries: tuple[tuple[int, str, int | None], ...]


@dataclass
class Disk:
    """The state of a disk while operations are played on it."""

    files: dict[int, _File | str] = field(default_factory=dict)  # a string is a link
    visible: dict[int, FOLDER] = field(default_factory=lambda: {ROOT: {}})
    durable: dict[int, FOLDER] = field(default_factory=lambda: {ROOT: {}})
    undecided: list[_Change] = field(default_factory=list)
    _next: int = 1

    @classmethod
    def holding(cls, tree: Tree) -> "Disk":
        """A disk on which `tree` is durable."""
        disk = cls()
        for name in sorted(tree):
            content = tree[name]
            folder, last = disk._locate(name)
            inode = disk._new(content)
            disk.visible[folder][last] = disk.durable[folder][last] = inode
            if isinstance(content, bytes):
                disk.files[inode] = _File(content, content)
        return disk

    def _new(self, content: bytes | str | None) -> int:
        inode, self._next = self._next, self._next + 1
        if content is None:
            self.visible[inode], self.durable[inode] = {}, {}
        else:
            self.files[inode] = content if isinstance(content, str) else _File(content, None)
        return inode

    def _locate(self, path: str) -> tuple[int, str]:
        *folders, last = path.split("/")
        inode = ROOT
        for name in folders:
            inode = self.visible[inode][name]
        return inode, last

    def _inode(self, path: str) -> int:
        if path == ".":
            return ROOT
        folder, last = self._locate(path)
        return self.visible[folder][last]

    def play(self, op: Op) -> None:
        """One operation, as the running system sees it.

        Raises:
            Impossible: a name that it needs is not there, or a folder would take the place of one that holds something.
        """
        try:
            self._play(op)
        except KeyError as error:
            raise Impossible(f"{op.kind} {op.path}: {error} is not there") from error

    def _play(self, op: Op) -> None:
        if op.kind == "data":
            file = self.files[self._inode(op.path)]
            assert isinstance(file, _File)
            file.now = op.content
        elif op.kind == "sync":
            self._sync(self._inode(op.path))
        elif op.kind == "rename":
            (old, name), (new, other) = self._locate(op.path), self._locate(op.other)
            if self.visible.get(self.visible[new].get(other, -1)):
                raise Impossible(f"rename {op.path} -> {op.other}: there is a folder with something in it")
            self._change((old, name, None), (new, other, self.visible[old][name]))
        else:
            folder, last = self._locate(op.path)
            made = {"create": b"", "mkdir": None, "symlink": op.other}
            self._change((folder, last, self._new(made[op.kind]) if op.kind in made else None))

    def _change(self, *entries: tuple[int, str, int | None]) -> None:
        for folder, name, inode in entries:
            _set(self.visible[folder], name, inode)
        self.undecided.append(_Change(entries))

    def _sync(self, inode: int) -> None:
        file = self.files.get(inode)
        if isinstance(file, _File):
            file.safe = file.now
            return
        decided = [change for change in self.undecided if any(folder == inode for folder, _, _ in change.entries)]
        for change in decided:
            self._decide(change)

    def _decide(self, change: _Change) -> None:
        """This step is on the disk; what came before it to the same names is history."""
        at = self.undecided.index(change)
        names = {(folder, name) for folder, name, _ in change.entries}
        earlier = []
        for other in self.undecided[:at]:
            left = tuple(entry for entry in other.entries if entry[:2] not in names)
            earlier += [_Change(left)] if left else []
        for folder, name, inode in change.entries:
            _set(self.durable[folder], name, inode)
        self.undecided = [*earlier, *self.undecided[at + 1 :]]

    def tree(self) -> Tree:
        """What a running system sees."""
        return self._tree(self.visible, dict.fromkeys(self.files, "whole"))

    def after_power_cut(self, seed: int) -> Iterator[Tree]:
        """What may be found when the power comes back; names and contents in many combinations, all where they are few."""
        for subset in self._subsets(seed):
            folders = {inode: dict(entries) for inode, entries in self.durable.items()}
            for change in subset:
                for folder, name, inode in change.entries:
                    _set(folders[folder], name, inode)
            unsafe = [inode for inode in self._reachable(folders) if self._is_unsafe(inode)]
            for damage in _damages(unsafe):
                yield self._tree(folders, damage)

    def _subsets(self, seed: int) -> Iterator[Sequence[_Change]]:
        """Which undecided steps made it: names in tmp/ together, all others in every combination, or in many when there are too many."""
        building = {ROOT: False} | {inode: is_scratch(path) for path, inode in self._paths(self.visible)}
        scratch = [change for change in self.undecided if all(building.get(folder, True) for folder, _, _ in change.entries)]
        others = [change for change in self.undecided if change not in scratch]
        chosen: list[tuple[_Change, ...]] = []
        if len(others) <= ALL_SUBSETS:
            for size in range(len(others) + 1):
                chosen += itertools.combinations(others, size)
        else:
            chosen += [tuple(others[:end]) for end in range(len(others) + 1)]
            chosen += [(change,) for change in others]
            chosen += [tuple(other for other in others if other is not change) for change in others]
            draw = random.Random(seed)
            chosen += [tuple(change for change in others if draw.random() < 0.5) for _ in range(16)]
        for subset in chosen:
            yield subset
            if scratch:
                kept = set(map(id, (*scratch, *subset)))
                yield [change for change in self.undecided if id(change) in kept]

    def _paths(self, folders: Mapping[int, FOLDER], inode: int = ROOT, path: str = "") -> Iterator[tuple[str, int]]:
        for name, child in sorted(folders[inode].items()):
            where = f"{path}/{name}" if path else name
            yield where, child
            if child in folders:
                yield from self._paths(folders, child, where)

    def _reachable(self, folders: Mapping[int, FOLDER]) -> list[int]:
        return sorted({inode for path, inode in self._paths(folders) if not is_scratch(path)})

    def _is_unsafe(self, inode: int) -> bool:
        file = self.files.get(inode)
        return isinstance(file, _File) and file.safe != file.now

    def _tree(self, folders: Mapping[int, FOLDER], damage: Mapping[int, str]) -> Tree:
        found: Tree = {}
        for path, inode in self._paths(folders):
            file = self.files.get(inode)
            found[path] = _content(file, damage.get(inode, "half")) if isinstance(file, _File) else file
        return found


def is_scratch(path: str) -> bool:
    """In a tmp/, or in a folder that is being built: nobody's."""
    return any(part == "tmp" or ".making-" in part for part in path.split("/"))


def _set(folder: FOLDER, name: str, inode: int | None) -> None:
    if inode is None:
        folder.pop(name, None)
    else:
        folder[name] = inode


def _damages(unsafe: Sequence[int]) -> Iterator[dict[int, str]]:
    """Every unsafe file in the same way, then each one alone."""
    for way in TORN if unsafe else TORN[:1]:
        yield dict.fromkeys(unsafe, way)
    if len(unsafe) > 1:
        for inode in unsafe:
            for way in TORN[1:]:
                yield {**dict.fromkeys(unsafe, "whole"), inode: way}


def _content(file: _File, way: str) -> bytes:
    if file.safe == file.now or way == "whole":
        return file.now
    if way == "empty":
        return file.safe or b""
    return file.now[: len(file.now) // 2] if way == "half" else bytes(len(file.now))
