"""What one task brings together: its new pictures, and what the memory still holds of the past, each with its row of the head."""

import os
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import BadInput, BadPictures, few
from edgecl.manifest import ClassEntry, KeptPicture, Manifest, allocate_rows
from edgecl.memory import HOLDOUT_PER_CLASS, Candidate, candidate, is_held_out
from edgecl.pictures import Picture, Rejected, TaskPictures, find
from edgecl.preprocess import Geometry, decode, to_input
from edgecl.split import split

CLASS_NAMESPACE = uuid.UUID("5a3b1c52-2f0e-5d0b-9a7e-ed9ec1c1a550")


@dataclass(frozen=True)
class Sample:
    """One picture and the row that should answer for it."""

    row: int
    class_id: str
    rgb: NDArray[np.uint8]  # [h, w, 3], for training and for the memory
    input: NDArray[np.uint8]  # [s, s, 3], as the model sees it
    kept: KeptPicture | None = None  # where it is in the memory
    picture: Picture | None = None  # where it comes from the task


@dataclass(frozen=True)
class Lesson:
    """Everything that one task's learning looks at."""

    task: str
    classes: tuple[ClassEntry, ...]  # of the new version
    next_row: int
    added: tuple[str, ...]  # class names
    extended: tuple[str, ...]
    new: tuple[Sample, ...]  # trained on
    validation: tuple[Sample, ...]  # of the task, never trained on
    replay: tuple[Sample, ...]  # of the memory, trained on
    holdout: tuple[Sample, ...]  # of the memory, never trained on
    rejected: tuple[Rejected, ...]
    warnings: tuple[str, ...]

    def warned(self) -> "Lesson":
        """With a sentence where nothing can be unknown, and one about classes that cannot be protected, for there is no picture of them."""
        more = []
        if len(self.classes) == 1:
            more.append(
                f"{self.classes[0].name} is the only class, so every picture is called that, whatever it shows. Teach a second one, or pictures "
                "of nothing in particular in a folder _background/."
            )
        if self.pictureless:
            more.append(
                f"{len(self.pictureless)} classes ({few([entry.name for entry in self.pictureless])}) have no picture in the memory, so the "
                "backbone stays as it is and only the head learns. Bring a task with a few pictures of each of them to change that."
            )
        return replace(self, warnings=(*self.warnings, *more))

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All pictures in the one order that the indices below speak of."""
        return (*self.new, *self.replay, *self.validation, *self.holdout)

    @property
    def pictureless(self) -> tuple[ClassEntry, ...]:
        """Classes that neither the task nor the memory has a picture of: they came with a fine-tuned classifier."""
        pictured = {sample.row for sample in (*self.new, *self.replay)}
        return tuple(entry for entry in self.classes if entry.row not in pictured)

    def untouched(self) -> int:
        """How many classes the task brings no picture of to train on."""
        return len(self.classes) - len({sample.row for sample in self.new})

    def rows(self) -> NDArray[np.intp]:
        """`[n]`, the right row of each sample."""
        return np.array([sample.row for sample in self.samples], dtype=np.intp)

    def fit_indices(self) -> NDArray[np.intp]:
        """What may be trained on: new and replay."""
        return np.arange(len(self.new) + len(self.replay))

    def judge_indices(self) -> NDArray[np.intp]:
        """What nothing was ever trained on: validation and holdout."""
        return np.arange(len(self.new) + len(self.replay), len(self.samples))

    def new_indices(self) -> NDArray[np.intp]:
        """What the task brings to train on."""
        return np.arange(len(self.new))

    def replay_indices(self) -> NDArray[np.intp]:
        """Remembered pictures that are trained on."""
        return np.arange(len(self.new), len(self.new) + len(self.replay))

    def validation_indices(self) -> NDArray[np.intp]:
        """The task's own pictures that are not trained on."""
        return self.judge_indices()[: len(self.validation)]

    def holdout_indices(self) -> NDArray[np.intp]:
        """Remembered pictures that are never trained on."""
        return self.judge_indices()[len(self.validation) :]


@dataclass(frozen=True)
class TaskRead:
    """A task's folders and what was found in them; which version learns it does not matter yet."""

    folder: Path
    found: TaskPictures
    val: Path | None
    checked: TaskPictures | None


