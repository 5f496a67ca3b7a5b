"""Whether a bundle's version may serve, what is written down of that, and what the person should hear."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.bundle.refit import pictured
from edgecl.bundle.work import Work
from edgecl.calibrate import MINIMUM_PICTURES
from edgecl.errors import few
from edgecl.gate import GateResult, judge

Array = NDArray[Any]


def _unseen(work: Work) -> list[str]:
    """Names of classes of this store that nothing stands for, neither pictures nor statistics."""
    known = work.store.statistics(work.parent.number)
    there = pictured(work.sight) | set(work.matched.id_of.values()) | set(known.means if known is not None else ())
    return [entry.name for entry in work.parent.classes if entry.id not in there]


def gate_of(work: Work, before: Array, after: Array, max_drop: float | None) -> GateResult:
    """Judge the parent's and the new logits `[n, capacity]` on the pictures that this store had before."""
    sight = work.sight
    names = {entry.id: entry.name for entry in work.parent.classes}
    fresh = work.brought
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
        reason = f"the bundle moves the backbone, and of {len(unseen)} classes ({few(unseen)}) no picture is here to check them by"
        return replace(result, passed=False, reasons=(*result.reasons, reason))
    return result


def checks_of(work: Work, gate: GateResult, after: Array) -> dict[str, Any]:
    """The manifest's `checks`: figures, the gate, and where the version comes from; `after` are the new logits `[n, capacity]`."""
    contents, sight = work.bundle.contents, work.sight
    fresh = work.brought
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


def warnings_of(work: Work) -> tuple[str, ...]:
    """Classes that nothing here can check, a limit that nothing here can measure, and classes that have another name here."""
    said = []
    bare = [entry.name for entry in work.matched.classes if entry.id not in pictured(work.sight) and entry.name in work.matched.added]
    if bare:
        said.append(
            f"of {len(bare)} classes ({few(bare)}) no picture came along: nothing here can check them, and as long as there is none, "
            "learn leaves the backbone alone. Pack with --pictures, or bring a few of each, to change that"
        )
    held = len(work.sight.judge)
    if not work.matched.as_packed and held < MINIMUM_PICTURES:
        said.append(
            f"{held} pictures are held out here, fewer than the {MINIMUM_PICTURES} that a limit for unknown is measured with: nothing is called "
            "unknown until there are more"
        )
    here = {entry.id: entry.name for entry in work.parent.classes}
    for entry in work.bundle.contents.classes:
        name = here.get(work.matched.id_of[entry.id], entry.name)
        if name != entry.name:
            said.append(f"what the bundle calls {entry.name!r} is called {name!r} here")
    return tuple(said)
