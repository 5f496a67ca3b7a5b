"""The head after a bundle, where other tasks were learned since: one closed-form fit over pictures and over what stands in for them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.bundle.content import Bundle
from edgecl.bundle.matching import Matched
from edgecl.calibrate import MINIMUM_PICTURES, fit_temperature, fit_unknown
from edgecl.gaussians import Gaussians, points, pooled, transported
from edgecl.head import Head, beside_fixed_rows, fit_head
from edgecl.manifest import Thresholds
from edgecl.sight import Sight

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Views:
    """The same pictures under three backbones, features `[n, d]` each; `n` counts the pictures of a `Sight`."""

    before: Array  # of the version that is current here
    packed: Array  # of the packed version
    after: Array  # of the version that is being made


@dataclass(frozen=True, eq=False)
class Refit:
    """A head, and how sure it may be."""

    head: Head
    temperature: float
    thresholds: Thresholds


def carried_over(bundle: Bundle, matched: Matched, known: Gaussians | None, sight: Sight, views: Views) -> Gaussians | None:
    """Statistics of every class that has any, by the new backbone: the bundle's, and those that the store had from bundles before it.

    They follow the backbone by the replay pictures, which were seen before and after it moved. None without statistics.
    """
    anchors = sight.fit if len(sight.kept) else np.arange(0)
    there = bundle.model.gaussians(bundle.contents.classes)
    here = Gaussians({matched.id_of[id]: mean for id, mean in there.means.items()}, there.covariance)
    parts = [transported(here, views.packed[anchors], views.after[anchors])] if here.means else []
    if known is not None:
        kept = known.only(entry.id for entry in matched.classes if entry.id not in here.means)
        parts += [transported(kept, views.before[anchors], views.after[anchors])] if kept.means else []
    return pooled(parts) if parts else None


def pictured(sight: Sight) -> set[str]:
    """Ids of the classes of which there is a picture to fit on."""
    return {sight.kept[i].class_id for i in sight.fit}


def refit(
    matched: Matched, statistics: Gaussians | None, taught: Collection[str], sight: Sight, after: Array, old: Head, bundle: Bundle
) -> Refit:
    """Fit the head on replay pictures and on points with the moments of `statistics`.

    A class of `taught` (ids) that has both counts half by each; of another one with pictures the statistics are out of date. Classes that
    have neither keep their row of `old`. With too few held-out pictures to measure by, the temperature is the bundle's, and nothing is called
    unknown: where the bundle's limit lies says nothing about the logits of another head over another backbone.
    """
    rows_of = {entry.id: entry.row for entry in matched.classes}
    features, rows = _to_fit_on(statistics, taught, sight, after, rows_of)
    used = np.unique(rows)
    judge = sight.judge
    capacity = len(old.bias)
    temperature = bundle.contents.temperature
    if len(judge) >= MINIMUM_PICTURES:
        plain = fit_head(features, rows, capacity=capacity)
        temperature = fit_temperature(plain.logits(after[judge]), sight.rows[judge], used.tolist())
    head = fit_head(features, rows, capacity=capacity, temperature=temperature)
    fixed = np.array(sorted(set(rows_of.values()) - set(used.tolist())), dtype=np.intp)
    if len(fixed):
        head = beside_fixed_rows(head, old, fixed, features, rows)
    return Refit(head, temperature, fit_unknown(head.logits(after[judge]), sorted(rows_of.values())))


def _to_fit_on(
    statistics: Gaussians | None, taught: Collection[str], sight: Sight, after: Array, rows_of: Mapping[str, int]
) -> tuple[Array, Array]:
    """Features `[n, d]` and rows `[n]` of pictures and points."""
    seen = pictured(sight)
    features, rows = [after[sight.fit]], [sight.rows[sight.fit]]
    if statistics is not None:
        stand_ins, ids = points(statistics.only(id for id in statistics.means if id not in seen or id in taught))
        features.append(stand_ins)
        rows.append(np.array([rows_of[id] for id in ids], dtype=np.intp))
        for id in set(ids) & seen:
            mine = np.array([i for i in sight.fit if sight.kept[i].class_id == id])
            again = np.repeat(mine, max(0, ids.count(id) // len(mine) - 1))
            features.append(after[again])
            rows.append(sight.rows[again])
    return np.concatenate(features), np.concatenate(rows)