def read_task(folder: Path, val: Path | None, geometry: Geometry, progress: Callable[[str, int, int], None]) -> TaskRead:
    """Look for pictures and decode each once.

    Raises:
        BadPictures, BadInput: the folder has nothing to learn from.
    """
    found = find(folder, geometry, progress=lambda done, total: progress("reading pictures", done, total))
    return TaskRead(folder, found, val, find(val, geometry) if val is not None else None)


def prepare(
    *,
    parent: Manifest,
    memory: Sequence[KeptPicture],
    read_picture: Callable[[str], bytes],
    geometry: Geometry,
    task: str,
    read: TaskRead,
    seed: int,
) -> Lesson:
    """Give rows to new classes, read the memory, and keep everything apart that must not be trained on.

    Raises:
        BadPictures: nothing usable in the task.
        BadInput: the new classes do not fit, or a name differs from a known one only by case.
    """
    found = without_strangers(read.found, memory, parent.classes, read.folder)
    checked = without_strangers(read.checked, memory, parent.classes, read.val) if read.val and read.checked else None
    train, validation = _divide(found.pictures, checked.pictures if checked else (), seed)
    classes, next_row, added, extended = _with_classes(parent, task, found.pictures)
    by_name = {entry.name: entry for entry in classes}
    train, warnings = _without_holdout(train, memory, by_name)
    if not train:
        raise BadPictures(
            f"every usable picture of {read.folder} is one of the pictures that are held out for checking. Bring other pictures."
        )
    remembered = _remembered(memory, {entry.id: entry.row for entry in classes}, read_picture, geometry)
    rejected = found.rejected + (tuple(replace(r, path=f"{read.val}/{r.path}") for r in checked.rejected) if checked else ())
    untaught = sorted(set(added) - {p.class_name for p in train})
    if untaught:
        raise BadPictures(f"no picture of {untaught[:5]} is left to learn from: all are held out for checking. Bring others.")
    return Lesson(
        task=task,
        classes=classes,
        next_row=next_row,
        added=added,
        extended=extended,
        new=tuple(_sample(p, by_name) for p in train),
        validation=tuple(_sample(p, by_name) for p in validation),
        replay=tuple(s for s in remembered if s.kept is not None and s.kept.role == "replay"),
        holdout=tuple(s for s in remembered if s.kept is not None and s.kept.role == "holdout"),
        rejected=rejected,
        warnings=found.warnings + (checked.warnings if checked else ()) + warnings,
    ).warned()


def without_strangers(found: TaskPictures, memory: Sequence[KeptPicture], classes: Sequence[ClassEntry], folder: Path) -> TaskPictures:
    """Without pictures that the memory keeps for a class of another name: as within a task, a content that stands for two classes teaches
    neither. A warning says which two names may mean one thing.

    Raises:
        BadPictures: nothing else is in the folder.
    """
    names = {entry.id: entry.name for entry in classes}
    owners = {kept.source: names[kept.class_id] for kept in memory}
    strange = [p for p in found.pictures if owners.get(p.sha256, p.class_name) != p.class_name]
    if not strange:
        return found
    pairs = Counter((picture.class_name, owners[picture.sha256]) for picture in strange)
    warnings = tuple(
        f"{count} pictures of {name!r} are kept as pictures of {owner!r} and were left out. Two names for one thing cannot be told apart: "
        f"if they are the same, call the folder {owner!r}; if {owner!r} was a mistake, run: edgecl forget --class {owner!r}"
        for (name, owner), count in pairs.items()
    )
    contents = {picture.sha256 for picture in strange}
    pictures = tuple(picture for picture in found.pictures if picture.sha256 not in contents)
    if not pictures:
        raise BadPictures(f"no picture in {folder} can be learned from: {'; '.join(warnings)}")
    left_out = (Rejected(os.path.relpath(p.path, folder), f"kept as a picture of {owners[p.sha256]!r}") for p in strange)
    rejected = tuple(sorted((*found.rejected, *left_out), key=lambda item: item.path))
    return replace(found, pictures=pictures, rejected=rejected, warnings=(*found.warnings, *warnings))


