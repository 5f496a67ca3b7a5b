"""A bundle becomes a version: its adapters are merged, the head is refitted, the gate judges, the canary is asked. Without torch.

Where the store is what the packed version was built on, nothing has to be refitted: the result has the packed version's weights, bit by
bit. Elsewhere other tasks have moved the backbone, so the head is fitted anew under the merged weights: on this board's own memory, and on
the bundle's classes by their pictures or, without any, by their statistics, carried over to where the backbone is now.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.bundle.arrival import arrival
from edgecl.bundle.content import Bundle, read_bundle
from edgecl.bundle.matching import match
from edgecl.bundle.refit import Refit, Views, carried_over, refit
from edgecl.bundle.verdict import checks_of, gate_of, warnings_of
from edgecl.bundle.work import Progress, Work, views_of, work_of
from edgecl.gate import GateResult
from edgecl.gaussians import Gaussians
from edgecl.head import Head, make_head
from edgecl.manifest import Manifest
from edgecl.memory import refill
from edgecl.serve import serve
from edgecl.sight import MakePredictor, canary_of
from edgecl.store import Draft, Store
from edgecl.store.history import successor

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What `apply --json` prints."""

    version: int
    state: str = "current"  # current | staged
    applied: bool = False  # False: the store had it all already, and nothing was changed
    tasks: tuple[str, ...] = ()  # as they are called here
    classes_added: tuple[str, ...] = ()
    classes_extended: tuple[str, ...] = ()
    pictures: int = 0  # that came along and were new here
    head: str = "taken"  # taken | refitted
    accuracy: Mapping[str, float | None] = field(default_factory=dict)
    signed_by: str | None = None
    warnings: tuple[str, ...] = ()
    gate: GateResult | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """`edgecl.apply/1`"""
        gate = self.gate.to_json() if self.gate is not None else None
        return {"format": "edgecl.apply/1", **asdict(self), "gate": gate, "seconds": round(self.seconds, 1)}


def apply_bundle(
    store: Store,
    path: Path,
    *,
    make_predictor: MakePredictor,
    same: Collection[str] = (),
    rename: Mapping[str, str] | None = None,
    stage: bool = False,
    max_drop: float | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Applied:
    """Take the bundle `path` into a new version; promote it unless the gate says no or `stage` asks to wait.

    Applying a bundle a second time changes nothing and says so.

    Args:
        same, rename: what to do with classes that share a name with another one here, see `edgecl.bundle.matching.match`.

    Raises:
        BadInput: the bundle is not one, is for another backbone, needs a task that is not here, or shares a class name.
        UsageError: `same` or `rename` names what the bundle does not teach.
        StoreBusy: another process changes the store.
        ParityFailed: the merged model does not answer as the packed one did; or the new version's canary fails, then it stays staged.
    """
    started = time.monotonic()
    with store.learning_lock():
        assert store.current is not None, "init has promoted version 0"
        parent = store.manifest(store.current)
        facts, keys = store.facts, store.settings().bundles.trusted_keys
        bundle = read_bundle(path, facts.architecture, facts.base.sha256, trusted_keys=keys)
        coming = arrival(bundle, parent, store.next_number())
        nothing_new = Applied(version=parent.number, signed_by=bundle.signed_by)
        known = {entry.id for entry in parent.classes}
        if not coming.steps and all(entry.id in known for entry in bundle.contents.classes):
            store.confirm(parent.number)
            return nothing_new  # before anything is asked about its classes: what was said of them the first time holds
        matched = match(bundle.contents, parent, coming.tasks, same=same, rename=rename)
        if not coming.steps and not matched.added:
            store.confirm(parent.number)
            return nothing_new
        work = work_of(store, parent, bundle, coming, matched)
        draft, gate = _draft(work, views_of(work, make_predictor, progress), max_drop)
        manifest = store.commit(replace(draft, run={"seconds": round(time.monotonic() - started, 1), "bundle": path.name}))
        state = serve(store, manifest, make_predictor, stage=stage or not gate.passed)
    done = _applied(work, manifest, gate)
    return replace(done, state=state, seconds=time.monotonic() - started)


def _applied(work: Work, manifest: Manifest, gate: GateResult) -> Applied:
    return Applied(
        version=manifest.number,
        applied=True,
        tasks=tuple(step.task for step in work.arrival.steps),
        classes_added=work.matched.added,
        classes_extended=work.matched.extended,
        pictures=len(work.fresh),
        head=manifest.checks["bundle"]["head"],
        accuracy=manifest.checks["accuracy"],
        signed_by=work.bundle.signed_by,
        warnings=warnings_of(work),
        gate=gate,
    )


def _draft(work: Work, views: Views, max_drop: float | None) -> tuple[Draft, GateResult]:
    store, parent, bundle, matched, sight = work.store, work.parent, work.bundle, work.matched, work.sight
    statistics = carried_over(bundle, matched, store.statistics(parent.number), sight, views)
    fitted = _taken(bundle, parent) if matched.as_packed else _refitted(work, statistics, views.after)
    gate = gate_of(work, Head(*store.head(parent.number)).logits(views.before), fitted.head.logits(views.after), max_drop)
    limits = store.settings().memory
    features = {kept.hash: views.after[i] for i, kept in enumerate(sight.kept)}
    budget = int(limits.budget_mib * 2**20)
    index = refill(store.memory(parent.number), work.fresh, features, per_class=limits.per_class, budget_bytes=budget)
    remembered = {kept.hash for kept in index}
    bare = {entry.id for entry in matched.classes} - {kept.class_id for kept in index if kept.role == "replay"}
    recipe = replace(parent.recipe, steps=(*parent.recipe.steps, *work.arrival.steps))
    draft = successor(
        store,
        parent.number,
        "apply",
        task=work.arrival.steps[-1].task if work.arrival.steps else None,
        next_row=matched.next_row,
        classes=matched.classes,
        recipe=recipe,
        thresholds=fitted.thresholds,
        temperature=fitted.temperature,
        seeds={},
        checks=checks_of(work, gate, fitted.head.logits(views.after)),
        head_weight=fitted.head.weight,
        head_bias=fitted.head.bias,
        memory=index,
        new_pictures={item.kept.hash: item.data for item in work.fresh if item.kept.hash in remembered},
        new_adapters={step.adapter: bundle.adapters[step.adapter] for step in work.arrival.steps},
        canary=canary_of(sight, views.after, fitted.head),
        statistics=statistics.only(sorted(bare)),
    )
    return draft, gate


def _taken(bundle: Bundle, parent: Manifest) -> Refit:
    """The packed version's own head."""
    used = np.array(sorted(bundle.contents.rows.values()), dtype=np.intp)
    head = make_head(bundle.model.head_weight, bundle.model.head_bias, used, capacity=parent.capacity, centred=False)
    return Refit(head, bundle.contents.temperature, bundle.contents.thresholds)


def _refitted(work: Work, statistics: Gaussians, after: Array) -> Refit:
    # Where a class's own pictures came along, they say all that its statistics do, and for the new backbone.
    brought = {item.kept.class_id for item in work.fresh if item.kept.role == "replay"}
    taught = set(work.matched.id_of.values()) - brought
    old = Head(*work.store.head(work.parent.number))
    return refit(work.matched, statistics, taught, work.sight, after, old, work.bundle)
