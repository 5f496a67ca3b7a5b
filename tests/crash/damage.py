"""Changes single bytes of a store's files, and asks verify and the other commands about it."""

import contextlib
import io
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecl.cli import main
from edgecl.errors import EdgeclError
from edgecl.store import Store
from edgecl.store.verify import verify

# What a person edits, and what says who holds a lock: neither has a hash, by design.
UNHASHED = ("settings.toml",)
# Commands that read much. Each ends with an exit code and a sentence, or does its work.
COMMANDS = (
    "log",
    "show",
    "status",
    "run --source {}/more",
    "rollback",
    "promote 0",
    "rename red rot",
    "forget t0001-first",
    "apply {}/task.edgecl",
    "gc --keep 1",
    "gc --dry-run",
    "export --onnx",
    "verify",
    "learn --task {}/more --epochs 1 --threads 1",
)


@dataclass(frozen=True)
class Change:
    """One byte of one file."""

    path: str  # relative to the store
    offset: int
    value: int


def files_of(root: Path) -> list[Path]:
    """Every file with content of its own, links apart."""
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.suffix != ".lock" and path.stat().st_size and not _through_link(path, root)
    ]


def _through_link(path: Path, root: Path) -> bool:
    return any(parent.is_symlink() for parent in path.parents if parent != root and root in parent.parents)


def draw(root: Path, files: Sequence[Path], random_: random.Random) -> Change:
    """A file, a place in it, and another byte than stands there; every file is as likely as any other."""
    path = random_.choice(files)
    data = path.read_bytes()
    offset = random_.randrange(len(data))
    value = (data[offset] + random_.randrange(1, 256)) % 256
    return Change(str(path.relative_to(root)), offset, value)


def put(root: Path, change: Change) -> bytes:
    """Make the change; returns what the file held before."""
    path = root / change.path
    whole = path.read_bytes()
    path.write_bytes(whole[: change.offset] + bytes([change.value]) + whole[change.offset + 1 :])
    return whole


@contextlib.contextmanager
def changed(root: Path, change: Change) -> Iterator[None]:
    """The change, undone after the body."""
    whole = put(root, change)
    try:
        yield
    finally:
        (root / change.path).write_bytes(whole)


def is_found(root: Path, change: Change) -> bool:
    """Whether `verify --deep` names the file, or refuses the store, which it does for edgecl.json alone."""
    try:
        store = Store.open(root)
    except EdgeclError:
        return change.path == "edgecl.json"
    wanted = change.path.rpartition("/")[0] if change.path.startswith("adapters/") else change.path
    return any(finding.path == wanted for finding in verify(store, deep=True))


def answer(command: str, place: Path) -> tuple[int, str]:
    """Exit code and everything that a command prints on stderr."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main([*command.replace("{}", str(place)).split(), "--store", str(place / "model")])
    return code, said.getvalue()


def tried(command: str, place: Path, change: Change) -> str:
    """Run a command on a copy of the store with the change in it; empty unless it ends as a bug."""
    copy = place.with_name(f"{place.name}-copy")
    shutil.copytree(place, copy, symlinks=True)
    try:
        put(copy / "model", change)
        code, said = answer(command, copy)
    finally:
        shutil.rmtree(copy)
    return f"{command}: {said.strip().splitlines()[-2:]}" if code == 1 or "Traceback" in said else ""
