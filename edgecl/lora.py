"""Low-rank adaptation while a task is learned: attach to a model, train, detach as an `Adapter`.

h = (W + (alpha / rank) * B A) x,   B = 0 at the start        (LoRA, arXiv 2106.09685, equation 3)

It is trained in the form in which it will be merged: a sum of two matrices for each step instead of a second path for every token, which on a CPU
took a quarter of a step (benchmarks/training_step.py).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecl.adapter import Adapter
from edgecl.merge import Coefficients, coefficient_of


class LoRALinear(nn.Module):
    """A frozen Linear with a trainable low-rank update of its weight."""

    def __init__(self, linear: "nn.Linear | LoRALinear", rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = linear
        self.in_features: int = linear.in_features
        self.out_features: int = linear.out_features
        self.scale = alpha / rank
        bound = 1 / math.sqrt(linear.in_features)
        device = next(linear.parameters()).device
        # Drawn on the CPU, whose generator gives the same numbers everywhere.
        drawn = torch.empty(rank, linear.in_features).uniform_(-bound, bound, generator=generator)
        self.a = nn.Parameter(drawn.to(device))
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank, device=device))

    @property
    def weight(self) -> Tensor:
        """`[out, in]`, as it will be merged; summed in float32, for a small update is less than one step of a 16-bit weight."""
        return self.linear.weight + self.scale * (self.b @ self.a)

    @property
    def bias(self) -> Tensor | None:
        """Of the Linear inside, which has no update."""
        return self.linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in] -> [..., out]`"""
        return functional.linear(x, self.weight, self.bias)


def attach(model: nn.Module, targets: Sequence[str], *, rank: int, alpha: float, seed: int) -> dict[str, LoRALinear]:
    """Replace each target Linear by a LoRALinear that computes the same at first; A is a function of the seed."""
    generator = torch.Generator().manual_seed(seed)
    layers = {}
    for target in targets:
        parent, child = _locate(model, target)
        linear = getattr(parent, child)
        if not isinstance(linear, nn.Linear | LoRALinear):
            raise TypeError(f"{target} is a {type(linear).__name__}; an adapter needs a Linear")
        layers[target] = LoRALinear(linear, rank, alpha, generator)
        setattr(parent, child, layers[target])
    return layers


def detach(model: nn.Module, layers: dict[str, LoRALinear], *, rank: int, alpha: float) -> Adapter:
    """Put the original Linears back and return what was learned, rounded to fp16."""
    for target, layer in layers.items():
        parent, child = _locate(model, target)
        setattr(parent, child, layer.linear)
    return Adapter(rank, alpha, {t: _half(layer.a) for t, layer in layers.items()}, {t: _half(layer.b) for t, layer in layers.items()})


@contextmanager
def attached(model: nn.Module, adapters: Sequence[Adapter], coefficients: Sequence[float | Coefficients]) -> Iterator[None]:
    """Hold finished adapters live beside the weights, each times its coefficient (one, or one per target): what the merge must equal.

    Every token goes through W x and through B A x: other arithmetic than the merge's, so that the two can be compared.

    Raises:
        BadInput: coefficients per target that name neither a target of the adapter nor `*`.
    """
    hooks = []
    try:
        for adapter, coefficient in zip(adapters, coefficients, strict=True):
            for target in adapter.targets:
                part = coefficient if isinstance(coefficient, float | int) else coefficient_of(coefficient, target)
                linear = model.get_submodule(target)
                hooks.append(linear.register_forward_hook(_beside(adapter, target, part, next(linear.parameters()).device)))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _beside(
    adapter: Adapter, target: str, coefficient: float, device: torch.device
) -> Callable[[nn.Module, tuple[Tensor], Tensor], Tensor]:
    """Adds one adapter's part to what a Linear gives."""
    a, b = (torch.from_numpy(factor[target].astype(np.float32)).to(device) for factor in (adapter.a, adapter.b))
    scale = adapter.alpha / adapter.rank * coefficient
    return lambda linear, inputs, output: output + scale * (inputs[0] @ a.T @ b.T)


def _locate(model: nn.Module, target: str) -> tuple[nn.Module, str]:
    path, _, child = target.rpartition(".")
    return model.get_submodule(path), child


def _half(values: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
    return values.detach().cpu().numpy().astype(np.float16)
