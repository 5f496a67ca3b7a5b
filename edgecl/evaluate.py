"""How good a version is: accuracy on class folders, and the figures of continual learning over a row of versions."""

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import BadInput
from edgecl.manifest import BACKGROUND, Manifest
from edgecl.runtime.base import Predictor
from edgecl.runtime.decide import check_logits, softmax, unknown_score

Labelled = tuple[str, NDArray[np.uint8]]
"""A class folder's name and a picture `[s, s, 3]` at the model's input size."""

CONFUSIONS = 10  # pairs that are kept
Z_95 = 1.959964  # standard deviations on either side that hold 95 % of a normal distribution


@dataclass(frozen=True)
class ClassAccuracy:
    """One class's pictures and the part of them that was named right."""

    n: int
    accuracy: float


@dataclass(frozen=True)
class Confusion:
    """Pictures of one class that were taken for another."""

    true: str
    answered: str
    n: int


@dataclass(frozen=True)
class Evaluation:
    """What a version made of a folder of classes. Accuracy asks for the best class alone, whether or not it was `unknown`."""

    version: int
    n: int  # pictures of classes that the version knows; all figures are over these
    accuracy: float
    per_class: Mapping[str, ClassAccuracy]
    confusions: tuple[Confusion, ...]  # the most frequent first
    unknown_rate: float  # part that was called unknown
    unlearned: Mapping[str, int]  # folders that are no class of the version, and their pictures

    def to_json(self) -> dict[str, Any]:
        """`edgecl.evaluation/1`."""
        return {
            "format": "edgecl.evaluation/1",
            "version": self.version,
            "n": self.n,
            "accuracy": self.accuracy,
            "per_class": {name: {"n": figures.n, "accuracy": figures.accuracy} for name, figures in self.per_class.items()},
            "confusions": [{"true": pair.true, "answered": pair.answered, "n": pair.n} for pair in self.confusions],
            "unknown_rate": self.unknown_rate,
            "unlearned": dict(self.unlearned),
        }


