"""Cuts the power after every file operation of a command, in every way that the disk allows, and looks at the store.

A command is right when every state that a power cut can leave opens as a store that is whole and serves the version from before or the
one from after; and when, once it has answered, every such state is the one it answered about.
"""

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgecl.errors import EdgeclError
from edgecl.store import Store
from edgecl.store.verify import verify
from tests.crash.disk import Disk, Impossible, Tree, is_scratch, tree_of, write_tree
from tests.crash.recording import Op, Recorder

Command = Callable[[Path], object]
"""Runs in a place that holds `model`, the store; raises `CommandFailed` when it does not succeed."""


class CommandFailed(Exception):
    """It ended with another exit code than 0."""


@dataclass(frozen=True)
class Recording:
    """What one command did. `killed` operations of an earlier, killed one come first; they are visible, and durable only as far as fsynced."""

    before: Tree
    ops: tuple[Op, ...]
    after: Tree
    killed: int = 0


@dataclass(frozen=True)
class Fault:
    """A power cut that this command does not survive."""

    after: int  # operations
    last: str
    reason: str


# Functions that hand on what another one asked for.
_PASSED_THROUGH = ("sync", "settle", "remove", "_remove_unused")


def place_in_code(op: Op) -> str:
    """The line of code that asked for an operation, whatever command came by; and the primitives that did it."""
    chain: list[str] = []
    for frame in reversed(op.site):
        module, _, function = frame.partition(":")[0].rpartition(".")
        chain.insert(0, frame.split(".", 1)[1])
        if not module.endswith(".atomic") and function not in _PASSED_THROUGH:
            break
    return " > ".join(chain)


@dataclass
class Count:
    """How much was looked at."""

    cuts: int = 0  # prefixes
    states: int = 0  # combinations of names and contents
    stores: int = 0  # different ones among them, scratch and locks apart, that nobody had seen yet; each was opened and checked


