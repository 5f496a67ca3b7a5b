"""Kills a command with SIGKILL in front of one of its operations, and judges what the next one makes of it.

Each command runs in a forked child of a process that has imported everything and computed nothing: forks of a process whose threads have
run may hang. Operations are changes of files (`recording.Recorder`) and steps of training.
"""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from edgecl.guard import Guard
from edgecl.store import Store
from edgecl.store.verify import verify
from tests.crash.commands import COMMANDS
from tests.crash.disk import tree_of
from tests.crash.explore import CommandFailed
from tests.crash.recording import Recorder

COMMITTING = ("edgecl.store.store.commit", "edgecl.store.store.promote")


@dataclass(frozen=True)
class Moment:
    """One operation of a command."""

    command: str
    index: int
    kind: str
    committing: bool  # between the first byte of the new version and the pointer that leads to it


def in_child(work: Callable[[], str]) -> str:
    """What `work` answers in a forked child; its exception, or how the child was killed, in words."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            answer = work()
        except BaseException as error:  # noqa: BLE001  whatever it was, the parent must hear it
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else text


def _watched(name: str, place: Path, before: Callable[[str], None]) -> None:
    """Run a command and tell `before` of each operation ahead of it."""
    look = Guard.between_steps

    def step(guard: Guard, done: int, total: int, save: Callable[[], None]) -> bool:
        before("step")
        return look(guard, done, total, save)

    with (
        Recorder(place, before).running(),
        mock.patch.object(Guard, "between_steps", step),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        COMMANDS[name](place)


def moments(name: str, place: Path) -> list[Moment]:
    """Every operation of a command, from a run to its end."""

    def work() -> str:
        seen: list[str] = []

        def note(kind: str) -> None:
            frame, chain = sys._getframe(), set()
            while frame is not None:
                chain.add(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}")
                frame = frame.f_back  # type: ignore[assignment]
            seen.append(f"{kind} {int(bool(chain & set(COMMITTING)))}")

        _watched(name, place, note)
        return "\n".join(seen)

    lines = in_child(work).splitlines()
    return [Moment(name, index, line.split()[0], line.endswith("1")) for index, line in enumerate(lines)]


def kill(moment: Moment, place: Path) -> str:
    """Run the command and end it with SIGKILL right before the operation; returns how the child ended."""

    def work() -> str:
        left = [moment.index]

        def count(kind: str) -> None:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

        _watched(moment.command, place, count)
        return "finished"

    return in_child(work)


@dataclass(frozen=True)
class Undisturbed:
    """A store before a command and after one that nobody killed."""

    before: Path
    after: Path


def judge(name: str, place: Path, undisturbed: Undisturbed) -> str:
    """Look at the store that a kill left, run the command again, and compare; empty when all is well."""
    return in_child(lambda: _judge(name, place, undisturbed))


def _judge(name: str, place: Path, undisturbed: Undisturbed) -> str:
    store, old, new = (Store.open(where / "model") for where in (place, undisturbed.before, undisturbed.after))
    damage = [f"{finding.path}: {finding.problem}" for finding in verify(store, deep=True) if finding.damage]
    if damage:
        return f"broken: {damage[0]}"
    if store.current not in (old.current, new.current):
        return f"broken: current is {store.current}"
    lost = (set(old.numbers()) & set(new.numbers())) - set(store.numbers())
    if lost:
        return f"lost: versions {sorted(lost)}"
    # A rollback that has done its work must not be asked for again, for it would go one step further; forget would find nothing.
    if not (name in ("rollback", "forget") and store.current != old.current):
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                COMMANDS[name](place)
        except CommandFailed as failure:
            return f"again: {failure}"
    damage = [finding.path for finding in verify(store, deep=True) if finding.damage]
    return f"broken afterwards: {damage[0]}" if damage else SAME[name](store, new)


def same_bytes(store: Store, new: Store) -> str:
    """Every file but run.json, which holds times, and locks."""
    here, there = ({path: content for path, content in tree_of(s.root).items() if _counts(path)} for s in (store, new))
    different = sorted(path for path in here.keys() | there.keys() if here.get(path, 0) != there.get(path, 0))
    deterministic = [number for number in new.numbers() if store.manifest(number).deterministic != new.manifest(number).deterministic]
    if deterministic:
        return f"different: deterministic of version {deterministic[0]}"
    return f"different: {different[0]}" if different else ""


def _counts(path: str) -> bool:
    return not path.endswith((".lock", "run.json")) and not path.startswith("tmp")


def same_model(store: Store, new: Store) -> str:
    """The current version serves the same weights and labels and keeps the same pictures; its number, and a task's, may be later ones."""
    assert store.current is not None
    assert new.current is not None
    here, there = store.manifest(store.current).files, new.manifest(new.current).files
    different = [name for name in ("weights.safetensors", "labels.txt") if here[name] != there[name]]
    kept = [[(p.hash, p.class_id, p.role) for p in which.memory(which.current or 0)] for which in (store, new)]
    different += ["the kept pictures"] if kept[0] != kept[1] else []
    return f"different: {different[0]}" if different else ""


# The commands that are killed, and what must be equal in the end. One line each.
SAME: Mapping[str, Callable[[Store, Store], str]] = {
    "learn": same_bytes,
    "rollback": same_bytes,
    "forget": same_model,
    "apply": same_model,
    "gc --keep": same_bytes,
}
