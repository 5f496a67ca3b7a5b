"""One task's learning, from a folder of pictures to a version that serves.

    prepare the lesson -> train an adapter from the current merged weights -> search how much of it to merge -> refit the head on the
    merged features -> refill the memory -> let the gate judge -> write the version -> put its canary through the graph -> promote

The seed paper is Task Arithmetic with LoRA for Continual Learning (arXiv 2311.02428). Other than there, an adapter is learned from the
current merged weights, its dense update is added, and every choice is made on pictures that were never trained on.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgecl.backbone import build
from edgecl.device import Board, detect
from edgecl.gate import GateResult, judge
from edgecl.hardware import batch_that_fits, choose_device
from edgecl.head import Head, beside_fixed_rows, fit_head
from edgecl.lesson import Lesson, prepare
from edgecl.manifest import Manifest
from edgecl.merge import merge
from edgecl.outcome import GraphWriter, Outcome, draft_of, peak_memory_mib
from edgecl.preprocess import geometry_of
from edgecl.runtime.base import Predictor
from edgecl.runtime.eager import features_of, lower_tokens
from edgecl.search import choose, fit_calibrated, search
from edgecl.serve import serve
from edgecl.settings import LearnSettings
from edgecl.store import Facts, Store
from edgecl.store.names import task_id
from edgecl.training import Example, mixed_precision, sees_gpu, train_adapter

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]
START_LEAD = 2.0  # logits


@dataclass(frozen=True)
class LearnResult:
    """What `learn --json` prints."""

    version: int
    state: str  # current | staged
    task: str
    classes_added: tuple[str, ...]
    classes_extended: tuple[str, ...]
    coefficient: float
    accuracy: Mapping[str, float | None]  # validation, holdout_before, holdout_after
    rejected: tuple[tuple[str, str], ...]  # path, reason
    warnings: tuple[str, ...]
    gate: GateResult
    seconds: float
    peak_memory_mib: int

    def to_json(self) -> dict[str, Any]:
        """`edgecl.learn/1`"""
        fields = {"format": "edgecl.learn/1", **asdict(self), "gate": self.gate.to_json(), "seconds": round(self.seconds, 1)}
        return {**fields, "rejected": [{"path": path, "reason": reason} for path, reason in self.rejected]}


def learn(
    store: Store,
    folder: Path,
    *,
    write_graph: GraphWriter,
    make_predictor: Callable[[], Predictor],
    settings: LearnSettings,
    val: Path | None = None,
    name: str | None = None,
    stage: bool = False,
    max_drop: float | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> LearnResult:
    """Learn one task folder into a new version; promote it unless the gate says no or `stage` asks to wait.

    Raises:
        BadPictures, BadInput: the folder cannot be learned from.
        StoreBusy: another process changes the store.
        ParityFailed: the exported graph does not answer as the trained model does; the version stays staged.
    """
    started = time.monotonic()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    board = detect()
    settings = replace(settings, device=_device(settings.device, board))
    with store.learning_lock():
        assert store.current is not None, "init has promoted version 0"
        parent = store.manifest(store.current)
        lesson = prepare(
            parent=parent,
            memory=store.memory(parent.number),
            read_picture=store.picture,
            geometry=geometry_of(store.facts.architecture),
            task=task_id(store.next_number(), name or folder.resolve().name),
            folder=folder,
            val=val,
            seed=settings.seed,
            progress=progress,
        )
        settings, changed = _fitting(_careful(settings, lesson), store.facts, board)
        outcome = _study(store, parent, lesson, settings, max_drop, progress)
        run = {"seconds": round(time.monotonic() - started, 1), "peak_memory_mib": peak_memory_mib(), **_used(settings, board), **changed}
        manifest = store.commit(draft_of(store, parent, lesson, outcome, settings, write_graph, run))
        state = serve(store, manifest, make_predictor, stage=stage or not outcome.gate.passed)
    return LearnResult(
        version=manifest.number,
        state=state,
        task=lesson.task,
        classes_added=lesson.added,
        classes_extended=lesson.extended,
        coefficient=outcome.coefficient,
        accuracy=manifest.checks["accuracy"],
        rejected=tuple((r.path, r.reason) for r in lesson.rejected),
        warnings=(*lesson.warnings, *changed.values()),
        gate=outcome.gate,
        seconds=time.monotonic() - started,
        peak_memory_mib=peak_memory_mib(),
    )


def _study(store: Store, parent: Manifest, lesson: Lesson, settings: LearnSettings, max_drop: float | None, progress: Progress) -> Outcome:
    """Train, search, refit and judge; everything that takes minutes."""
    architecture, shape, capacity = store.facts.architecture, store.facts.adapter, parent.capacity
    state = store.merged_state(parent.recipe)
    rows, fit, judging = lesson.rows(), lesson.fit_indices(), lesson.judge_indices()
    vit = build(architecture, state, settings.device)
    inputs = [sample.input for sample in lesson.samples]
    tokens = lower_tokens(vit, inputs, shape.first_block, progress=lambda done, total: progress("looking at pictures", done, total))
    before = features_of(vit, tokens, shape.first_block)
    # Training starts from class means that are hardly sure of anything: a head that is right already would leave the adapter nothing to learn.
    start = fit_head(before[fit], rows[fit], capacity=capacity, shrinkage=1.0, largest_lead=START_LEAD)
    used = np.unique(rows[fit])
    adapter = train_adapter(
        vit,
        architecture,
        _examples(lesson, used),
        head_weight=start.weight[used],
        head_bias=start.bias[used],
        shape=shape,
        settings=settings,
        progress=lambda done, total: progress("training", done, total),
    )

    seen = {0.0: before}

    def features_at(coefficient: float) -> Array:
        if coefficient not in seen:
            merged = build(architecture, merge(state, [(adapter, {"*": coefficient})]), settings.device)
            seen[coefficient] = features_of(merged, tokens, shape.first_block)
        return seen[coefficient]

    progress("choosing the coefficient", 0, 1)
    trials = search(features_at, coefficients=settings.coefficients, rows=rows, fit=fit, judge=judging, capacity=capacity)
    coefficient = choose(trials, len(judging))
    features = features_at(coefficient)
    progress("choosing the coefficient", 1, 1)
    head, temperature = fit_calibrated(features, rows, fit=fit, judge=judging, capacity=capacity)
    old = Head(*store.head(parent.number))
    if lesson.pictureless:
        fixed = np.array([entry.row for entry in lesson.pictureless])
        head = beside_fixed_rows(head, old, fixed, features[fit], rows[fit])
    limits = store.settings().gate
    answered = old.logits(before)
    gate = _judge(lesson, answered, head.logits(features), limits.max_drop if max_drop is None else max_drop, limits.significance)
    return Outcome(adapter, trials, coefficient, answered, features, head, temperature, gate)


def _device(wanted: str, board: Board) -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return choose_device(wanted, board, sees_gpu=sees_gpu(), hidden=hidden)


def _fitting(settings: LearnSettings, facts: Facts, board: Board) -> tuple[LearnSettings, dict[str, str]]:
    """The batch that the free memory holds, and what `run.json` and the user are told where it is another one."""
    free_mib = board.memory.available_mib if board.memory is not None else None
    if settings.device == "cuda":
        # A Jetson's GPU has no memory of its own: what Linux would give and what CUDA would give are the same, and the smaller one is true.
        on_gpu_mib = torch.cuda.mem_get_info()[0] // 2**20
        free_mib = min(on_gpu_mib, free_mib) if free_mib is not None and board.profile.kind == "jetson" else on_gpu_mib
    batch = batch_that_fits(
        facts.architecture,
        first_block=facts.adapter.first_block,
        wanted=settings.batch,
        free_mib=free_mib,
        reserve_mib=board.profile.memory_reserve_mib,
    )
    return replace(settings, batch=batch.pictures), {"batch_changed": batch.warning} if batch.warning else {}


def _used(settings: LearnSettings, board: Board) -> dict[str, Any]:
    """What `run.json` says of the hardware."""
    device = torch.device(settings.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else board.profile.title
    mixed = mixed_precision(device)
    return {
        "device": device.type,
        "hardware": name,
        "profile": board.profile.name,
        "training_type": "float32" if mixed is None else str(mixed).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }


def _careful(settings: LearnSettings, lesson: Lesson) -> LearnSettings:
    """Leave the backbone alone where it holds classes that nothing could check: only the head learns then."""
    return replace(settings, epochs=0, coefficients=(0.0,)) if lesson.pictureless else settings


def _examples(lesson: Lesson, used: Array) -> list[Example]:
    trainable = [(sample, True) for sample in lesson.new] + [(sample, False) for sample in lesson.replay]
    return [Example(sample.rgb, int(np.searchsorted(used, sample.row)), new) for sample, new in trainable]


def _judge(lesson: Lesson, before: Array, after: Array, max_drop: float, significance: float) -> GateResult:
    """Parent's and new logits `[n, capacity]` on what the memory holds of the old classes."""
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
