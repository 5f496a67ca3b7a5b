"""What learning a task came to, and the version that it becomes: memory, thresholds, canary, recipe, record."""

import platform
import resource
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl import __version__
from edgecl.adapter import Adapter, adapter_files, adapter_hash
from edgecl.architecture import Architecture, linear_targets, target_shape
from edgecl.calibrate import fit_unknown
from edgecl.canary import spread
from edgecl.gate import GateResult, judge
from edgecl.gaussians import Gaussians
from edgecl.head import Head
from edgecl.lesson import Lesson, new_candidates
from edgecl.manifest import KeptPicture, Manifest, Recipe, RecipeStep
from edgecl.memory import refill
from edgecl.merge import merge
from edgecl.runtime.eager import EagerPredictor
from edgecl.runtime.selftest import write_canary
from edgecl.search import Trial
from edgecl.settings import LearnSettings
from edgecl.store import Draft, Store

Array = NDArray[Any]
GraphWriter = Callable[[Architecture, int], bytes]
"""(architecture, capacity) -> the bytes of `model.onnx`"""


@dataclass(frozen=True)
class Outcome:
    """The result of studying one lesson."""

    adapter: Adapter
    trials: tuple[Trial, ...]
    coefficient: float
    before: Array  # [n, capacity] the parent's logits of the lesson's samples
    features: Array  # [n, d] of the lesson's samples under the new weights
    head: Head
    temperature: float
    gate: GateResult
    method: Mapping[str, Any] | None = None  # what to say of it, where it is not edgecl's own
    covariance: Array | None = None  # [d, d] within classes under the new weights, of all pictures that they were learned from


def draft_of(
    store: Store,
    parent: Manifest,
    lesson: Lesson,
    outcome: Outcome,
    settings: LearnSettings,
    write_graph: GraphWriter,
    run: Mapping[str, Any],
) -> Draft:
    """Everything that the store needs to write the version.

    Raises:
        BadInput: the memory's byte budget cannot hold one picture per class.
    """
    files = adapter_files(outcome.adapter, store.facts.architecture.backbone)
    step = RecipeStep(task=lesson.task, adapter=adapter_hash(files), coefficients={"*": outcome.coefficient})
    recipe = Recipe(method=parent.recipe.method, steps=(*parent.recipe.steps, step))
    memory, pictures = _memory(store, parent, lesson, outcome, settings.seed)
    judging = lesson.judge_indices()
    used = sorted(entry.row for entry in lesson.classes)
    return Draft(
        parent=parent.number,
        operation="learn",
        task=lesson.task,
        capacity=parent.capacity,
        next_row=lesson.next_row,
        classes=lesson.classes,
        recipe=recipe,
        thresholds=fit_unknown(outcome.head.logits(outcome.features[judging]), used),
        temperature=outcome.temperature,
        seeds={"learn": settings.seed},
        checks=_checks(lesson, outcome),
        head_weight=outcome.head.weight,
        head_bias=outcome.head.bias,
        memory=memory,
        new_pictures=pictures,
        new_adapters={step.adapter: files},
        graph=write_graph(store.facts.architecture, parent.capacity),
        canary=_canary(store, recipe_state=_merged(store, parent, outcome), lesson=lesson, head=outcome.head),
        statistics=_statistics(store, parent, lesson, outcome),
        run={**run_record(), **run, "settings": asdict(settings), "pictures": _counts(lesson), "rejected": _rejected(lesson)},
    )


