"""Gradient training of the upper blocks: the one loop that joint training, first-session adaptation and independent adapters share."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from continual.data import VIEWS, Bench, Pictures
from edgecl import lora
from edgecl.adapter import Adapter
from edgecl.architecture import linear_targets
from edgecl.backbone import Vit
from edgecl.runtime.eager import features_of
from edgecl.training import learning_rate_factor, mixed_precision

Array = np.ndarray[Any, Any]
BATCH = 16  # pictures
WARMUP, WEIGHT_DECAY, SMOOTHING = 0.1, 0.01, 0.1  # edgecl's
RANK, ALPHA = 8, 16.0  # edgecl's


class Classifier(nn.Module):
    """Tokens at the first trained block `[b, t, d]` -> logits `[b, c]`, multiplied in bfloat16 where edgecl does so, too."""

    def __init__(self, vit: Vit, first_block: int, classes: int) -> None:
        super().__init__()
        self.vit, self.first_block = vit, first_block
        self.head = nn.Linear(vit.width, classes)
        self.mixed = mixed_precision(vit.device)

    def features(self, tokens: Tensor) -> Tensor:
        """`[b, t, d] -> [b, d]`"""
        with nullcontext() if self.mixed is None else torch.autocast("cpu", self.mixed):
            return self.vit.upper(tokens, self.first_block).float()  # type: ignore[no-any-return]

    def forward(self, tokens: Tensor) -> Tensor:
        """`[b, t, d] -> [b, c]`"""
        return self.head(self.features(tokens))  # type: ignore[no-any-return]


def upper_parameters(vit: Vit, first_block: int) -> list[nn.Parameter]:
    """Everything in the trained blocks and after them, made trainable: what full fine-tuning changes."""
    found = [*vit.model.blocks[first_block:].parameters(), *vit.model.norm.parameters(), *vit.model.fc_norm.parameters()]
    for parameter in found:
        parameter.requires_grad_(True)
    return found


def fit(
    model: Classifier, parameters: Sequence[nn.Parameter], pictures: Pictures, targets: Array, *, learning_rate: float, epochs: int, seed: int,
    augmented: bool,
) -> None:  # fmt: skip
    """AdamW with edgecl's schedule, label smoothing and batch size; `targets [n]` are columns of the head.

    With `augmented`, epoch e sees view 1 + e % VIEWS of each picture.
    """
    optimiser = torch.optim.AdamW([*parameters, *model.head.parameters()], lr=learning_rate, weight_decay=WEIGHT_DECAY)
    steps, done = epochs * -(-len(pictures) // BATCH), 0
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(pictures))
        view = 1 + epoch % VIEWS if augmented else 0
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * learning_rate_factor(done, steps, WARMUP)
            loss = functional.cross_entropy(
                model(pictures.tokens(batch, view)), torch.from_numpy(targets[batch]), label_smoothing=SMOOTHING
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            done += 1


def adapter_of(
    bench: Bench, pictures: Pictures, *, learning_rate: float, epochs: int, seed: int, augmented: bool = False
) -> tuple[Adapter, nn.Linear, Array]:
    """An adapter of edgecl's shape, trained from the backbone as it came; also its head, and the classes of the head's columns."""
    torch.manual_seed(seed)
    vit, classes = bench.vit(), np.unique(pictures.labels)
    model = Classifier(vit, bench.first_block, len(classes))
    layers = lora.attach(vit.model, linear_targets(bench.architecture, bench.first_block), rank=RANK, alpha=ALPHA, seed=seed)
    parameters = [p for layer in layers.values() for p in (layer.a, layer.b)]
    columns = np.searchsorted(classes, pictures.labels)
    fit(model, parameters, pictures, columns, learning_rate=learning_rate, epochs=epochs, seed=seed, augmented=augmented)
    return lora.detach(vit.model, layers, rank=RANK, alpha=ALPHA), model.head, classes


def features(vit: Vit, bench: Bench, pictures: Pictures) -> Array:
    """`[n, d]` of the pictures as they are."""
    parts = [features_of(vit, pictures.tokens(slice(i, i + 64)), bench.first_block) for i in range(0, len(pictures), 64)]
    return np.concatenate([np.zeros((0, vit.width), np.float32), *parts])
