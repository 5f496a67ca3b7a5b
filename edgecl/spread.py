"""How far the pictures of a class lie around its mean, known of every picture that was ever learned from. Pure numpy.

A head in closed form needs the covariance within classes. The few pictures that the memory keeps, chosen for being typical, say little of it; all
that a task brings say more, and what they said is carried along when the backbone moves (`edgecl.gaussians.transported`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.gaussians import Gaussians, transported, within

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Spread:
    """What is known of it before a task, and the task's samples to go on from."""

    known: Gaussians | None  # of the version before; None where it did not keep any
    others: int  # how many classes `known` still stands for: those that bring no new pictures
    before: Array  # `[n, d]`, the samples as the version before sees them
    rows: Array  # `[n]`
    fit: Array  # indices of the samples that may be fitted on,
    new: Array  # and of those among them that the task brings

    def covariance(self, features: Array) -> Array:
        """`[d, d]` within classes, each class counting the same, by weights that give the samples `features [n, d]`.

        Without anything known: that of the samples alone.
        """
        if self.known is None:
            return within(features[self.fit], self.rows[self.fit])
        old = transported(self.known, self.before[self.fit], features[self.fit]).covariance
        taught = np.unique(self.rows[self.new])
        own = self.fit[np.isin(self.rows[self.fit], taught)]  # with what is kept of those that were known: they may look otherwise now
        classes = len(taught)
        return np.asarray((self.others * old + classes * within(features[own], self.rows[own])) / (self.others + classes))
