"""A bundle becomes a version: its adapters are merged, the head is refitted, the gate judges, the canary is asked. Without torch.

Where the store is what the packed version was built on, nothing has to be refitted: the result has the packed version's weights, bit by
bit. Elsewhere other tasks have moved the backbone, so the head is fitted anew under the merged weights: on this board's own memory, and on
the bundle's classes by their pictures or, without any, by their statistics, carried over to where the backbone is now.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.bundle.arrival import Arrival, arrival, candidates
from edgecl.bundle.content import Bundle, read_bundle
from edgecl.bundle.matching import Matched, match
from edgecl.bundle.probe import probe_pictures
from edgecl.bundle.refit import Refit, Views, carried_over, pictured, refit
from edgecl.errors import ParityFailed
from edgecl.gate import GateResult, judge
from edgecl.gaussians import Gaussians
from edgecl.head import Head, make_head
from edgecl.manifest import Manifest
from edgecl.memory import Candidate, refill
from edgecl.merge import merge
from edgecl.preprocess import geometry_of
from edgecl.runtime.selftest import FEATURE_LIMITS
from edgecl.serve import serve
from edgecl.sight import MakePredictor, Sight, canary_of, features_of, prepared
from edgecl.store import Draft, Store
from edgecl.store.history import successor

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What `apply --json` prints."""

    version: int
    state: str  # current | staged
    applied: bool  # False: the store had it all already, and nothing was changed
    tasks: tuple[str, ...]  # as they are called here
    classes_added: tuple[str, ...]
    classes_extended: tuple[str, ...]
    pictures: int  # that came along and were new here
    head: str  # taken | refitted
    accuracy: Mapping[str, float | None]
    signed_by: str | None
    warnings: tuple[str, ...]
    gate: GateResult | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """`edgecl.apply/1`"""
        gate = self.gate.to_json() if self.gate is not None else None
        return {"format": "edgecl.apply/1", **asdict(self), "gate": gate, "seconds": round(self.seconds, 1)}


@dataclass(frozen=True, eq=False)
class _Work:
    """Everything that is known before anything is computed."""

    store: Store
    parent: Manifest
    bundle: Bundle
    arrival: Arrival
    matched: Matched
    fresh: list[Candidate]  # pictures that came along
    sight: Sight  # the memory's pictures and these


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
        known = {entry.id for entry in parent.classes}
        if not coming.steps and all(entry.id in known for entry in bundle.contents.classes):
            return _nothing_new(bundle, parent, started)
        matched = match(bundle.contents, parent, coming.tasks, same=same, rename=rename)
        if not coming.steps and not matched.added:
            return _nothing_new(bundle, parent, started)
        work = _prepared(store, parent, bundle, coming, matched)
        views = _views(work, make_predictor, progress)
        draft, gate = _draft(work, views, max_drop)
        manifest = store.commit(replace(draft, run={"seconds": round(time.monotonic() - started, 1), "bundle": path.name}))
        state = serve(store, manifest, make_predictor, stage=stage or not gate.passed)
    return Applied(
        version=manifest.number,
        state=state,
        applied=True,
        tasks=tuple(step.task for step in coming.steps),
        classes_added=matched.added,
        classes_extended=matched.extended,
        pictures=len(work.fresh),
        head=manifest.checks["bundle"]["head"],
        accuracy=manifest.checks["accuracy"],
        signed_by=bundle.signed_by,
        warnings=_warnings(work),
        gate=gate,
        seconds=time.monotonic() - started,
    )


def _nothing_new(bundle: Bundle, parent: Manifest, started: float) -> Applied:
    return Applied(
        version=parent.number,
        state="current",
        applied=False,
        tasks=(),
        classes_added=(),
        classes_extended=(),
        pictures=0,
        head="taken",
        accuracy={},
        signed_by=bundle.signed_by,
        warnings=(),
        gate=None,
        seconds=time.monotonic() - started,
    )


