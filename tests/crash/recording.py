"""Writes down what a command does to files, by standing between Python and the operating system.

Every change of a file or folder below one place becomes an `Op`, with the chain of edgecl's functions that asked for it. What a recording
holds is checked by whoever uses it: replayed on the tree from before, it must give the tree that lies on the disk afterwards.
"""

import builtins
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock


@dataclass(frozen=True)
class Op:
    """One change. Paths are relative to the recorded place."""

    kind: str  # create, data, sync, mkdir, symlink, rename, unlink, rmdir
    path: str
    other: str = ""  # where a rename leads, what a symbolic link holds
    content: bytes = b""  # of `data`: all that the file holds now
    site: tuple[str, ...] = ()  # edgecl's functions, outermost first: `module.function:line`


class Recorder:
    """Collects the operations below `place`; `before` is called ahead of each one, and may kill the process."""

    def __init__(self, place: Path, before: Callable[[str], None] = lambda kind: None) -> None:
        self.place, self.before = str(place.resolve()), before
        self.ops: list[Op] = []
        self._dirty: set[str] = set()  # written to since their content was last put down

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record during the body."""
        with ExitStack() as stack:
            for name in ("open", "mkdir", "rename", "replace", "symlink", "unlink", "remove", "rmdir", "fsync", "ftruncate", "pwrite"):
                stack.enter_context(mock.patch.object(os, name, getattr(self, f"_{name}")(getattr(os, name))))
            opened = self._builtin_open(builtins.open)
            stack.enter_context(mock.patch.object(builtins, "open", opened))
            stack.enter_context(mock.patch.object(io, "open", opened))
            yield
            self._put_down(sorted(self._dirty))

    # Each `_name` wraps the function of that name.

    def _open(self, original: Any) -> Any:
        def wrapped(path: Any, flags: int, *rest: Any, **named: Any) -> int:
            where = self._path(path, named.get("dir_fd"))
            if where is None or not flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                return int(original(path, flags, *rest, **named))
            return int(self._writing(where, lambda: original(path, flags, *rest, **named)))

        return wrapped

    def _builtin_open(self, original: Any) -> Any:
        def wrapped(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            where = None if isinstance(file, int) else self._path(file)
            if where is None or not set(mode) & set("wax+"):
                return original(file, mode, *rest, **named)
            return self._writing(where, lambda: original(file, mode, *rest, **named))

        return wrapped

    def _writing(self, where: str, do: Callable[[], Any]) -> Any:
        new = not os.path.lexists(f"{self.place}/{where}")
        if new:
            self.before("create")
        result = do()
        if new:
            self._add("create", where)
        self._dirty.add(where)
        return result

    def _fsync(self, original: Any) -> Any:
        def wrapped(descriptor: Any) -> None:
            where = self._path(f"/proc/self/fd/{descriptor if isinstance(descriptor, int) else descriptor.fileno()}", follow=True)
            if where is not None:
                self._put_down([where] if where in self._dirty else [])
                self.before("sync")
            original(descriptor)
            if where is not None:
                self._add("sync", where)

        return wrapped

    def _ftruncate(self, original: Any) -> Any:
        return self._touching(original)

    def _pwrite(self, original: Any) -> Any:
        return self._touching(original)

    def _touching(self, original: Any) -> Any:
        def wrapped(descriptor: int, *rest: Any) -> Any:
            where = self._path(f"/proc/self/fd/{descriptor}", follow=True)
            if where is not None:
                self.before("data")
                self._dirty.add(where)
            return original(descriptor, *rest)

        return wrapped

    def _mkdir(self, original: Any) -> Any:
        return self._simple("mkdir", original)

    def _unlink(self, original: Any) -> Any:
        return self._simple("unlink", original)

    def _remove(self, original: Any) -> Any:
        return self._simple("unlink", original)

    def _rmdir(self, original: Any) -> Any:
        return self._simple("rmdir", original)

    def _simple(self, kind: str, original: Any) -> Any:
        def wrapped(path: Any, *rest: Any, dir_fd: int | None = None, **named: Any) -> None:
            where = self._path(path, dir_fd)
            if where is not None:
                self.before(kind)
            original(path, *rest, dir_fd=dir_fd, **named)
            if where is not None:
                self._dirty.discard(where)
                self._add(kind, where)

        return wrapped

    def _symlink(self, original: Any) -> Any:
        def wrapped(target: Any, link: Any, *rest: Any, **named: Any) -> None:
            where = self._path(link)
            if where is not None:
                self.before("symlink")
            original(target, link, *rest, **named)
            if where is not None:
                self._add("symlink", where, other=os.fspath(target))

        return wrapped

    def _rename(self, original: Any) -> Any:
        def wrapped(source: Any, target: Any, **named: Any) -> None:
            old, new = self._path(source), self._path(target)
            if old is None or new is None:
                original(source, target, **named)
                return
            moved = [path for path in sorted(self._dirty) if path == old or path.startswith(f"{old}/")]
            self._put_down(moved)
            self.before("rename")
            original(source, target, **named)
            self._add("rename", old, other=new)

        return wrapped

    _replace = _rename

    def _put_down(self, paths: list[str]) -> None:
        """What these files hold now."""
        for path in paths:
            self._dirty.discard(path)
            if os.path.isfile(f"{self.place}/{path}"):
                descriptor = os.open(f"{self.place}/{path}", os.O_RDONLY)
                with os.fdopen(descriptor, "rb") as file:
                    self._add("data", path, content=file.read())

    def _add(self, kind: str, path: str, *, other: str = "", content: bytes = b"") -> None:
        self.ops.append(Op(kind, path, other, content, _site()))

    def _path(self, path: Any, dir_fd: int | None = None, *, follow: bool = False) -> str | None:
        """Relative to the place; None when it lies elsewhere."""
        text = os.fspath(path) if not isinstance(path, int) else ""
        if isinstance(text, bytes):
            text = os.fsdecode(text)
        if dir_fd is not None:
            text = f"{os.readlink(f'/proc/self/fd/{dir_fd}')}/{text}"
        if follow:
            text = os.readlink(text)
        text = os.path.abspath(text)
        # Folders on the way may be links (`current`), the last part is what the operation is about.
        text = f"{os.path.realpath(os.path.dirname(text))}/{os.path.basename(text)}"
        return os.path.relpath(text, self.place) if text.startswith(f"{self.place}/") else ("." if text == self.place else None)


def _site() -> tuple[str, ...]:
    chain: list[str] = []
    frame: Any = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.split(".")[0] in ("edgecl", "edgecl_export"):
            chain.append(f"{module}.{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return tuple(reversed(chain))
