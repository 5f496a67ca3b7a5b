"""Heads in closed form on features that nothing trains: class means, SLDA, ridge regression, RanPAC.

All of them keep sums over the pictures that went by, so the order of the tasks changes nothing at the end; no picture is kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from continual.data import Course, Pictures
from continual.merged import independent
from continual.method import Learned, backbone_costs
from continual.upper import features
from edgecl.backbone import build
from edgecl.merge import merge

Array = np.ndarray[Any, Any]
FLOAT = 4  # bytes


def class_means(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
    """SimpleCIL (Zhou et al. 2023, arXiv 2303.07338): the class whose mean has the largest cosine."""
    sums: dict[int, Array] = {}
    for task in range(len(course.tasks)):
        _add(sums, course.taught(task).labels, course.taught(task).features, course.tasks[task])
        weight = np.stack([total / np.linalg.norm(total) for total in sums.values()])  # a sum has the cosines of its mean
        yield Learned(_linear(weight, np.zeros(len(weight)), list(sums)), 0, backbone_costs(course, len(sums) * weight.shape[1]))


def slda(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
    """Streaming LDA (Hayes & Kanan 2020, arXiv 1909.01520): class means and one running covariance, shrunk by `shrinkage`."""
    d = course.bench.architecture.width
    sums, counts, scatter, n = {}, {}, np.zeros((d, d)), 0  # type: ignore[var-annotated]
    for task in range(len(course.tasks)):
        taught = course.taught(task)
        for x, c in zip(taught.features.astype(np.float64), taught.labels.tolist(), strict=True):
            # One picture at a time, as the method does it: its distance to the mean before it enters the covariance.
            if c in sums:
                delta = x - sums[c] / counts[c]
                scatter += np.outer(delta, delta) * counts[c] / (counts[c] + 1)
            sums[c], counts[c], n = sums.get(c, 0.0) + x, counts.get(c, 0) + 1, n + 1
        means = np.stack([sums[c] / counts[c] for c in sums])
        s = settings["shrinkage"]
        precision = np.linalg.inv((1 - s) * scatter / n + s * np.eye(d))
        weight = means @ precision
        kept = FLOAT * (d * d + len(sums) * d)
        yield Learned(_linear(weight, -0.5 * (weight * means).sum(axis=1), list(sums)), kept, backbone_costs(course, len(sums) * d))


def ridge(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
    """Ridge regression onto one-hot targets from a running Gram matrix (as in ACIL, Zhuang et al. 2022, arXiv 2205.14922)."""
    yield from _ridge(course, settings["ridge"], lambda pictures: pictures.features.astype(np.float64))


def ranpac(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
    """RanPAC (McDonnell et al. 2023, arXiv 2307.02251): ridge regression on ReLU of `m` random projections.

    With `first_session` the upper blocks get a LoRA adapter on the first task, which then stays, as the method has it; it is trained as
    those that are merged in other rows.
    """
    bench, vit = course.bench, course.bench.vit()
    if settings["first_session"]:
        first = independent(course, 0, bench.work / "adapters")
        vit = build(bench.architecture, merge(bench.state, [(first.adapter, {"*": 1.0})]))
    projection = np.random.default_rng(course.seed).standard_normal((bench.architecture.width, settings["m"]))

    def projected(pictures: Pictures) -> Array:
        plain = features(vit, bench, pictures) if settings["first_session"] else pictures.features
        return np.maximum(plain.astype(np.float64) @ projection, 0.0)

    yield from _ridge(course, settings["ridge"], projected, extra=projection.size)


def _ridge(course: Course, penalty: float, view: Any, extra: int = 0) -> Iterator[Learned]:
    """W = (G + penalty * tr(G) / m * I)^-1 C with G = sum of h h' and C = sum of h y'."""
    gram: Any = 0.0
    moments: dict[int, Array] = {}
    for task in range(len(course.tasks)):
        taught = course.taught(task)
        h = view(taught)
        gram = gram + h.T @ h
        _add(moments, taught.labels, h, course.tasks[task])
        m = len(gram)
        weight = np.linalg.solve(gram + penalty * np.trace(gram) / m * np.eye(m), np.stack(list(moments.values())).T).T
        kept = FLOAT * (m * m + len(moments) * m)
        costs = backbone_costs(course, extra + len(moments) * m)
        yield Learned(_linear(weight, np.zeros(len(weight)), list(moments), view), kept, costs)


def _add(sums: dict[int, Array], labels: Array, rows: Array, classes: Sequence[int]) -> None:
    """Each class's `rows`, added up, to what earlier tasks brought of it."""
    for c in classes:
        sums[c] = sums.get(c, 0.0) + rows[labels == c].sum(axis=0)


def _linear(weight: Array, bias: Array, classes: list[int], view: Any = lambda pictures: pictures.features) -> Any:
    numbers = np.array(classes)
    return lambda pictures: numbers[(view(pictures) @ weight.T + bias).argmax(axis=1)]
