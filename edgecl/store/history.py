"""What happened in a store, and the changes to it that need no learning: roll back, promote, rename, grow."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgecl.errors import BadInput, EdgeclError, StoreBusy, UsageError
from edgecl.manifest import BACKGROUND, LARGEST_CAPACITY, ClassEntry, Manifest, Operation, normal_name
from edgecl.store.health import forgive
from edgecl.store.store import Store
from edgecl.store.versions import CANARY_FILE, GRAPH_FILE, WEIGHTS_FILE, Draft

LOG_FORMAT = "edgecl.log/1"


@dataclass(frozen=True, kw_only=True)
class LogRow:
    """One version in `edgecl log`."""

    number: int
    states: tuple[str, ...]  # of: current, good, past (was current once), staged (never was), dropped (weights are rebuilt on promote)
    operation: str = ""
    parent: int | None = None
    task: str | None = None
    added: tuple[str, ...] = ()  # classes, against the parent; empty when the parent was removed by gc
    removed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()  # (old, new)
    accuracy: Mapping[str, float | None] = field(default_factory=dict)  # what `checks` says, each 0..1; None: nothing to measure on
    created: str | None = None  # wall time, may be wrong
    problem: str | None = None  # why the version cannot be read


def log(store: Store) -> list[LogRow]:
    """One row per version, newest number first; a damaged version gets a row that says so."""
    return [_row(store, number) for number in reversed(store.numbers())]


def log_json(rows: list[LogRow]) -> dict[str, Any]:
    """`edgecl.log/1`"""
    return {"format": LOG_FORMAT, "versions": [dataclasses.asdict(row) for row in rows]}


def states(store: Store, number: int) -> tuple[str, ...]:
    """What version `number` is at this moment, in the words of `LogRow.states`."""
    pointers = {"current": store.current, "good": store.good}
    found = [name for name, pointed in pointers.items() if pointed == number]
    if not found:
        found = ["past" if number in store.state()["promoted"] else "staged"]
    dropped = not (store.folder(number) / WEIGHTS_FILE).is_file()
    return (*found, *(["dropped"] if dropped else []))


def _row(store: Store, number: int) -> LogRow:
    try:
        manifest = store.manifest(number)
    except EdgeclError as error:
        return LogRow(number=number, states=states(store, number), problem=str(error))
    try:
        before = () if manifest.parent is None else store.manifest(manifest.parent).classes
        created = store.run_info(number).get("created")
    except EdgeclError:  # the parent's row, or verify, says what is wrong with it
        before, created = manifest.classes, None
    old, new = {entry.id: entry.name for entry in before}, {entry.id: entry.name for entry in manifest.classes}
    accuracy = manifest.checks.get("accuracy")
    return LogRow(
        number=number,
        states=states(store, number),
        operation=manifest.operation,
        parent=manifest.parent,
        task=manifest.task,
        added=tuple(name for id, name in new.items() if id not in old),
        removed=tuple(name for id, name in old.items() if id not in new),
        renamed=tuple((old[id], name) for id, name in new.items() if id in old and old[id] != name),
        accuracy=accuracy if isinstance(accuracy, Mapping) else {},
        created=created,
    )


def show(store: Store, number: int | None = None) -> dict[str, Any]:
    """`edgecl.show/1`: everything that version `number` (default: current) says of itself.

    Raises:
        UsageError: there is no such version, or nothing is current.
        StoreDamaged: it cannot be read.
    """
    manifest = store.manifest(current_version(store) if number is None else number)
    memory = store.memory(manifest.number)

    def kept(entry: ClassEntry, role: str) -> int:
        return sum(picture.class_id == entry.id and picture.role == role for picture in memory)

    fields = dataclasses.asdict(manifest)
    classes = [
        {**dataclasses.asdict(entry), "replay": kept(entry, "replay"), "holdout": kept(entry, "holdout")}
        for entry in sorted(manifest.classes, key=lambda entry: entry.row)
    ]
    return {
        "format": "edgecl.show/1",
        "states": states(store, manifest.number),
        **fields,
        "classes": classes,
        "memory": {"pictures": len(memory), "bytes": sum(picture.bytes for picture in memory)},
        "run": store.run_info(manifest.number),
    }


def current_version(store: Store) -> int:
    """The number of the current version.

    Raises:
        UsageError: nothing is current.
    """
    current = store.current
    if current is None:
        raise UsageError(f"no version is current; there are {store.numbers()}. Choose one with: edgecl promote NUMBER")
    return current


def promote(store: Store, number: int) -> int | None:
    """Make version `number` current, whatever its gate said; returns the one that was current before.

    It is a person's word: what the app holds against the version is forgotten, so that it may be started again.

    Raises:
        UsageError: there is no such version.
        StoreDamaged: one of its files was changed.
        StoreBusy: somebody else moved `current` at this moment, or its weights must be rebuilt while somebody learns.
    """
    before = store.current
    forgive(store, number)
    if not store.promote(number, expected=before):
        raise StoreBusy(f"current moved from {before} to {store.current} at this moment, so it was left there. Look with: edgecl log")
    return before


def rollback(store: Store, number: int | None = None) -> int:
    """Make an older version current, by default the parent of the current one; returns its number. Nothing is deleted.

    Raises:
        UsageError: there is no older version to go to, or `number` is not older.
        StoreDamaged, StoreBusy: as for `promote`.
    """
    current = current_version(store)
    if number is None:
        number = store.manifest(current).parent
        if number is None:
            raise UsageError(f"version {current} is the first one, so there is nothing to roll back to.")
        if number not in store.numbers():
            older = [other for other in store.numbers() if other < current]
            raise UsageError(f"the parent {number} of version {current} was removed by gc. Choose one of {older}: edgecl rollback NUMBER")
    if number >= current:
        raise UsageError(f"version {number} is not older than the current version {current}. To go forward: edgecl promote {number}")
    promote(store, number)
    return number


def successor(store: Store, parent: int, operation: Operation, **changes: Any) -> Draft:
    """A draft that takes everything from version `parent` but `changes` (fields of `Draft`); `checks` and `run` start empty."""
    manifest = store.manifest(parent)
    weight, bias = store.head(parent)
    taken: dict[str, Any] = {
        "task": None,
        "capacity": manifest.capacity,
        "next_row": manifest.next_row,
        "classes": manifest.classes,
        "recipe": manifest.recipe,
        "thresholds": manifest.thresholds,
        "temperature": manifest.temperature,
        "seeds": manifest.seeds,
        "checks": {},
        "head_weight": weight,
        "head_bias": bias,
        "memory": store.memory(parent),
        "new_pictures": {},
        "new_adapters": {},
        "graph": store.file(parent, GRAPH_FILE),
        "canary": store.file(parent, CANARY_FILE),
        "run": {},
        "statistics": store.statistics(parent),
    }
    return Draft(parent=parent, operation=operation, **{**taken, **changes})


def serve_unchecked(store: Store, manifest: Manifest) -> None:
    """Make a fresh version current if its parent still is."""
    store.promote(manifest.number, expected=manifest.parent)


def rename(store: Store, old: str, new: str) -> Manifest:
    """Give the class `old` the display name `new`, in a new version with the same weights; it becomes current.

    It stays staged when somebody moved `current` meanwhile: compare `store.current` with the returned number.

    Raises:
        UsageError: there is no class `old`.
        BadInput: `new` cannot be a name, or another class has it (also when only the case differs).
    """
    with store.learning_lock():
        parent = current_version(store)
        manifest = store.manifest(parent)
        entry = manifest.class_by_name(old)
        if entry is None:
            known = ", ".join(sorted(other.name for other in manifest.classes)) or "none"
            raise UsageError(f"there is no class {old!r} in version {parent}. The classes are: {known}")
        name = _free_name(manifest, entry, new)
        classes = tuple(dataclasses.replace(other, name=name) if other is entry else other for other in manifest.classes)
        renamed = store.commit(successor(store, parent, "rename", classes=classes))
        serve_unchecked(store, renamed)  # the graph and the weights are the parent's
        return renamed


def _free_name(manifest: Manifest, entry: ClassEntry, new: str) -> str:
    name = normal_name(new)
    if BACKGROUND in (name, entry.name):
        raise BadInput(f"{entry.name!r} cannot become {name!r}: {BACKGROUND!r} is the class for nothing, and its name is its meaning.")
    if name == entry.name:
        raise BadInput(f"the class is called {name!r} already.")
    for other in manifest.classes:
        if other is not entry and other.name.casefold() == name.casefold():
            raise BadInput(f"the name {name!r} is taken by {other.name!r} (case does not count). Choose another name.")
    return name


def grow(
    store: Store,
    capacity: int,
    graph: bytes,
    canary_of: Callable[[bytes], bytes],
    serve: Callable[[Store, Manifest], object] = serve_unchecked,
) -> Manifest:
    """Give the head more rows in a new version, which becomes current; the one change that needs a new graph and engine.

    `graph` is `model.onnx` for `capacity` rows; `canary_of` turns the parent's `canary.safetensors` into one with as many logits;
    `serve` checks the new graph and promotes (`edgecl.serve.serve` with a predictor). The version stays staged when somebody moved
    `current` meanwhile: compare `store.current` with the returned number.

    Raises:
        UsageError: `capacity` is not larger, not a multiple of 8, or beyond what any board can hold.
    """
    with store.learning_lock():
        parent = current_version(store)
        before = store.manifest(parent).capacity
        if not before < capacity <= LARGEST_CAPACITY or capacity % 8:
            raise UsageError(
                f"--capacity {capacity} must be a multiple of 8 above the {before} that version {parent} has, up to {LARGEST_CAPACITY}."
            )
        weight, bias = store.head(parent)
        more = capacity - before
        draft = successor(store, parent, "grow", capacity=capacity, graph=graph)
        draft = dataclasses.replace(
            draft,
            head_weight=np.concatenate([weight, np.zeros((more, weight.shape[1]), np.float16)]),
            head_bias=np.concatenate([bias, np.zeros(more, np.float16)]),  # commit turns them into free rows
            canary=canary_of(draft.canary),
        )
        manifest = store.commit(draft)
        serve(store, manifest)
        return manifest
