"""Taking a task or a class back out of the model. Numpy only: a camera can do it without torch.

A task's vector leaves the recipe, its pictures leave the memory, and classes that no other task taught leave the head. It is not
certified unlearning: later adapters were learned beside what is forgotten here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgecl.calibrate import fit_unknown
from edgecl.errors import UsageError
from edgecl.gaussians import Gaussians, transported
from edgecl.head import Head, beside_fixed_rows, make_head
from edgecl.manifest import ClassEntry, KeptPicture, Manifest, Recipe
from edgecl.preprocess import geometry_of
from edgecl.runtime.selftest import CANARY_FILE
from edgecl.search import fit_calibrated
from edgecl.serve import serve
from edgecl.sight import MakePredictor, Sight, canary_of, features_of, prepared
from edgecl.store import Draft, Store
from edgecl.store.versions import GRAPH_FILE


@dataclass(frozen=True)
class Forgotten:
    """What `forget` did."""

    version: int
    state: str  # current | staged
    task: str | None
    classes_removed: tuple[str, ...]
    pictures_removed: int
    restored: int | None  # the version whose head and memory came back unchanged, if any
    already: bool = False  # it was done before; now nothing was changed


def already_forgotten(store: Store, task: str | None) -> Forgotten:
    """The current version, which knows nothing of what is to be forgotten."""
    manifest = _current(store)
    return Forgotten(manifest.number, "current", task, classes_removed=(), pictures_removed=0, restored=None, already=True)


def forget_task(store: Store, task: str, *, make_predictor: MakePredictor, run: dict[str, object] | None = None) -> Forgotten:
    """Take `task` out of the current version, as a new version that serves if nothing else changed `current` meanwhile.

    Where an ancestor had exactly the remaining recipe and classes (always so for the last task), its head and memory come back as they
    were and the weights are byte-equal to its own. Otherwise the head is refitted on the memory under the remaining recipe.

    Raises:
        UsageError: the current version does not know the task; the message lists those it knows.
        StoreBusy: another process changes the store.
    """
    with store.learning_lock():
        parent = _current(store)
        known = [step.task for step in parent.recipe.steps]
        if task not in known:
            raise UsageError(
                f"version {parent.number} was not taught {task!r}; it was taught {', '.join(known) or 'nothing yet'}. See them with: edgecl log"
            )
        recipe = replace(parent.recipe, steps=tuple(step for step in parent.recipe.steps if step.task != task))
        classes = tuple(
            replace(entry, tasks=tuple(t for t in entry.tasks if t != task)) for entry in parent.classes if entry.tasks != (task,)
        )
        ancestor = _ancestor_like(store, parent, recipe, classes)
        if ancestor is not None:
            draft = _restored(store, parent, ancestor, task)
        else:
            memory = _memory_without(store, parent, task, classes)
            draft = _refitted(store, parent, task, recipe, classes, memory, make_predictor)
        return _commit(store, parent, replace(draft, run=dict(run or {})), make_predictor, ancestor.number if ancestor else None)


def forget_class(store: Store, name: str, *, make_predictor: MakePredictor, run: dict[str, object] | None = None) -> Forgotten:
    """Take one class's row and pictures out; the adapters keep what they learned from it, and the caller should say so.

    Raises:
        UsageError: the current version has no such class.
    """
    with store.learning_lock():
        parent = _current(store)
        gone = parent.class_by_name(name)
        if gone is None:
            names = sorted(entry.name for entry in parent.classes)
            raise UsageError(f"version {parent.number} has no class {name!r}; it has {', '.join(names[:20])}. See them with: edgecl show")
        classes = tuple(entry for entry in parent.classes if entry.id != gone.id)
        memory = tuple(picture for picture in store.memory(parent.number) if picture.class_id != gone.id)
        sight, features = _look(store, parent, parent.recipe, classes, memory, make_predictor)
        head = Head(*store.head(parent.number))
        draft = _draft(parent, sight, features, task=None, recipe=parent.recipe, classes=classes, memory=memory, head=head)
        statistics = store.statistics(parent.number)
        draft = replace(draft, graph=_graph(store, parent), statistics=statistics and statistics.only(entry.id for entry in classes))
        return _commit(store, parent, replace(draft, run=dict(run or {})), make_predictor, None)


def _current(store: Store) -> Manifest:
    assert store.current is not None, "init has promoted version 0"
    return store.manifest(store.current)


def _ancestor_like(store: Store, parent: Manifest, recipe: Recipe, classes: Sequence[ClassEntry]) -> Manifest | None:
    """The nearest ancestor with this recipe and these classes whose pictures are all still there."""
    wanted = {(entry.id, entry.row, entry.name) for entry in classes}
    numbers = set(store.numbers())
    number = parent.parent
    while number is not None and number in numbers:
        manifest = store.manifest(number)
        found = {(entry.id, entry.row, entry.name) for entry in manifest.classes}
        if manifest.recipe == recipe and found == wanted and manifest.capacity == parent.capacity and _pictures_there(store, number):
            return manifest
        number = manifest.parent
    return None


def _pictures_there(store: Store, number: int) -> bool:
    return all((store.root / "memory" / f"{picture.hash}.jpg").is_file() for picture in store.memory(number))


def _restored(store: Store, parent: Manifest, ancestor: Manifest, task: str) -> Draft:
    weight, bias = store.head(ancestor.number)
    folder = store.folder(ancestor.number)
    return Draft(
        parent=parent.number,
        operation="forget",
        task=task,
        capacity=ancestor.capacity,
        next_row=parent.next_row,
        classes=ancestor.classes,
        recipe=ancestor.recipe,
        thresholds=ancestor.thresholds,
        temperature=ancestor.temperature,
        seeds=ancestor.seeds,
        checks={"restored": ancestor.number},
        head_weight=weight,
        head_bias=bias,
        memory=store.memory(ancestor.number),
        new_pictures={},
        new_adapters={},
        graph=(folder / GRAPH_FILE).read_bytes(),
        canary=(folder / CANARY_FILE).read_bytes(),
        run={},
        statistics=store.statistics(ancestor.number),
    )


def _memory_without(store: Store, parent: Manifest, task: str, classes: Sequence[ClassEntry]) -> tuple[KeptPicture, ...]:
    """The memory's index without the task's pictures; classes that it had crowded out get back what they had before it."""
    staying = {entry.id for entry in classes}
    memory = [picture for picture in store.memory(parent.number) if picture.task != task and picture.class_id in staying]
    emptied = staying - {picture.class_id for picture in memory if picture.role == "replay"}
    before = _version_before(store, parent, task)
    if before is not None and emptied:
        kept = {picture.hash for picture in memory}
        memory += [p for p in store.memory(before) if p.class_id in emptied and p.hash not in kept and p.task != task]
    return tuple(memory)


def _version_before(store: Store, parent: Manifest, task: str) -> int | None:
    numbers = set(store.numbers())
    number: int | None = parent.number
    while number is not None and number in numbers:
        manifest = store.manifest(number)
        if manifest.operation in ("learn", "apply") and manifest.task == task:
            return manifest.parent if manifest.parent in numbers else None
        number = manifest.parent
    return None


def _look(
    store: Store,
    parent: Manifest,
    recipe: Recipe,
    classes: Sequence[ClassEntry],
    memory: Sequence[KeptPicture],
    make_predictor: MakePredictor,
) -> tuple[Sight, NDArray[np.float32]]:
    """The memory, and its features under the recipe."""
    sight = prepared(memory, store.picture, {entry.id: entry.row for entry in classes}, geometry_of(store.facts.architecture))
    [features] = features_of(store, parent.number, store.merged_state(recipe), make_predictor, sight.inputs)
    return sight, features


def _refitted(
    store: Store,
    parent: Manifest,
    task: str,
    recipe: Recipe,
    classes: tuple[ClassEntry, ...],
    memory: tuple[KeptPicture, ...],
    make_predictor: MakePredictor,
) -> Draft:
    """A head for the remaining classes, from the memory as the remaining recipe sees it; classes without a picture keep their row."""
    sight, features = _look(store, parent, recipe, classes, memory, make_predictor)
    statistics = _followed(store, parent, sight, features, make_predictor)
    old = Head(*store.head(parent.number))
    pictured = set(sight.rows[sight.fit].tolist())
    fixed = np.array([entry.row for entry in classes if entry.row not in pictured], dtype=np.intp)
    head, temperature = old, parent.temperature
    if pictured:
        covariance = statistics.covariance if statistics is not None else None
        head, temperature = fit_calibrated(
            features, sight.rows, fit=sight.fit, judge=sight.judge, capacity=parent.capacity, covariance=covariance
        )
        if len(fixed):
            head = beside_fixed_rows(head, old, fixed, features[sight.fit], sight.rows[sight.fit])
    used = sorted(entry.row for entry in classes)
    thresholds = fit_unknown(head.logits(features[sight.judge]), used)
    draft = _draft(parent, sight, features, task=task, recipe=recipe, classes=classes, memory=memory, head=head)
    left = statistics and statistics.only(entry.id for entry in classes)
    return replace(draft, graph=_graph(store, parent), temperature=temperature, thresholds=thresholds, statistics=left)


def _followed(
    store: Store, parent: Manifest, sight: Sight, features: NDArray[np.float32], make_predictor: MakePredictor
) -> Gaussians | None:
    """The parent's statistics where the remaining weights are, by the pictures that both see; their covariance keeps the task's share."""
    known = store.statistics(parent.number)
    if known is None or not len(sight.kept):
        return known
    [before] = features_of(store, parent.number, store.merged_state(parent.recipe), make_predictor, sight.inputs)
    return transported(known, before[sight.fit], features[sight.fit])


def _draft(
    parent: Manifest,
    sight: Sight,
    features: NDArray[np.float32],
    *,
    task: str | None,
    recipe: Recipe,
    classes: tuple[ClassEntry, ...],
    memory: tuple[KeptPicture, ...],
    head: Head,
) -> Draft:
    """A version like the parent but for what is handed in; the canary is made of remaining pictures alone."""
    used = np.array([entry.row for entry in classes], dtype=np.intp)
    kept = make_head(head.weight[used], head.bias[used], used, capacity=parent.capacity, centred=False)
    held = sight.judge.tolist()
    right = kept.logits(features[held]).argmax(axis=1) == sight.rows[held] if held else np.array([])
    return Draft(
        parent=parent.number,
        operation="forget",
        task=task,
        capacity=parent.capacity,
        next_row=parent.next_row,
        classes=classes,
        recipe=recipe,
        thresholds=parent.thresholds,
        temperature=parent.temperature,
        seeds=parent.seeds,
        checks={"accuracy": {"holdout_after": float(right.mean()) if held else None}},
        head_weight=kept.weight,
        head_bias=kept.bias,
        memory=memory,
        new_pictures={},
        new_adapters={},
        graph=b"",
        canary=canary_of(sight, features, kept),
        run={},
    )


def _graph(store: Store, parent: Manifest) -> bytes:
    return (store.folder(parent.number) / GRAPH_FILE).read_bytes()


def _commit(store: Store, parent: Manifest, draft: Draft, make_predictor: MakePredictor, restored: int | None) -> Forgotten:
    """Write the version, put its canary through the graph, and let it serve."""
    manifest = store.commit(draft)
    state = serve(store, manifest, make_predictor)
    removed = {entry.id for entry in manifest.classes}
    gone = {picture.hash for picture in store.memory(parent.number)} - {picture.hash for picture in draft.memory}
    return Forgotten(
        version=manifest.number,
        state=state,
        task=draft.task,
        classes_removed=tuple(entry.name for entry in parent.classes if entry.id not in removed),
        pictures_removed=len(gone),
        restored=restored,
    )
