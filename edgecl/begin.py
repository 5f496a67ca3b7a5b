"""The beginning of a learn: the lesson, the version it starts from, and what an interrupted learn of the same lesson has left."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgecl.economy import Economy
from edgecl.errors import BadInput, StoreDamaged
from edgecl.guard import Guard
from edgecl.lesson import Lesson, prepare, read_task
from edgecl.manifest import Manifest
from edgecl.outcome import learning_bytes
from edgecl.preprocess import geometry_of
from edgecl.resume import Start, finished, fresh, is_same, last_one, lesson_hash, start
from edgecl.settings import LearnSettings
from edgecl.store import Store
from edgecl.store.checkpoints import Checkpoint
from edgecl.store.names import task_id
from edgecl.store.space import require_space
from edgecl.training import Position

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Begun:
    """What is learned, from where, and what an interrupted learn of the same has left."""

    parent: Manifest
    number: int
    lesson: Lesson
    settings: LearnSettings
    max_drop: float
    key: str  # `resume.lesson_hash`
    checkpoint: Checkpoint | None

    def seconds(self, guard: Guard) -> float:
        """Worked so far, interrupted learns included."""
        return (self.checkpoint.seconds if self.checkpoint else 0.0) + guard.worked_s()

    def run(self, guard: Guard) -> dict[str, Any]:
        """For run.json."""
        return {"seconds": round(self.seconds(guard), 1), "lesson": self.key, "incidents": list(guard.incidents)}

    def position(self) -> Position | None:
        """Where training goes on."""
        found = self.checkpoint
        return Position(found.steps, Economy.from_json(found.economy), found.tensors) if found else None

    def at(self, position: Position, guard: Guard) -> Checkpoint:
        """What the next learn needs to go on from there."""
        return Checkpoint(
            lesson=self.key,
            parent=self.parent.number,
            number=self.number,
            steps=position.steps,
            economy=position.economy.to_json(),
            incidents=tuple(guard.incidents),
            seconds=self.seconds(guard),
            tensors=position.tensors,
        )


def begin(
    store: Store,
    folder: Path,
    *,
    val: Path | None,
    name: str,
    settings: LearnSettings,
    max_drop: float,
    made_by: Mapping[str, Any],
    guard: Guard,
    progress: Progress,
    dense: bool = False,
) -> Begun:
    """Read the task, find out whether a learn of it was interrupted, and whether the disk has room for its version.

    `made_by` says what of the training library the numbers depend on, `dense` that the adapter will have full rank. The caller holds the learning lock.

    Raises:
        BadPictures, BadInput: the folder cannot be learned from.
        NoSpace: the disk is too full.
    """
    geometry = geometry_of(store.facts.architecture)
    read = read_task(folder, val, geometry, progress)

    def begun(start: Start) -> Begun:
        parent = store.manifest(start.parent)
        lesson = prepare(
            parent=parent,
            memory=store.memory(parent.number),
            read_picture=store.picture,
            geometry=geometry,
            task=task_id(start.number, name),
            read=read,
            seed=settings.seed,
        )
        used = _careful(settings, lesson)
        key = lesson_hash(store, parent, lesson, used, max_drop, made_by)
        return Begun(parent, start.number, lesson, used, max_drop, key, start.checkpoint)

    place = start(store, guard)
    repeated = _repeated(store, name, begun, guard) if place.checkpoint is None else None
    if repeated is not None:
        return repeated
    found = begun(place)
    checkpoint = found.checkpoint
    if checkpoint is not None and not is_same(store, checkpoint, found.key):
        guard.record(
            f"another learn was interrupted after {checkpoint.steps} steps; this one begins from the start, and that one is given up"
        )
        anew = fresh(store)
        found = replace(found, checkpoint=None) if anew == Start(found.parent.number, found.number) else begun(anew)
    elif checkpoint is not None:
        guard.incidents[:0] = checkpoint.incidents
        guard.record(f"goes on after {checkpoint.steps} steps of a learn that was interrupted")
    require_space(store.root, learning_bytes(store, found.parent, found.lesson, dense=dense), "learning this task")
    return found


def _repeated(store: Store, name: str, begun: Callable[[Start], Begun], guard: Guard) -> Begun | None:
    """This learn, if its version is there already and was the last thing that happened: a kill may have come before the answer."""
    try:
        last = last_one(store, name)
        found = begun(last) if last is not None else None
        if found is None or finished(store, found.number, found.key) is None:
            return None
    except (BadInput, StoreDamaged):  # of a version that this learn may have nothing to do with
        return None
    guard.record(
        f"version {found.number} was learned from the same pictures with the same settings, and nothing happened since, so there is nothing "
        "to learn. To learn them once more all the same, give another --seed"
    )
    return found


def _careful(settings: LearnSettings, lesson: Lesson) -> LearnSettings:
    """Leave the backbone alone where it holds classes that nothing could check: only the head learns then."""
    return replace(settings, epochs=0, coefficients=(0.0,)) if lesson.pictureless else settings
