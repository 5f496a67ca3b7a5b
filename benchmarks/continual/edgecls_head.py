"""edgecl's head for a learner that trains the backbone in another way, fitted as edgecl fits it.

On the kept pictures and all that a task brings, with the covariance within classes of every picture so far, carried along with the backbone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from continual.data import Bench, Pictures
from continual.upper import features
from edgecl.backbone import Vit
from edgecl.gaussians import Gaussians
from edgecl.head import fit_head
from edgecl.runtime.eager import features_of
from edgecl.spread import Spread

Array = np.ndarray[Any, Any]


class EdgeclsHead:
    """`before` each task's training and `after` it; `vit` is what is trained in between."""

    def __init__(self, bench: Bench, vit: Vit) -> None:
        self._bench, self._vit = bench, vit
        self._known: Gaussians | None = None
        self._seen: set[int] = set()

    def before(self, taught: Pictures, kept: Sequence[Tensor], kept_labels: Array) -> None:
        """Look with the backbone as it is at what a task brings, and at the tokens of older pictures."""
        self._taught, self._kept = taught, kept
        self._labels = np.concatenate([taught.labels, kept_labels])
        self._unmoved = self._features()

    def after(self) -> Callable[[Pictures], Array]:
        """What answers by the head, class numbers `[n]`, when the backbone has been trained."""
        brought, fit = set(self._taught.labels.tolist()), np.arange(len(self._labels))
        spread = Spread(
            self._known, len(self._seen - brought), self._unmoved, self._labels, fit=fit, new=fit[: len(self._taught)]
        )  # fmt: skip
        found, numbers = self._features(), np.unique(self._labels)
        covariance = spread.covariance(found)
        self._known, self._seen = Gaussians({}, covariance.astype(np.float32)), self._seen | brought
        head = fit_head(found, np.searchsorted(numbers, self._labels), capacity=len(numbers), covariance=covariance)
        return lambda pictures: numbers[head.logits(features(self._vit, self._bench, pictures)).argmax(axis=1)]

    def _features(self) -> Array:
        self._vit.eval()
        kept = [features_of(self._vit, torch.stack(list(self._kept)), self._bench.first_block)] if self._kept else []
        return np.concatenate([features(self._vit, self._bench, self._taught), *kept])