def learning_bytes(store: Store, parent: Manifest, lesson: Lesson, *, dense: bool = False) -> int:
    """Room that learning needs on the disk at most: the version, its adapter, two checkpoints beside each other, and new pictures.

    With `dense` the adapter is one of full rank.
    """
    architecture, shape = store.facts.architecture, store.facts.adapter
    rank = architecture.width if dense else shape.rank
    sizes = [target_shape(architecture, target) for target in linear_targets(architecture, shape.first_block)]
    trained = sum(rank * (out + into) for out, into in sizes) + (architecture.width + 1) * len(lesson.classes)
    checkpoint = 3 * 4 * trained  # the values and AdamW's two, float32
    pictures = sum(sample.rgb.nbytes // 2 for sample in (*lesson.new, *lesson.validation))
    return store.version_bytes(parent.capacity) + 2 * trained + 2 * checkpoint + pictures


def _merged(store: Store, parent: Manifest, outcome: Outcome) -> Mapping[str, Array]:
    steps = [*store.adapters(parent.recipe), (outcome.adapter, {"*": outcome.coefficient})]
    return merge(store.base(), steps)


def _statistics(store: Store, parent: Manifest, lesson: Lesson, outcome: Outcome) -> Gaussians | None:
    """The spread within classes, and the means of those without a picture: for them `learn` leaves the backbone alone, so they stay true."""
    known = store.statistics(parent.number)
    means = known.only(entry.id for entry in lesson.pictureless).means if known is not None else {}
    if outcome.covariance is not None:
        return Gaussians(means, outcome.covariance.astype(np.float32))
    return replace(known, means=means) if known is not None and means else None


def _memory(
    store: Store, parent: Manifest, lesson: Lesson, outcome: Outcome, seed: int
) -> tuple[tuple[KeptPicture, ...], dict[str, bytes]]:
    """The new index, and the bytes of the pictures that it adds."""
    candidates = new_candidates(lesson, seed)
    by_source = {s.picture.sha256: outcome.features[i] for i, s in enumerate(lesson.samples) if s.picture is not None}
    features = {c.kept.hash: by_source[c.kept.source] for c in candidates}
    features |= {s.kept.hash: outcome.features[i] for i, s in enumerate(lesson.samples) if s.kept is not None}
    limits = store.settings().memory
    index = refill(
        store.memory(parent.number),
        candidates,
        features,
        per_class=limits.per_class,
        budget_bytes=int(limits.budget_mib * 2**20),
    )
    kept = {picture.hash for picture in index}
    return index, {c.kept.hash: c.data for c in candidates if c.kept.hash in kept}


def _checks(lesson: Lesson, outcome: Outcome) -> dict[str, Any]:
    right = outcome.head.logits(outcome.features).argmax(axis=1) == lesson.rows()
    validation = lesson.validation_indices()
    return {
        "accuracy": {
            "validation": float(right[validation].mean()) if len(validation) else None,
            "holdout_before": outcome.gate.before,
            "holdout_after": outcome.gate.after,
        },
        "classes": _by_class(lesson, outcome.before.argmax(axis=1) == lesson.rows(), right),
        "gate": outcome.gate.to_json(),
        "trials": [asdict(trial) for trial in outcome.trials],
        **({"method": dict(outcome.method)} if outcome.method is not None else {}),
    }


def judged(lesson: Lesson, before: Array, after: Array, max_drop: float, significance: float) -> GateResult:
    """What the gate says of the parent's and the new logits `[n, capacity]` of the lesson's samples: of those that the memory holds."""
    names = {entry.id: entry.name for entry in lesson.classes}
    classes = np.array([names[sample.class_id] for sample in lesson.samples])
    was_right, is_right = before.argmax(axis=1) == lesson.rows(), after.argmax(axis=1) == lesson.rows()
    held, kept = lesson.holdout_indices(), lesson.replay_indices()
    return judge(
        holdout_before=was_right[held],
        holdout_after=is_right[held],
        holdout_classes=classes[held],
        replay_before=was_right[kept],
        replay_after=is_right[kept],
        replay_classes=classes[kept],
        max_drop=max_drop,
        significance=significance,
    )


def _by_class(lesson: Lesson, was_right: Array, is_right: Array) -> dict[str, dict[str, int | None]]:
    """Per class: the pictures that nothing was trained on, and how many of them were known before (None: a new class) and are now."""
    judged = lesson.judge_indices()
    samples = [lesson.samples[int(i)] for i in judged]
    found: dict[str, dict[str, int | None]] = {}
    for entry in sorted(lesson.classes, key=lambda entry: entry.name):
        own = judged[np.array([sample.class_id == entry.id for sample in samples], dtype=bool)]
        before = None if entry.name in lesson.added else int(was_right[own].sum())
        found[entry.name] = {"pictures": len(own), "before": before, "after": int(is_right[own].sum())}
    return found


def _canary(store: Store, *, recipe_state: Mapping[str, Array], lesson: Lesson, head: Head) -> bytes:
    """A few pictures, each from another class as far as that goes, with the answers of the merged model in PyTorch."""
    preferred = [lesson.samples[int(i)] for i in (*lesson.judge_indices(), *lesson.fit_indices())]
    pictures = np.stack([preferred[i].input for i in spread([sample.row for sample in preferred])])
    predictor = EagerPredictor(store.facts.architecture)
    predictor.use(recipe_state, head.weight, head.bias)
    logits, features = predictor.infer(pictures)
    return write_canary(pictures, logits, features)


def _counts(lesson: Lesson) -> dict[str, int]:
    return {group: len(getattr(lesson, group)) for group in ("new", "validation", "replay", "holdout")}


def _rejected(lesson: Lesson) -> list[dict[str, str]]:
    return [{"path": rejected.path, "reason": rejected.reason} for rejected in lesson.rejected]


def run_record() -> dict[str, Any]:
    """Where and when: what `run.json` holds outside the deterministic hash."""
    return {
        "created": datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "edgecl": __version__,
    }


def peak_memory_mib() -> int:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
