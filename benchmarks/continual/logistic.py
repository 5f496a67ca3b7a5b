"""Multinomial logistic regression on fixed features, to its end."""

from typing import Any

import numpy as np
import torch
from torch import nn

Array = np.ndarray[Any, Any]


def logistic_regression(features: Array, columns: Array, *, decay: float) -> tuple[Array, Array]:
    """Weight `[k, d]` and bias `[k]` from `features [n, d]` of the classes `columns [n]`, 0 to k - 1, by L-BFGS from zeros.

    Features are brought to unit spread first, on which `decay` acts.
    """
    scale = float(features.std())
    x, y = torch.from_numpy(features / scale), torch.from_numpy(columns)
    head = nn.Linear(x.shape[1], int(columns.max()) + 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=500, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(head(x), y) + decay * head.weight.square().sum() / 2
        loss.backward()
        return loss

    optimiser.step(closure)
    return head.weight.detach().numpy() / scale, head.bias.detach().numpy()
