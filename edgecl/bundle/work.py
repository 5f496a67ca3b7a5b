"""A bundle about to be applied: what it meets in a store, and its pictures and the store's as three backbones see them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.adapter import Adapter
from edgecl.bundle.arrival import Arrival, candidates
from edgecl.bundle.content import Bundle
from edgecl.bundle.matching import Matched
from edgecl.bundle.probe import probe_pictures
from edgecl.bundle.refit import Views
from edgecl.errors import ParityFailed
from edgecl.manifest import Manifest
from edgecl.memory import Candidate
from edgecl.merge import Coefficients, merge
from edgecl.preprocess import geometry_of
from edgecl.runtime.selftest import FEATURE_LIMITS
from edgecl.sight import MakePredictor, Sight, features_of, prepared
from edgecl.store import Store

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Work:
    """Everything that is known before anything is computed."""

    store: Store
    parent: Manifest
    bundle: Bundle
    arrival: Arrival
    matched: Matched
    fresh: list[Candidate]  # pictures that came along
    sight: Sight  # the memory's pictures and these

    @property
    def brought(self) -> set[str]:
        """Hashes of the pictures that came along."""
        return {item.kept.hash for item in self.fresh}


def work_of(store: Store, parent: Manifest, bundle: Bundle, coming: Arrival, matched: Matched) -> Work:
    """Decode the memory's pictures and those that the bundle adds."""
    memory = store.memory(parent.number)
    fresh = candidates(bundle, coming.tasks, matched.id_of, memory)
    brought = {item.kept.hash: item.data for item in fresh}
    rows_of = {entry.id: entry.row for entry in matched.classes}

    def read(hash: str) -> bytes:
        return brought[hash] if hash in brought else store.picture(hash)

    sight = prepared([*memory, *(item.kept for item in fresh)], read, rows_of, geometry_of(store.facts.architecture))
    return Work(store, parent, bundle, coming, matched, fresh, sight)


def views_of(work: Work, make_predictor: MakePredictor, progress: Progress) -> Views:
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
    seen: dict[Any, list[Array]] = {}
    recipes = (own, packed, [*own, *added])
    for done, steps in enumerate(recipes):
        progress("looking at pictures", done, len(recipes))
        if _key(steps) not in seen:  # on an equal parent the packed model is the new one
            merged = merge(base, steps)
            seen[_key(steps)] = features_of(store, work.parent.number, merged, make_predictor, work.sight.inputs, probe)
    progress("looking at pictures", len(recipes), len(recipes))
    before, at_home, after = (seen[_key(steps)] for steps in recipes)
    _check_probe(at_home[1], work.bundle.model.probe)
    return Views(before[0], at_home[0], after[0])


def _key(steps: Sequence[tuple[Adapter, Coefficients]]) -> tuple[Any, ...]:
    """What tells one merge from another, as long as its adapters live."""
    return tuple((id(adapter), tuple(sorted(coefficients.items()))) for adapter, coefficients in steps)


def _check_probe(found: Array, expected: Array) -> None:
    difference = float(np.abs(found - expected).max()) / max(float(np.ptp(expected)), 1e-6)
    if not difference <= FEATURE_LIMITS["fp32"]:
        raise ParityFailed(
            f"the bundle's model does not answer here as it did where it was packed: its features of the probe pictures differ by "
            f"{difference:.2e} of their spread, allowed {FEATURE_LIMITS['fp32']:.0e}. Nothing was changed. Run edgecl verify --deep here and "
            "there, and pack again."
        )
