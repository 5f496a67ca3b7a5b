"""Classes without their pictures: one mean per class and one shared covariance in feature space. Pure numpy.

A head in closed form (`edgecl.head`) asks nothing else of a class, so a bundle can teach classes without a picture leaving the board.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.layout import safetensors_bytes
from edgecl.tensors import parsed_tensors

Array = NDArray[Any]
STIFFNESS = 3.0  # of the map between two backbones, as a part of the variance of the anchors per direction
_MEAN = "mean."
DIRECTIONS = 96  # along which the points of a class are spread


@dataclass(frozen=True, eq=False)
class Gaussians:
    """`means[class id]` is `[d]`; `covariance` `[d, d]` is that within the classes, each class counting the same. float32."""

    means: Mapping[str, NDArray[np.float32]]
    covariance: NDArray[np.float32]

    def only(self, class_ids: Iterable[str]) -> "Gaussians":
        """Those of `class_ids` that are there."""
        return Gaussians({id: self.means[id] for id in class_ids if id in self.means}, self.covariance)

    def to_bytes(self) -> bytes:
        """`statistics.safetensors`, classes in the order of their ids"""
        return safetensors_bytes({"covariance": self.covariance, **{f"{_MEAN}{id}": self.means[id] for id in sorted(self.means)}})


def parse_gaussians(data: bytes, width: int) -> Gaussians:
    """What `Gaussians.to_bytes` wrote, of features `[width]`.

    Raises:
        ValueError: it is something else.
    """
    arrays = parsed_tensors(data)
    covariance = arrays.pop("covariance", None)
    shapes = {value.shape for value in arrays.values()} - {(width,)}
    if covariance is None or covariance.shape != (width, width) or shapes or any(not name.startswith(_MEAN) for name in arrays):
        raise ValueError(f"it does not hold one covariance [{width}, {width}] and means [{width}] by class")
    if any(value.dtype != np.float32 or not np.isfinite(value).all() for value in (covariance, *arrays.values())):
        raise ValueError("its values are not finite float32")
    return Gaussians({name.removeprefix(_MEAN): mean for name, mean in sorted(arrays.items())}, covariance)


def within(features: Array, groups: Array) -> Array:
    """`[d, d]`: the covariance of `features [n, d]` around the mean of their group `[n]`, each group counting the same."""
    x, (names, group, sizes) = np.asarray(features, np.float64), np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), x.shape[1]))
    np.add.at(sums, group, x)
    residuals = x - (sums / sizes[:, None])[group]
    return np.asarray((residuals / sizes[group][:, None]).T @ residuals / max(len(names), 1))


def measured(features: Array, class_ids: Sequence[str]) -> Gaussians:
    """Of `features [n, d]`, one class id each; n may be 0. A class with one picture adds its mean and no spread."""
    x, ids = np.asarray(features, np.float64), np.array(class_ids, dtype=str)
    means = {str(id): x[ids == id].mean(axis=0).astype(np.float32) for id in dict.fromkeys(class_ids)}
    return Gaussians(means, within(x, ids).astype(np.float32))


def transported(gaussians: Gaussians, before: Array, after: Array, *, stiffness: float = STIFFNESS) -> Gaussians:
    """Follow a backbone that moved, by pictures that were seen with both: `before` and `after` are `[n, d]` of the same n anchors.

    An affine map by ridge regression of the anchors' drift, so that it goes to the anchors' mean drift where they say nothing more:

        m' = m + mean(after - before) + (m - mean(before)) D,    D = (X' X + l I)^-1 X' R,    l = stiffness * tr(X' X) / d

    with X and R the centred anchors and drifts; the covariance becomes (I + D)' S (I + D). Drift is estimated from what is at hand as in
    Yu et al. 2020 (SDC, arXiv 2004.00440), and as a linear map as in Gomez-Villa et al. 2024 (LDC, arXiv 2407.08536). Without an anchor
    nothing is known and nothing is changed.
    """
    if len(before) == 0:
        return gaussians
    x0, drift = np.asarray(before, np.float64), np.asarray(after, np.float64) - before
    centre, shift = x0.mean(axis=0), drift.mean(axis=0)
    x, r = x0 - centre, drift - shift
    gram, unit = x.T @ x, np.eye(x.shape[1])
    ridge = max(stiffness * float(np.trace(gram)) / len(gram), 1e-12)
    d = np.linalg.solve(gram + ridge * unit, x.T @ r)
    turn = unit + d
    means = {id: (mean + shift + (mean - centre) @ d).astype(np.float32) for id, mean in gaussians.means.items()}
    return Gaussians(means, (turn.T @ gaussians.covariance @ turn).astype(np.float32))


def points(gaussians: Gaussians) -> tuple[NDArray[np.float32], list[str]]:
    """Stand-ins for pictures, `[n, d]` and their class ids: their means are the means and their covariance is the covariance.

    Pairs m +- sqrt(k l_i) u_i along the k leading eigenvectors, which get the variance of the others besides (sigma points of Julier &
    Uhlmann 1997, without the one in the middle). Without any spread, the means alone.
    """
    values, vectors = np.linalg.eigh(np.asarray(gaussians.covariance, np.float64))
    values, vectors = values[::-1][:DIRECTIONS].clip(min=0.0), vectors[:, ::-1][:, :DIRECTIONS]
    kept = values > 1e-9 * max(float(values[0]), 1e-12)
    ids = list(gaussians.means)
    means = np.stack([gaussians.means[id] for id in ids]) if ids else np.zeros((0, len(vectors)), np.float32)
    if not kept.any():
        return means, ids
    values = values[kept] * float(np.trace(gaussians.covariance)) / values[kept].sum()
    offsets = np.sqrt(kept.sum() * values)[:, None] * vectors[:, kept].T  # [k, d]
    offsets = np.concatenate([offsets, -offsets])
    spread = means[:, None, :] + offsets[None]  # [c, 2k, d]
    return spread.reshape(-1, means.shape[1]).astype(np.float32), [id for id in ids for _ in offsets]