def _divide(pictures: Sequence[Picture], given: Sequence[Picture], seed: int) -> tuple[list[Picture], list[Picture]]:
    """Training and validation pictures; a class with pictures in the validation folder is not split."""
    names = {p.class_name for p in pictures}
    strangers = sorted({p.class_name for p in given} - names)
    if strangers:
        raise BadInput(f"the validation folder has classes that the task does not have: {strangers[:5]}. Remove them or teach them.")
    used = {p.sha256 for p in given}
    covered = {p.class_name for p in given}
    divided, validation = split([p for p in pictures if p.class_name not in covered], seed=seed)
    train = [*divided, *(p for p in pictures if p.class_name in covered and p.sha256 not in used)]
    untaught = sorted(names - {p.class_name for p in train})
    if untaught:
        raise BadPictures(f"every picture of {untaught[:5]} is in the validation folder, too; none is left to learn from. Bring others.")
    return sorted(train, key=_place), sorted([*validation, *given], key=_place)


def _place(picture: Picture) -> tuple[str, str]:
    return picture.class_name, str(picture.path)


def _with_classes(
    parent: Manifest, task: str, pictures: Sequence[Picture]
) -> tuple[tuple[ClassEntry, ...], int, tuple[str, ...], tuple[str, ...]]:
    """The classes after the task; a new class's id depends on the parent and its own pictures, so equal learns give equal ids."""
    names = sorted({p.class_name for p in pictures})
    known = {entry.name for entry in parent.classes}
    folded = {entry.name.casefold(): entry.name for entry in parent.classes}
    for name in names:
        if name not in known and name.casefold() in folded:
            raise BadInput(f"the class {name!r} differs from the known {folded[name.casefold()]!r} only by case. Rename the folder.")
    added = tuple(name for name in names if name not in known)
    rows, next_row = allocate_rows(len(added), capacity=parent.capacity, next_row=parent.next_row, used=parent.rows())
    kept = [replace(e, tasks=(*e.tasks, task)) if e.name in names else e for e in parent.classes]
    fresh = []
    for name, row in zip(added, rows, strict=True):
        content = ",".join(sorted(p.sha256 for p in pictures if p.class_name == name))
        identity = uuid.uuid5(CLASS_NAMESPACE, f"{parent.deterministic}/{task}/{name}/{content}")
        fresh.append(ClassEntry(id=str(identity), row=row, name=name, tasks=(task,)))
    return (*kept, *fresh), next_row, added, tuple(name for name in names if name in known)


def _without_holdout(
    train: list[Picture], memory: Sequence[KeptPicture], by_name: dict[str, ClassEntry]
) -> tuple[list[Picture], tuple[str, ...]]:
    kept = [p for p in train if not is_held_out(p.sha256, p.phash, memory, by_name[p.class_name].id)]
    left_out = len(train) - len(kept)
    warnings = (f"{left_out} pictures are held out for checking since an earlier task and were not trained on",) if left_out else ()
    return kept, warnings


def _sample(picture: Picture, by_name: dict[str, ClassEntry]) -> Sample:
    entry = by_name[picture.class_name]
    return Sample(entry.row, entry.id, picture.rgb, picture.input, picture=picture)


def _remembered(
    memory: Sequence[KeptPicture], rows: dict[str, int], read_picture: Callable[[str], bytes], geometry: Geometry
) -> list[Sample]:
    samples = []
    for kept in memory:
        rgb = decode(read_picture(kept.hash))
        samples.append(Sample(rows[kept.class_id], kept.class_id, rgb, to_input(rgb, geometry), kept=kept))
    return samples


def new_candidates(lesson: Lesson, seed: int) -> list[Candidate]:
    """Every picture of the task that may enter the memory, re-encoded: training pictures as replay, random validation ones as holdout."""
    known = {sample.class_id: 0 for sample in lesson.new}
    for sample in lesson.holdout:
        known[sample.class_id] = known.get(sample.class_id, 0) + 1
    random = np.random.default_rng([seed, 2])
    held: list[Candidate] = []
    for index in random.permutation(len(lesson.validation)):
        sample = lesson.validation[int(index)]
        if known.get(sample.class_id, 0) < HOLDOUT_PER_CLASS:
            known[sample.class_id] = known.get(sample.class_id, 0) + 1
            held.append(_candidate(sample, "holdout", lesson.task))
    return [*held, *(_candidate(sample, "replay", lesson.task) for sample in lesson.new)]


def _candidate(sample: Sample, role: Any, task: str) -> Candidate:
    assert sample.picture is not None  # only samples of the task get here
    picture = sample.picture
    return candidate(sample.rgb, class_id=sample.class_id, role=role, task=task, source=picture.sha256, phash=picture.phash)
