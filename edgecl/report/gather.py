"""Everything that the page about one version says, brought together from the store and from the answers of its graphs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgecl.errors import StoreDamaged
from edgecl.manifest import KeptPicture, Manifest
from edgecl.report.asking import Answers, MakePredictor, ask
from edgecl.report.findings import (
    Change,
    Count,
    Loss,
    Pair,
    accuracy_matrix,
    changes,
    confused,
    counted,
    forgotten,
    mean_forgetting,
    most_typical,
)
from edgecl.store import Store
from edgecl.store.history import states

ROWS = 20  # versions in the matrix, the last ones: bounds the time
PAIRS = 8  # confusions
TEACHING = ("learn", "apply")  # operations after which a version knows more
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Task:
    """A column of the matrix: one task whose pictures the memory holds."""

    id: str
    classes: tuple[str, ...]  # names of classes that it taught, as they are called now
    coefficient: float | None  # with which it is merged; None when it differs by layer
    run: Mapping[str, Any]  # run.json of the version that learned it, {} when that is gone
    loss: Loss | None


@dataclass(frozen=True)
class Report:
    """What is known about one version."""

    manifest: Manifest
    states: tuple[str, ...]
    run: Mapping[str, Any]
    store: Mapping[str, Any]  # backbone, image_size, base, adapter, bytes
    names: Mapping[str, str]  # class id -> name
    added: tuple[str, ...]  # names
    memory: tuple[KeptPicture, ...]
    versions: tuple[int, ...]  # rows of the matrix
    left_out: int  # older versions that the matrix has no row for
    tasks: tuple[Task, ...]  # columns
    matrix: tuple[tuple[Count | None, ...], ...]
    totals: tuple[Count, ...]  # per version, over all holdout pictures that it could know
    mean_forgetting: float | None
    replay: Count  # pictures that were trained on
    pairs: tuple[Pair, ...]
    typical: Mapping[str, str]  # class id -> hash, of the classes in `pairs`
    changes: tuple[Change, ...]  # against the parent

    def to_json(self) -> dict[str, Any]:
        """`edgecl.report/1`, what `report --json` prints beside the place of the page."""
        return {
            "format": "edgecl.report/1",
            "version": self.manifest.number,
            "versions": list(self.versions),
            "tasks": [{"task": t.id, "forgotten": t.loss.pictures if t.loss else None} for t in self.tasks],
            "matrix": [[None if c is None else {"right": c.right, "n": c.n} for c in row] for row in self.matrix],
            "holdout": {"right": self.totals[-1].right, "n": self.totals[-1].n},
            "replay": {"right": self.replay.right, "n": self.replay.n},
            "forgetting": self.mean_forgetting,
            "confusions": [
                {"true": self.names[p.true], "answered": self.names[p.answered], "holdout": p.holdout, "replay": p.replay, "doubt": p.doubt}
                for p in self.pairs
            ],
            "changes": [
                {"class": self.names[c.class_id], "before": c.before.right, "after": c.after.right, "n": c.after.n} for c in self.changes
            ],
        }


def gather(store: Store, number: int, make_predictor: MakePredictor, *, progress: Progress = lambda stage, done, total: None) -> Report:
    """Ask version `number` and the versions that it came from about the pictures that it keeps.

    Holdout pictures go through every version in the matrix, replay pictures through this one and its parent alone.

    Raises:
        UsageError: there is no such version.
        StoreDamaged: a version or a picture cannot be read.
    """
    manifest, memory = store.manifest(number), store.memory(number)
    line = _line(store, manifest)
    shown = [m for m in line if m.operation in TEACHING or m is manifest][-ROWS:]
    parent = line[-2] if len(line) > 1 else None
    holdout = [kept for kept in memory if kept.role == "holdout"]
    plan = [(m, holdout) for m in shown if m is not manifest and m is not parent]
    plan += [(m, list(memory)) for m in (parent, manifest) if m is not None]
    answers = _ask_all(store, plan, make_predictor, progress)
    rights = {n: a.right() for n, a in answers.items()}
    tasks = list(dict.fromkeys(kept.task for kept in memory))
    taught = [_taught(m) for m in shown]
    matrix = accuracy_matrix([rights[m.number] for m in shown], taught, tasks, holdout)
    pairs = confused(answers[number], most=PAIRS)
    old = [kept for kept in memory if kept.task != manifest.task]
    return Report(
        manifest=manifest,
        states=states(store, number),
        run=store.run_info(number),
        store=_about(store, manifest, memory),
        names={entry.id: entry.name for entry in manifest.classes},
        added=_added(manifest, parent),
        memory=memory,
        versions=tuple(m.number for m in shown),
        left_out=sum(m.operation in TEACHING for m in line) - sum(m.operation in TEACHING for m in shown),
        tasks=tuple(_task(store, manifest, line, task, forgotten(matrix, column)) for column, task in enumerate(tasks)),
        matrix=tuple(tuple(row) for row in matrix),
        totals=tuple(
            counted(rights[m.number], [kept for kept in holdout if kept.task in known]) for m, known in zip(shown, taught, strict=True)
        ),
        mean_forgetting=mean_forgetting(matrix),
        replay=counted(rights[number], [kept for kept in memory if kept.role == "replay"]),
        pairs=tuple(pairs),
        typical={pair.answered: typical for pair in pairs if (typical := most_typical(answers[number], pair.answered))},
        changes=tuple(changes(rights[parent.number], rights[number], old)) if parent is not None else (),
    )


def _ask_all(
    store: Store, plan: Sequence[tuple[Manifest, Sequence[KeptPicture]]], make_predictor: MakePredictor, progress: Progress
) -> dict[int, Answers]:
    """Each version of `plan` about its pictures."""
    done, total = 0, sum(len(pictures) for manifest, pictures in plan if manifest.classes)

    def seen(pictures: int) -> None:
        nonlocal done
        done += pictures
        progress("asking", done, total)

    return {manifest.number: ask(store, manifest, pictures, make_predictor, seen=seen) for manifest, pictures in plan}


def _line(store: Store, manifest: Manifest) -> list[Manifest]:
    """The version and those that it came from, the oldest first, as far back as they are still there."""
    line = [manifest]
    there = set(store.numbers())
    while line[0].parent is not None and line[0].parent in there:
        line.insert(0, store.manifest(line[0].parent))
    return line


def _taught(manifest: Manifest) -> set[str]:
    return {step.task for step in manifest.recipe.steps} | {task for entry in manifest.classes for task in entry.tasks}


def _added(manifest: Manifest, parent: Manifest | None) -> tuple[str, ...]:
    before = {entry.id for entry in parent.classes} if parent else set()
    return tuple(entry.name for entry in manifest.classes if entry.id not in before)


def _task(store: Store, manifest: Manifest, line: list[Manifest], task: str, loss: Loss | None) -> Task:
    learned = next((m.number for m in line if m.task == task and m.operation in TEACHING), None)
    merged = next((step.coefficients for step in manifest.recipe.steps if step.task == task), {})
    return Task(
        id=task,
        classes=tuple(entry.name for entry in manifest.classes if task in entry.tasks),
        coefficient=merged["*"] if set(merged) == {"*"} else None,
        run={} if learned is None else store.run_info(learned),
        loss=loss,
    )


def _about(store: Store, manifest: Manifest, memory: tuple[KeptPicture, ...]) -> dict[str, Any]:
    """What the page says of the store, sizes in bytes."""
    facts = store.facts
    adapters = sum(_size(store, step.adapter) for step in manifest.recipe.steps)
    return {
        "backbone": facts.architecture.backbone,
        "image_size": facts.architecture.image_size,
        "base": facts.base.sha256,
        "source": facts.source,
        "adapter": facts.adapter,
        "version_bytes": sum(entry.bytes for entry in manifest.files.values()),
        "memory_bytes": sum(kept.bytes for kept in memory),
        "adapter_bytes": adapters,
    }


def _size(store: Store, adapter: str) -> int:
    folder = store.root / "adapters" / adapter
    if not folder.is_dir():
        raise StoreDamaged(f"the adapter {adapter[:12]} is missing. Run: edgecl verify")
    return sum(path.stat().st_size for path in folder.iterdir())