def evaluate(
    predictor: Predictor,
    pictures: Iterable[Labelled],
    manifest: Manifest,
    *,
    batch: int = 32,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Ask `predictor`, which has the version of `manifest` loaded, for each picture's class.

    `progress` gets the number of pictures seen so far, after each batch of at most `batch` pictures.

    Raises:
        BadInput: no picture at all, or none of the folder's classes is known to the version.
        StoreDamaged: the model answers with another number of rows than the manifest says, or with values that are not finite.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    unlearned: Counter[str] = Counter()
    unknown = seen = 0
    for part in _batches(pictures, batch):
        known = [(_normal(name), picture) for name, picture in part if manifest.class_by_name(name)]
        unlearned.update(_normal(name) for name, _ in part if not manifest.class_by_name(name))
        if known:
            answers, strange = _answers(predictor, np.stack([picture for _, picture in known]), manifest)
            pairs.update(zip((name for name, _ in known), answers, strict=True))
            unknown += strange
        seen += len(part)
        if progress:
            progress(seen)
    if not pairs:
        raise BadInput(_nothing_known(unlearned, manifest))
    return _summary(pairs, unlearned, unknown, manifest)


def _batches(pictures: Iterable[Labelled], size: int) -> Iterator[list[Labelled]]:
    iterator = iter(pictures)
    while part := list(islice(iterator, size)):
        yield part


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _answers(predictor: Predictor, pictures: NDArray[np.uint8], manifest: Manifest) -> tuple[list[str], int]:
    """The best class of each picture `[b, s, s, 3]`, and how many were called unknown."""
    logits, _ = predictor.infer(pictures)
    check_logits(logits, manifest)
    rows = manifest.rows()
    probabilities = softmax(logits, rows)
    by_row = {entry.row: entry.name for entry in manifest.classes}
    names = [by_row[rows[column]] for column in probabilities.argmax(axis=1)]
    far = unknown_score(logits, probabilities, rows, manifest.thresholds) > manifest.thresholds.unknown_above
    return names, sum(bool(strange) and name != BACKGROUND for name, strange in zip(names, far, strict=True))


def _summary(pairs: Counter[tuple[str, str]], unlearned: Counter[str], unknown: int, manifest: Manifest) -> Evaluation:
    counts: Counter[str] = Counter()
    for (true, _), n in pairs.items():
        counts[true] += n
    right = {name: pairs[name, name] for name in counts}
    wrong = sorted(((-n, true, given) for (true, given), n in pairs.items() if true != given))
    total = counts.total()
    return Evaluation(
        version=manifest.number,
        n=total,
        accuracy=sum(right.values()) / total,
        per_class={name: ClassAccuracy(counts[name], right[name] / counts[name]) for name in sorted(counts)},
        confusions=tuple(Confusion(true, given, -n) for n, true, given in wrong[:CONFUSIONS]),
        unknown_rate=unknown / total,
        unlearned={name: unlearned[name] for name in sorted(unlearned)},
    )


def _nothing_known(unlearned: Counter[str], manifest: Manifest) -> str:
    known = sorted(entry.name for entry in manifest.classes)
    if not unlearned:
        return "there is no picture to evaluate; expected class folders with pictures in them"
    return (
        f"version {manifest.number} knows none of the {len(unlearned)} classes to evaluate ({_some(sorted(unlearned))}); it knows "
        f"{_some(known) or 'no class at all'}. Teach them with: edgecl learn --task DIR, or name the folders as the classes are named"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


# Confidence. A score for `unknown` is larger for what is less known.


def expected_calibration_error(confidence: NDArray[Any], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean over pictures of |accuracy - confidence| of the bin that a picture lies in (ECE, Guo et al. 2017, arXiv 1706.04599, eq. 3).

    `confidence` `[n]` is the probability of the answer, `right` `[n]` whether it was right; `bins` are equally wide over 0..1, each with
    its upper end.
    """
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = [abs(float(right[place == b].mean()) - float(confidence[place == b].mean())) * (place == b).sum() for b in np.unique(place)]
    return float(sum(gaps) / len(confidence))


def auroc(known: NDArray[Any], unknown: NDArray[Any]) -> float:
    """How likely a picture of no known class scores above one of a known class; ties count half. Scores `[n]` and `[m]`."""
    order = np.sort(known)
    below, not_above = np.searchsorted(order, unknown, "left"), np.searchsorted(order, unknown, "right")
    return float((below + not_above).mean() / (2 * len(known)))


def false_positives(known: NDArray[Any], unknown: NDArray[Any], *, kept: float = 0.95) -> float:
    """Part of the unknown pictures that pass as known at the limit that passes `kept` of the known ones (FPR at 95 % TPR)."""
    return float((unknown <= np.quantile(known, kept)).mean())


# Continual learning. `matrix[i, j]` is the accuracy on task j after learning task i, [t, t]; NaN where task j was not seen yet (j > i).


def average_accuracy(matrix: NDArray[Any]) -> float:
    """Mean over all tasks after the last one: mean_j R[t-1, j] (ACC of Lopez-Paz & Ranzato 2017, arXiv 1706.08840).

    Raises:
        BadInput: the matrix is not square, or has NaN at or below the diagonal.
    """
    return float(_checked(matrix)[-1].mean())


def average_incremental_accuracy(matrix: NDArray[Any]) -> float:
    """Mean over i of the mean accuracy on the tasks seen after task i: mean_i mean_{j<=i} R[i, j] (Rebuffi 2017, arXiv 1611.07725).

    Every task counts the same, whatever its number of classes or pictures.

    Raises:
        BadInput: the matrix is not square, or has NaN at or below the diagonal.
    """
    checked = _checked(matrix)
    return float(np.mean([checked[i, : i + 1].mean() for i in range(len(checked))]))


def forgetting(matrix: NDArray[Any]) -> float:
    """Mean over all tasks but the last of (best accuracy it ever had before the last task) - (accuracy after the last task).

    mean_{j<t-1} (max_{l<t-1} R[l, j] - R[t-1, j]), the forgetting measure of Chaudhry 2018 (arXiv 1801.10112); rows l < j, where
    task j was not seen yet, do not count. Negative when the last task helped; 0 for a single task.

    Raises:
        BadInput: the matrix is not square, or has NaN at or below the diagonal.
    """
    checked = _checked(matrix)
    last = len(checked) - 1
    return _mean([checked[task:last, task].max() - checked[last, task] for task in range(last)])


def backward_transfer(matrix: NDArray[Any]) -> float:
    """mean_{j<t-1} (R[t-1, j] - R[j, j]) (BWT of Lopez-Paz & Ranzato 2017, arXiv 1706.08840); 0 for a single task.

    Raises:
        BadInput: the matrix is not square, or has NaN at or below the diagonal.
    """
    checked = _checked(matrix)
    last = len(checked) - 1
    return _mean([checked[last, task] - checked[task, task] for task in range(last)])


def confidence_interval(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy of `right` out of `n` pictures (Wilson 1927); (0, 1) without pictures.

    It holds for pictures that were drawn at random and independently, and unlike the usual +- it stays sensible at 0 % and 100 %.
    """
    if n == 0:
        return 0.0, 1.0
    part, z2 = right / n, Z_95**2
    middle = (part + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z_95 / (1 + z2 / n) * math.sqrt(part * (1 - part) / n + z2 / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _checked(matrix: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.size:
        raise BadInput(f"the accuracy matrix has shape {list(values.shape)}, expected [t, t] with one row and one column per task")
    unseen = [(int(i), int(j)) for i, j in np.argwhere(~np.isfinite(values)) if j <= i]
    if unseen:
        i, j = unseen[0]
        raise BadInput(f"the accuracy matrix has no value for task {j} after task {i}; evaluate every seen task after every task")
    return values


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