def _prepared(store: Store, parent: Manifest, bundle: Bundle, coming: Arrival, matched: Matched) -> _Work:
    memory = store.memory(parent.number)
    fresh = candidates(bundle, coming.tasks, matched.id_of, memory)
    brought = {item.kept.hash: item.data for item in fresh}
    rows_of = {entry.id: entry.row for entry in matched.classes}

    def read(hash: str) -> bytes:
        return brought[hash] if hash in brought else store.picture(hash)

    sight = prepared([*memory, *(item.kept for item in fresh)], read, rows_of, geometry_of(store.facts.architecture))
    return _Work(store, parent, bundle, coming, matched, fresh, sight)


def _views(work: _Work, make_predictor: MakePredictor, progress: Progress) -> Views:
    """Look at every picture with the three backbones, and hold what the packed one makes of the probe against what it made of it at home.

    Raises:
        ParityFailed: the probe's features differ, so the merged weights or this board's runtime are not what they should be.
    """
    store, contents = work.store, work.bundle.contents
    base, own = store.base(), store.adapters(work.parent.recipe)
    by_hash = {step.adapter: adapter for step, (adapter, _) in zip(work.parent.recipe.steps, own, strict=True)} | dict(work.bundle.parsed)
    added = [(by_hash[step.adapter], step.coefficients) for step in work.arrival.steps]
    packed = [(by_hash[step.adapter], step.coefficients) for step in contents.recipe.steps]
    probe = probe_pictures(store.facts.architecture.image_size, len(work.bundle.model.probe))
    seen = []
    for done, steps in enumerate((own, packed, [*own, *added])):
        progress("looking at pictures", done, 3)
        inputs = np.concatenate([work.sight.inputs, probe])
        seen.append(features_of(store, work.parent.number, merge(base, steps), inputs, make_predictor))
    progress("looking at pictures", 3, 3)
    count = len(work.sight.inputs)
    _check_probe(seen[1][count:], work.bundle.model.probe)
    before, at_home, after = (features[:count] for features in seen)
    return Views(before, at_home, after)


def _check_probe(found: Array, expected: Array) -> None:
    difference = float(np.abs(found - expected).max()) / max(float(np.ptp(expected)), 1e-6)
    if not difference <= FEATURE_LIMITS["fp32"]:
        raise ParityFailed(
            f"the bundle's model does not answer here as it did where it was packed: its features of the probe pictures differ by "
            f"{difference:.2e} of their spread, allowed {FEATURE_LIMITS['fp32']:.0e}. Nothing was changed. Run edgecl verify --deep here and "
            "there, and pack again."
        )


def _draft(work: _Work, views: Views, max_drop: float | None) -> tuple[Draft, GateResult]:
    store, parent, bundle, matched, sight = work.store, work.parent, work.bundle, work.matched, work.sight
    statistics = carried_over(bundle, matched, store.statistics(parent.number), sight, views)
    fitted = _taken(bundle, parent) if matched.as_packed else _refitted(work, statistics, views.after)
    gate = _gate(work, Head(*store.head(parent.number)).logits(views.before), fitted.head.logits(views.after), max_drop)
    limits = store.settings().memory
    features = {kept.hash: views.after[i] for i, kept in enumerate(sight.kept)}
    budget = int(limits.budget_mib * 2**20)
    index = refill(store.memory(parent.number), work.fresh, features, per_class=limits.per_class, budget_bytes=budget)
    remembered = {kept.hash for kept in index}
    bare = {entry.id for entry in matched.classes} - {kept.class_id for kept in index if kept.role == "replay"}
    left = statistics.only(sorted(bare)) if statistics is not None else None
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
        checks=_checks(work, gate, fitted.head.logits(views.after)),
        head_weight=fitted.head.weight,
        head_bias=fitted.head.bias,
        memory=index,
        new_pictures={item.kept.hash: item.data for item in work.fresh if item.kept.hash in remembered},
        new_adapters={step.adapter: bundle.adapters[step.adapter] for step in work.arrival.steps},
        canary=canary_of(sight, views.after, fitted.head),
        statistics=left if left is not None and left.means else None,
    )
    return draft, gate