def record(command: Command, place: Path, *, killed: Recording | None = None, at: int = 0) -> Recording:
    """Run `command` in `place` and write down what it does; with `killed`, in the state that a kill after `at` of its operations left.

    Raises:
        AssertionError: the recording does not lead to what lies on the disk, so something was missed.
    """
    if killed is not None:
        disk = Disk.holding(killed.before)
        for op in killed.ops[:at]:
            disk.play(op)
        shutil.rmtree(place, ignore_errors=True)
        write_tree(disk.tree(), place)
        before, ops = killed.before, list(killed.ops[:at])
    else:
        before, ops = tree_of(place), []
    recorder = Recorder(place)
    with recorder.running(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            command(place)
        except EdgeclError as error:
            raise CommandFailed(str(error)) from error
    recording = Recording(before, (*ops, *recorder.ops), tree_of(place), len(ops))
    disk = Disk.holding(before)
    for op in recording.ops:
        disk.play(op)
    assert disk.tree() == recording.after, "the recording missed an operation"
    return recording


def without(recording: Recording, site: Callable[[Op], bool]) -> Recording:
    """The recording of a command from which these operations were taken out of the code.

    What the code would have moved into scratch to delete it there, it then deletes where it lies.
    """
    kept: list[Op] = []
    unmoved: dict[str, str] = {}  # where it would be -> where it is
    for op in recording.ops[recording.killed :]:
        if not site(op):
            there = next((target for target in unmoved if op.path == target or op.path.startswith(f"{target}/")), None)
            kept.append(op if there is None else replace(op, path=unmoved[there] + op.path.removeprefix(there)))
        elif op.kind == "rename" and is_scratch(op.other):
            unmoved[op.other] = op.path
    return replace(recording, ops=(*recording.ops[: recording.killed], *kept))


Known = dict[int, str | None]
"""What is wrong with a store, None when nothing is, by the hash of the store and of what may be found."""


def faults(
    recording: Recording,
    scratch: Path,
    *,
    count: Count | None = None,
    last_first: bool = False,
    answered_only: bool = False,
    known: Known | None = None,
) -> Iterator[Fault]:
    """Every power cut during the command, or after its answer, that leaves a store which is not as it should be; each such store once.

    `known` remembers what was found, also for other recordings.
    """
    expected = _Expected(recording, scratch)
    count, known = count or Count(), {} if known is None else known
    cuts = range(len(recording.ops) if answered_only else recording.killed, len(recording.ops) + 1)
    told: set[int] = set()
    for cut in reversed(cuts) if last_first else cuts:
        disk = Disk.holding(recording.before)
        try:
            for op in recording.ops[:cut]:
                disk.play(op)
        except Impossible as refused:  # only in a recording from which something was taken out
            if cut == len(recording.ops):
                yield Fault(cut, _words(recording.ops[-1]), f"the command cannot go on: {refused}")
            continue
        count.cuts += 1
        answered = cut == len(recording.ops)
        for tree in disk.after_power_cut(seed=cut):
            count.states += 1
            key = hash((expected.key, answered, _hash(tree)))
            if key not in known:
                count.stores += 1
                known[key] = expected.reason(tree, answered=answered)
            reason = known[key]
            if reason is not None and key not in told:
                told.add(key)
                yield Fault(cut, _words(recording.ops[cut - 1]) if cut else "nothing", reason)


def _words(op: Op) -> str:
    return f"{op.kind} {op.path}{f' -> {op.other}' if op.other else ''}"


class _Expected:
    """What may be found."""

    def __init__(self, recording: Recording, scratch: Path) -> None:
        self.scratch = scratch
        self.after = _lasting(recording.after)
        self.old, self.new = (self._facts(tree) for tree in (recording.before, recording.after))
        self.key = hash((self.old, self.new, _hash(recording.after)))

    def _facts(self, tree: Tree) -> "_Facts | None":
        return _Facts.of(self._store(tree)) if "model/edgecl.json" in tree else None

    def _store(self, tree: Tree) -> Store:
        shutil.rmtree(self.scratch, ignore_errors=True)
        write_tree(tree, self.scratch)
        return Store.open(self.scratch / "model")

    def reason(self, tree: Tree, *, answered: bool) -> str | None:
        """What is wrong with a state; None when nothing is."""
        if answered and _lasting(tree) != self.after:
            return f"after the answer: {_difference(self.after, _lasting(tree))}"
        if "model" not in tree:
            return None if self.old is None else "the store is gone"
        try:
            return self._wrong(self._store(tree))
        except EdgeclError as error:
            return str(error)

    def _wrong(self, store: Store) -> str | None:
        # What no version names is no damage, but it comes and goes as a whole, too.
        found = [finding for finding in verify(store, deep=True) if finding.damage or finding.path.startswith(("adapters/", "memory/"))]
        if self.new is not None and self.new.current is None:  # a store that no version was ever written to
            found = [finding for finding in found if finding.path != "current"]
        damage = [f"{finding.path}: {finding.problem}" for finding in found]
        if damage:
            return damage[0]
        facts, old, new = _Facts.of(store), self.old, self.new
        assert new is not None
        ends = [end for end in (old, new) if end is not None]
        if facts.current not in [end.current for end in ends]:
            return f"current is {facts.current}"
        if facts.good not in [end.good for end in ends]:
            return f"good is {facts.good}"
        if old is not None and (old.versions & new.versions) - facts.versions:
            return f"versions {sorted((old.versions & new.versions) - facts.versions)} are gone"
        if not min(end.following for end in ends) <= facts.following <= new.following:
            return f"the next number is {facts.following}"
        with store.learning_lock():
            left = sorted(path.name for path in (store.root / "tmp").iterdir())
        return f"tmp/ still holds {left[0]}" if left else None


@dataclass(frozen=True)
class _Facts:
    current: int | None
    good: int | None
    versions: frozenset[int]
    following: int

    @classmethod
    def of(cls, store: Store) -> "_Facts":
        return cls(store.current, store.good, frozenset(store.numbers()), store.next_number())


def _lasting(tree: Tree) -> Tree:
    """Without scratch and locks."""
    return {path: content for path, content in tree.items() if not path.endswith(".lock") and not is_scratch(path)}


def _hash(tree: Tree) -> int:
    return hash(tuple(sorted(_lasting(tree).items())))


def _difference(expected: Tree, found: Tree) -> str:
    path = sorted(path for path in expected.keys() | found.keys() if expected.get(path, 0) != found.get(path, 0))[0]
    return f"{path} is not as it was" if path in expected and path in found else f"{path} is {'missing' if path in expected else 'there'}"


def kills(recording: Recording) -> list[int]:
    """After how many operations a kill leaves something that the one before did not: names outside of scratch, made or made durable."""
    found = []
    for at, op in enumerate(recording.ops[recording.killed :], start=recording.killed + 1):
        places = [op.path, *([op.other] if op.kind == "rename" else [])]
        if op.kind != "data" and any(path in _lasting({path: None}) for path in places):
            found.append(at)
    return found
