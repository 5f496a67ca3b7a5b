"""Is this the learn that was interrupted? What its result depends on as one hash, and from where it goes on.

A learn that is killed at any moment and started again with the same command ends in the same version, with the same number: the
checkpoint names the version it starts from and the number that it was to get, and a version that was written, and may serve already, is
known by the hash in its run.json. So who asks once too often, because the answer was lost, gets the same version and no second one.
"""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from edgecl import __version__
from edgecl.errors import StoreDamaged
from edgecl.guard import Guard
from edgecl.lesson import Lesson
from edgecl.manifest import Manifest, canonical_json
from edgecl.settings import LearnSettings
from edgecl.store import Store
from edgecl.store.checkpoints import Checkpoint, read_checkpoint, remove_checkpoint
from edgecl.store.names import task_id


@dataclass(frozen=True)
class Start:
    """From where a learn starts."""

    parent: int
    number: int  # that its version gets
    checkpoint: Checkpoint | None = None  # of an interrupted learn from there


def start(store: Store, guard: Guard) -> Start:
    """From the interrupted learn's place where that is still possible, else from the current version; the caller holds the learning lock.

    A checkpoint that cannot be read is removed, and the guard says so.
    """
    try:
        checkpoint = read_checkpoint(store.root)
    except StoreDamaged as error:
        guard.record(f"an interrupted learn cannot be continued, so this one begins from the start ({error})")
        remove_checkpoint(store.root)
        checkpoint = None
    if checkpoint is None:
        return fresh(store)
    if not _is_possible(store, checkpoint):
        guard.record(
            f"the learn that was interrupted started from version {checkpoint.parent}; this one begins from the start, from {store.current}"
        )
        return fresh(store)
    return Start(checkpoint.parent, checkpoint.number, checkpoint)


def fresh(store: Store) -> Start:
    """From the current version."""
    assert store.current is not None, "init has promoted version 0"
    return Start(store.current, store.next_number())


def last_one(store: Store, name: str) -> Start | None:
    """Where the newest version started from, if a task called `name` was learned into it and nothing happened since but its promotion.

    Who went back from it, or whose app could not serve it, and learns the task again wants another one.
    """
    number = store.next_number() - 1
    if number not in store.numbers():
        return None
    manifest = store.manifest(number)
    if manifest.operation != "learn" or manifest.task != task_id(number, name) or manifest.parent not in store.numbers():
        return None
    waits = store.current == manifest.parent and number not in store.state()["promoted"]
    return Start(manifest.parent, number) if waits or store.current == number else None


def _is_possible(store: Store, checkpoint: Checkpoint) -> bool:
    """Whether the version that it was to write is still to come, or was the last thing that happened."""
    numbers = store.numbers()
    if checkpoint.parent not in numbers or store.current not in (checkpoint.parent, checkpoint.number):
        return False
    return checkpoint.number in numbers or checkpoint.number == store.next_number()


def lesson_hash(store: Store, parent: Manifest, lesson: Lesson, settings: LearnSettings, max_drop: float, torch: Mapping[str, Any]) -> str:
    """Of everything that the version's content depends on: another picture, setting, parent or library gives another hash.

    `torch` says what of torch the numbers depend on: its version, threads, device.
    """
    pictures = {
        group: [(sample.class_id, sample.picture.sha256 if sample.picture else "") for sample in getattr(lesson, group)]
        for group in ("new", "validation")
    }
    stored = store.settings()
    content = {
        "parent": parent.deterministic,
        "task": lesson.task,
        "pictures": pictures,
        "base": store.facts.base.sha256,
        "adapter": asdict(store.facts.adapter),
        "settings": asdict(settings),
        "memory": asdict(stored.memory),
        "gate": asdict(replace(stored.gate, max_drop=max_drop)),
        "made by": {"edgecl": __version__, "numpy": np.__version__, "machine": platform.machine(), **torch},
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()


def finished(store: Store, number: int, lesson: str) -> Manifest | None:
    """Version `number` if this very lesson was learned into it, None where it is still to come or is another one's."""
    if number not in store.numbers() or store.run_info(number).get("lesson") != lesson:
        return None
    return store.manifest(number)


def is_same(store: Store, checkpoint: Checkpoint, lesson: str) -> bool:
    """Whether the checkpoint is of this lesson, and its number was not given to anything else."""
    taken = checkpoint.number in store.numbers() and finished(store, checkpoint.number, checkpoint.lesson) is None
    return checkpoint.lesson == lesson and not taken
