"""From logits to an answer: softmax over used rows, the unknown score, smoothing over a video. Pure numpy."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import StoreDamaged, UsageError
from edgecl.manifest import BACKGROUND, Manifest, Thresholds
from edgecl.runtime.base import Prediction

Array = NDArray[Any]
TOP = 5  # names in Prediction.top


def softmax(logits: Array, rows: Sequence[int]) -> NDArray[np.float64]:
    """Probabilities over the used `rows` alone: logits `[.., capacity]` -> `[.., len(rows)]` float64, in the order of `rows`."""
    used = np.asarray(logits, dtype=np.float64)[..., list(rows)]
    if not rows:
        return used
    exponentials = np.exp(used - used.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def max_softmax(logits: Array, probabilities: Array, parameters: Mapping[str, float]) -> Array:
    """1 - the largest probability; takes no parameters (Hendrycks & Gimpel 2017, arXiv 1610.02136, section 3)."""
    return np.asarray(1.0 - probabilities.max(axis=-1))


def max_logit(logits: Array, probabilities: Array, parameters: Mapping[str, float]) -> Array:
    """The largest logit of a used row, negated; takes no parameters (Hendrycks et al. 2022, arXiv 1911.11132, section 3).

    A softmax only says which class is nearest; the logit of a discriminant also falls with the distance from all of them.
    """
    return np.asarray(-logits.max(axis=-1))


UnknownScore = Callable[[Array, Array, Mapping[str, float]], Array]
UNKNOWN_SCORES: Mapping[str, UnknownScore] = {"max_softmax": max_softmax, "max_logit": max_logit}
"""Name in the manifest -> (logits of used rows `[.., c]`, probabilities `[.., c]`, parameters) -> `[..]`; larger is less known."""


def unknown_score(logits: Array, probabilities: Array, rows: Sequence[int], thresholds: Thresholds) -> Array:
    """The score that `thresholds` names: logits `[.., capacity]`, probabilities `[.., len(rows)]` -> `[..]`.

    Both are handed in, so that a smoothed video is judged by what it will show. No rows: infinitely unknown. With a single class
    `max_softmax` is always 0.

    Raises:
        StoreDamaged: this edgecl does not know the score.
    """
    if thresholds.score not in UNKNOWN_SCORES:
        raise StoreDamaged(
            f"the version's unknown score is {thresholds.score!r}, but this edgecl knows {sorted(UNKNOWN_SCORES)}. "
            "A newer edgecl may have written it."
        )
    if not rows:
        return np.full(probabilities.shape[:-1], np.inf)
    return UNKNOWN_SCORES[thresholds.score](np.asarray(logits)[..., list(rows)], probabilities, thresholds.parameters)


class Smoother:
    """The mean answer of the last `window` frames of one video or camera.

    Another source or another version starts anew. For a folder of pictures that have nothing to do with each other use none at all.

    Raises:
        UsageError: a window below 1.
    """

    def __init__(self, window: int) -> None:
        if window < 1:
            raise UsageError(f"a smoothing window of {window} frames makes no sense; give 1 (no smoothing) or more")
        self._frames: deque[Array] = deque(maxlen=window)
        self._of: tuple[str, int] | None = None

    def update(self, source: str, version: int, answer: Array) -> Array:
        """Take in the next frame's answer, for example its probabilities `[c]`; returns the mean over the window, of the same shape."""
        if self._of != (source, version):
            self._frames.clear()
            self._of = (source, version)
        self._frames.append(answer)
        return np.asarray(np.mean(self._frames, axis=0))


def decide(
    logits: Array,
    manifest: Manifest,
    *,
    source: str,
    index: int,
    time: str,
    latency_ms: float,
    smoother: Smoother | None = None,
) -> Prediction:
    """One frame's answer from its logits `[capacity]`.

    `label` is the best class even where `unknown` is true. A `_background` answer is never unknown. A version without classes answers
    with an empty label, score 0 and unknown. Equal scores are ordered by row.

    Raises:
        StoreDamaged: logits that are not finite or not one per row of the head, or an unknown score that this edgecl does not know.
    """
    rows = manifest.rows()
    check_logits(logits, manifest)
    probabilities: Array = softmax(logits, rows)
    if smoother is not None:
        logits, smooth = logits.copy(), smoother.update(source, manifest.number, np.stack([probabilities, logits[rows]]))
        probabilities, logits[rows] = smooth
    by_row = {entry.row: entry for entry in manifest.classes}
    order = np.argsort(-probabilities, kind="stable")[:TOP]
    top = tuple((by_row[rows[column]].name, float(probabilities[column])) for column in order)
    label, score = top[0] if top else ("", 0.0)
    far = bool(unknown_score(logits, probabilities, rows, manifest.thresholds) > manifest.thresholds.unknown_above)
    return Prediction(
        source=source,
        index=index,
        time=time,
        label=label,
        class_id=by_row[rows[order[0]]].id if top else "",
        score=score,
        unknown=far and label != BACKGROUND,
        top=top,
        version=manifest.number,
        latency_ms=latency_ms,
    )


def announced(prediction: Prediction) -> bool:
    """Whether a person should hear of it: a known class that is not `_background`."""
    return not prediction.unknown and prediction.label != BACKGROUND


def check_logits(logits: Array, manifest: Manifest) -> None:
    """Refuse logits `[.., capacity]` that no intact model of this version gives.

    Raises:
        StoreDamaged: another number of rows, or a used row that is not finite.
    """
    if logits.shape[-1] != manifest.capacity:
        raise StoreDamaged(
            f"the model answers with {logits.shape[-1]} logits per picture, but version {manifest.number} has {manifest.capacity} rows. "
            "Run: edgecl verify --deep"
        )
    for row in manifest.rows():
        if not np.isfinite(logits[..., row]).all():
            raise StoreDamaged(
                f"version {manifest.number} answers row {row} with a value that is not finite: its weights or its engine are damaged. "
                "Run: edgecl verify --deep"
            )
