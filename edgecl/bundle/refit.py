"""The head after a bundle, where other tasks were learned since: one closed-form fit over pictures and over what stands in for them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.bundle.content import Bundle
from edgecl.bundle.matching import Matched
from edgecl.calibrate import MINIMUM_PICTURES, fit_temperature, fit_unknown
from edgecl.gaussians import Gaussians, measured, points, transported, within
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


def carried_over(bundle: Bundle, matched: Matched, known: Gaussians | None, sight: Sight, views: Views) -> Gaussians:
    """Means of the bundle's classes and of those that the store has no picture of, and the covariance within classes, by the new backbone.

    They follow it by the replay pictures, which were seen before and after it moved. What the bundle says of the covariance counts by the
    classes that it teaches, what the store says (`known`, else its replay pictures) by the others.
    """
    anchors = sight.fit if len(sight.kept) else np.arange(0)
    there = bundle.model.gaussians(bundle.contents.classes)
    brought = Gaussians({matched.id_of[id]: mean for id, mean in there.means.items()}, there.covariance)
    brought = transported(brought, views.packed[anchors], views.after[anchors])
    others = [entry.id for entry in matched.classes if entry.id not in brought.means]
    if known is not None:
        kept, share = transported(known.only(others), views.before[anchors], views.after[anchors]), len(others)
    else:
        own = [i for i in anchors if sight.kept[i].class_id in others]
        seen = measured(views.after[own], [sight.kept[i].class_id for i in own])
        kept, share = seen.only(()), len(seen.means)
    # The packed version knew all classes that are here where this one is as it was packed: then its word alone counts.
    part = 0.0 if matched.as_packed else share / max(share + len(brought.means), 1)
    covariance = part * kept.covariance + (1 - part) * brought.covariance
    return Gaussians({**kept.means, **brought.means}, covariance.astype(np.float32))


def pictured(sight: Sight) -> set[str]:
    """Ids of the classes of which there is a picture to fit on."""
    return {sight.kept[i].class_id for i in sight.fit}


def refit(matched: Matched, statistics: Gaussians, taught: Collection[str], sight: Sight, after: Array, old: Head, bundle: Bundle) -> Refit:
    """Fit the head on replay pictures and on points with the moments of `statistics`, by its covariance within classes.

    A class of `taught` (ids) that has both counts half by each; of another one with pictures the statistics are out of date. Classes that
    have neither keep their row of `old`. With too few held-out pictures to measure by, the temperature is the bundle's, and nothing is called
    unknown: where the bundle's limit lies says nothing about the logits of another head over another backbone.
    """
    rows_of = {entry.id: entry.row for entry in matched.classes}
    features, rows = _to_fit_on(statistics, taught, sight, after, rows_of)
    used = np.unique(rows)
    covariance = _within(statistics.covariance, features, rows, [e.row for e in matched.classes if e.name in matched.extended])
    judge = sight.judge
    capacity = len(old.bias)
    temperature = bundle.contents.temperature
    if len(judge) >= MINIMUM_PICTURES:
        plain = fit_head(features, rows, capacity=capacity, covariance=covariance)
        temperature = fit_temperature(plain.logits(after[judge]), sight.rows[judge], used.tolist())
    head = fit_head(features, rows, capacity=capacity, covariance=covariance, temperature=temperature)
    fixed = np.array(sorted(set(rows_of.values()) - set(used.tolist())), dtype=np.intp)
    if len(fixed):
        head = beside_fixed_rows(head, old, fixed, features, rows)
    return Refit(head, temperature, fit_unknown(head.logits(after[judge]), sorted(rows_of.values())))


def _within(known: Array, features: Array, rows: Array, extended: Collection[int]) -> Array:
    """The covariance `known`, but of classes that both sides showed what their samples say: the two may have shown different things."""
    both = np.isin(rows, list(extended))
    share = len(np.unique(rows[both])) / max(len(np.unique(rows)), 1)
    return np.asarray((1 - share) * known + share * within(features[both], rows[both]))


def _to_fit_on(
    statistics: Gaussians, taught: Collection[str], sight: Sight, after: Array, rows_of: Mapping[str, int]
) -> tuple[Array, Array]:
    """Features `[n, d]` and rows `[n]` of pictures and points."""
    seen = pictured(sight)
    stand_ins, ids = points(statistics.only(id for id in statistics.means if id not in seen or id in taught))
    features, rows = [after[sight.fit], stand_ins], [sight.rows[sight.fit], np.array([rows_of[id] for id in ids], dtype=np.intp)]
    for id in set(ids) & seen:
        mine = np.array([i for i in sight.fit if sight.kept[i].class_id == id])
        again = np.repeat(mine, max(0, ids.count(id) // len(mine) - 1))
        features.append(after[again])
        rows.append(sight.rows[again])
    return np.concatenate(features), np.concatenate(rows)