def _taken(bundle: Bundle, parent: Manifest) -> Refit:
    """The packed version's own head."""
    used = np.array(sorted(bundle.contents.rows.values()), dtype=np.intp)
    head = make_head(bundle.model.head_weight, bundle.model.head_bias, used, capacity=parent.capacity, centred=False)
    return Refit(head, bundle.contents.temperature, bundle.contents.thresholds)


def _refitted(work: _Work, statistics: Gaussians | None, after: Array) -> Refit:
    # Where a class's own pictures came along, they say all that its statistics do, and for the new backbone.
    brought = {item.kept.class_id for item in work.fresh if item.kept.role == "replay"}
    taught = set(work.matched.id_of.values()) - brought
    old = Head(*work.store.head(work.parent.number))
    return refit(work.matched, statistics, taught, work.sight, after, old, work.bundle)


def _unseen(work: _Work) -> list[str]:
    """Names of classes of this store that nothing stands for, neither pictures nor statistics."""
    known = work.store.statistics(work.parent.number)
    there = pictured(work.sight) | set(work.matched.id_of.values()) | set(known.means if known is not None else ())
    return [entry.name for entry in work.parent.classes if entry.id not in there]


def _gate(work: _Work, before: Array, after: Array, max_drop: float | None) -> GateResult:
    """Judge the parent's and the new logits `[n, capacity]` on the pictures that this store had before."""
    sight = work.sight
    names = {entry.id: entry.name for entry in work.parent.classes}
    fresh = {item.kept.hash for item in work.fresh}
    held, kept = ([i for i in part if i < len(sight.kept) and sight.kept[i].hash not in fresh] for part in (sight.judge, sight.fit))
    was_right, is_right = (logits[: len(sight.kept)].argmax(axis=1) == sight.rows for logits in (before, after))
    limits = work.store.settings().gate
    result = judge(
        holdout_before=was_right[held],
        holdout_after=is_right[held],
        holdout_classes=np.array([names[sight.kept[i].class_id] for i in held]),
        replay_before=was_right[kept],
        replay_after=is_right[kept],
        replay_classes=np.array([names[sight.kept[i].class_id] for i in kept]),
        max_drop=limits.max_drop if max_drop is None else max_drop,
        significance=limits.significance,
    )
    unseen = _unseen(work)
    if unseen and work.arrival.moves:
        reason = (
            f"the bundle moves the backbone, and of {len(unseen)} classes ({', '.join(unseen[:3])}) no picture is here to check them by"
        )
        return replace(result, passed=False, reasons=(*result.reasons, reason))
    return result


def _checks(work: _Work, gate: GateResult, after: Array) -> dict[str, Any]:
    contents, sight = work.bundle.contents, work.sight
    fresh = {item.kept.hash for item in work.fresh}
    held = [i for i in sight.judge if sight.kept[i].hash in fresh]
    right = after[held].argmax(axis=1) == sight.rows[held]
    return {
        "accuracy": {"validation": float(right.mean()) if held else None, "holdout_before": gate.before, "holdout_after": gate.after},
        "gate": gate.to_json(),
        "bundle": {
            "sha256": work.bundle.sha256,
            "signed_by": work.bundle.signed_by,
            "head": "taken" if work.matched.as_packed else "refitted",
            "tasks": list(contents.tasks),
            "accuracy": dict(contents.accuracy),
            **asdict(contents.provenance),
        },
    }


def _warnings(work: _Work) -> tuple[str, ...]:
    said = []
    bare = [entry.name for entry in work.matched.classes if entry.id not in pictured(work.sight) and entry.name in work.matched.added]
    if bare:
        said.append(
            f"of {len(bare)} classes ({', '.join(bare[:3])}) no picture came along: nothing here can check them, and as long as there is none, "
            "learn leaves the backbone alone. Pack with --pictures, or bring a few of each, to change that"
        )
    here = {entry.id: entry.name for entry in work.parent.classes}
    for entry in work.bundle.contents.classes:
        name = here.get(work.matched.id_of[entry.id], entry.name)
        if name != entry.name:
            said.append(f"what the bundle calls {entry.name!r} is called {name!r} here")
    return tuple(said)
