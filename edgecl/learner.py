"""One task's learning, from a folder of pictures to a version that serves.

    prepare the lesson -> train an adapter from the current merged weights -> search how much of it to merge -> refit the head on the
    merged features -> refill the memory -> let the gate judge -> write the version -> put its canary through the graph -> promote

The seed paper is Task Arithmetic with LoRA for Continual Learning (arXiv 2311.02428). Other than there, an adapter is learned from the
current merged weights, its dense update is added, and every choice is made on pictures that were never trained on.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgecl.backbone import build
from edgecl.begin import Begun, begin
from edgecl.device import Board, detect
from edgecl.errors import EdgeclError, Interrupted
from edgecl.gate import GateResult
from edgecl.guard import GO_ON, Guard
from edgecl.hardware import Batch, batch_that_fits, choose_device
from edgecl.head import Head, beside_fixed_rows, fit_head
from edgecl.lesson import Lesson
from edgecl.manifest import Manifest
from edgecl.merge import merge
from edgecl.outcome import GraphWriter, Outcome, draft_of, judged, peak_memory_mib
from edgecl.paper import study
from edgecl.resume import finished
from edgecl.runtime.base import Predictor
from edgecl.runtime.eager import features_of, lower_tokens
from edgecl.search import choose, fit_calibrated, search
from edgecl.serve import serve
from edgecl.settings import AUTO, LearnSettings, PaperSettings
from edgecl.spread import Spread
from edgecl.store import Facts, Store
from edgecl.store.checkpoints import remove_checkpoint, write_checkpoint
from edgecl.training import Example, is_out_of_memory, mixed_precision, sees_gpu, train_adapter

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
    paper: PaperSettings | None = None,
    device: str = AUTO,
    val: Path | None = None,
    name: str | None = None,
    stage: bool = False,
    max_drop: float | None = None,
    progress: Progress = lambda stage, done, total: None,
    guard: Guard | None = None,
) -> LearnResult:
    """Learn one task folder into a new version; promote it unless the gate says no or `stage` asks to wait.

    A learn that was interrupted, also by a kill or a power cut, goes on where it was when it is asked for again.

    Args:
        paper: learn by the seed paper's method; of `settings` only seed, batch and threads count then, and there are no checkpoints.
        device: auto, cpu or cuda. The board is no part of `settings`, for it does not decide what is learned beyond rounding.

    Raises:
        BadPictures, BadInput: the folder cannot be learned from.
        StoreBusy: another process changes the store.
        NoSpace: the disk has no room for the version.
        Interrupted: the guard stopped it; the same call goes on.
        MissingExtra: there is no GPU to use, or one that torch does not see.
        ParityFailed: the exported graph does not answer as the trained model does; the version stays staged.
    """
    guard = guard or Guard()
    guard.begin()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    board = detect()
    device = _device(device, board)
    used, by_paper = _used(device, board), {} if paper is None else {"paper": asdict(paper)}

    def watched(stage: str, done: int, total: int) -> None:
        progress(stage, done, total)
        if stage != "training":  # which is stopped between two steps
            guard.check()

    with store.learning_lock():
        begun = begin(
            store,
            folder,
            val=val,
            name=name or folder.resolve().name,
            settings=settings,
            max_drop=store.settings().gate.max_drop if max_drop is None else max_drop,
            made_by={"torch": torch.__version__, **used, **by_paper},
            dense=paper is not None,
            guard=guard,
            progress=watched,
        )
        changed: dict[str, str] = {}
        manifest = finished(store, begun.number, begun.key)
        if manifest is None:
            fitting = _fitting(begun.settings, store.facts, board, device)
            changed = {"batch_changed": fitting.warning} if fitting.warning else {}
            outcome = _study(store, begun, paper, fitting.pictures, device, guard, watched)
            run = {**begun.run(guard), "peak_memory_mib": peak_memory_mib(), **used, **changed, **by_paper}
            manifest = store.commit(draft_of(store, begun.parent, begun.lesson, outcome, begun.settings, write_graph, run))
        else:
            store.confirm(manifest.number)
        state = _serve(store, manifest, make_predictor, stage or not manifest.checks["gate"]["passed"])
    return _result(manifest, begun, state, tuple(changed.values()), guard)


def _result(manifest: Manifest, begun: Begun, state: str, warnings: tuple[str, ...], guard: Guard) -> LearnResult:
    return LearnResult(
        version=manifest.number,
        state=state,
        task=begun.lesson.task,
        classes_added=begun.lesson.added,
        classes_extended=begun.lesson.extended,
        coefficient=manifest.recipe.steps[-1].coefficients["*"],
        accuracy=manifest.checks["accuracy"],
        rejected=tuple((r.path, r.reason) for r in begun.lesson.rejected),
        warnings=(*begun.lesson.warnings, *warnings),
        gate=GateResult.from_json(manifest.checks["gate"]),
        seconds=begun.seconds(guard),
        peak_memory_mib=peak_memory_mib(),
    )


def _serve(store: Store, manifest: Manifest, make_predictor: Callable[[], Predictor], stage: bool) -> str:
    """Let the version serve if it may; after that, or an error, there is nothing to go on with."""
    if store.current == manifest.number:  # the learn before was stopped just after
        state = "current"
    else:
        try:
            state = serve(store, manifest, make_predictor, stage=stage)
        except EdgeclError:
            remove_checkpoint(store.root)
            raise
    remove_checkpoint(store.root)
    return state


def _study(store: Store, begun: Begun, paper: PaperSettings | None, at_once: int, device: str, guard: Guard, progress: Progress) -> Outcome:
    """Everything that takes minutes, or a sentence where the memory does not suffice for it."""
    try:
        if paper is not None:
            return study(store, begun, paper, device, guard, progress)
        return _train_and_judge(store, begun, at_once, device, guard, progress)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise Interrupted(f"stopped: the memory is full. End other programs. What was learned so far is kept. {GO_ON}") from error


def _train_and_judge(store: Store, begun: Begun, at_once: int, device: str, guard: Guard, progress: Progress) -> Outcome:
    """Train, search, refit and judge."""
    architecture, shape, capacity = store.facts.architecture, store.facts.adapter, begun.parent.capacity
    lesson, settings = begun.lesson, begun.settings
    state = store.merged_state(begun.parent.recipe)
    rows, fit, judging = lesson.rows(), lesson.fit_indices(), lesson.judge_indices()
    vit = build(architecture, state, device)
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
        at_once=at_once,
        guard=guard,
        start=begun.position(),
        keep=lambda position: write_checkpoint(store.root, begun.at(position, guard)),
    )

    seen = {0.0: before}

    def features_at(coefficient: float) -> Array:
        if coefficient not in seen:
            guard.check()
            merged = build(architecture, merge(state, [(adapter, {"*": coefficient})]), device)
            seen[coefficient] = features_of(merged, tokens, shape.first_block)
        return seen[coefficient]

    progress("choosing the coefficient", 0, 1)
    spread = Spread(store.statistics(begun.parent.number), lesson.untouched(), before, rows, fit=fit, new=lesson.new_indices())
    split: dict[str, Any] = {"rows": rows, "fit": fit, "judge": judging, "capacity": capacity}
    trials = search(features_at, coefficients=settings.coefficients, covariance_of=spread.covariance, **split)
    coefficient = choose(trials, len(judging))
    features = features_at(coefficient)
    progress("choosing the coefficient", 1, 1)
    covariance = spread.covariance(features)
    head, temperature = fit_calibrated(features, covariance=covariance, **split)
    old = Head(*store.head(begun.parent.number))
    if lesson.pictureless:
        fixed = np.array([entry.row for entry in lesson.pictureless])
        head = beside_fixed_rows(head, old, fixed, features[fit], rows[fit])
    answered = old.logits(before)
    gate = judged(lesson, answered, head.logits(features), begun.max_drop, store.settings().gate.significance)
    return Outcome(adapter, trials, coefficient, answered, features, head, temperature, gate, covariance=covariance)


def _device(wanted: str, board: Board) -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return choose_device(wanted, board, sees_gpu=sees_gpu(), hidden=hidden)


def _fitting(settings: LearnSettings, facts: Facts, board: Board, device: str) -> Batch:
    """How many pictures of a batch the free memory holds at a time."""
    free_mib = board.memory.available_mib if board.memory is not None else None
    if device == "cuda":
        # A Jetson's GPU has no memory of its own: what Linux would give and what CUDA would give are the same, and the smaller one is true.
        on_gpu_mib = torch.cuda.mem_get_info()[0] // 2**20
        free_mib = min(on_gpu_mib, free_mib) if free_mib is not None and board.profile.kind == "jetson" else on_gpu_mib
    return batch_that_fits(
        facts.architecture,
        first_block=facts.adapter.first_block,
        wanted=settings.batch,
        free_mib=free_mib,
        reserve_mib=board.profile.memory_reserve_mib,
    )


def _used(device: str, board: Board) -> dict[str, Any]:
    """What `run.json` says of the hardware."""
    name = torch.cuda.get_device_name(device) if device == "cuda" else board.profile.title
    mixed = mixed_precision(torch.device(device))
    return {
        "device": device,
        "hardware": name,
        "profile": board.profile.name,
        "training_type": "float32" if mixed is None else str(mixed).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }


def _examples(lesson: Lesson, used: Array) -> list[Example]:
    trainable = [(sample, True) for sample in lesson.new] + [(sample, False) for sample in lesson.replay]
    return [Example(sample.rgb, int(np.searchsorted(used, sample.row)), new) for sample, new in trainable]
