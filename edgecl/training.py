"""The gradient part of one task: an adapter and a throw-away linear head, trained together on new and remembered pictures."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgecl import lora
from edgecl.adapter import Adapter
from edgecl.architecture import Architecture, linear_targets
from edgecl.augment import augment
from edgecl.backbone import Vit
from edgecl.settings import AdapterShape, LearnSettings

Array = NDArray[Any]
_GradScaler: Any = getattr(torch.amp, "GradScaler", None) or torch.cuda.amp.GradScaler  # its place before torch 2.3


@dataclass(frozen=True)
class Example:
    """One picture that may be trained on."""

    rgb: NDArray[np.uint8]  # [h, w, 3], larger than the input so that crops differ
    target: int  # column of the training head
    new: bool  # from this task, or remembered


def train_adapter(
    vit: Vit,
    architecture: Architecture,
    examples: Sequence[Example],
    *,
    head_weight: Array,
    head_bias: Array,
    shape: AdapterShape,
    settings: LearnSettings,
    progress: Callable[[int, int], None],
) -> Adapter:
    """Train a new adapter from the weights that `vit` holds, and take it off again; `vit` is left as it was.

    Args:
        head_weight, head_bias: where the training head `[k, d]`, `[k]` starts from.
        progress: called with (steps done, steps in all).
    """
    targets = linear_targets(architecture, shape.first_block)
    layers = lora.attach(vit.model, targets, rank=shape.rank, alpha=shape.alpha, seed=settings.seed)
    head = _linear(head_weight, head_bias).to(vit.device)
    mixed = mixed_precision(vit.device)
    # fp16 has few exponents: gradients are scaled up on their way back.
    scaler = _GradScaler() if mixed is torch.float16 else None
    trained = [p for layer in layers.values() for p in (layer.a, layer.b)]
    optimiser = torch.optim.AdamW([*trained, *head.parameters()], lr=settings.learning_rate, weight_decay=settings.weight_decay)
    epochs = [
        epoch_order(examples, seed=settings.seed, epoch=epoch, batch=settings.batch, replay_per_new=settings.replay_per_new)
        for epoch in range(settings.epochs)
    ]
    steps = sum(len(batches) for batches in epochs)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate_factor(step, steps, settings.warmup))
    done = 0
    for epoch, batches in enumerate(epochs):
        for batch in batches:
            pictures = [augment(examples[i].rgb, size=architecture.image_size, seed=settings.seed, epoch=epoch, index=i) for i in batch]
            targets_of = [examples[i].target for i in batch]
            loss = _loss(vit, head, pictures, targets_of, shape.first_block, settings.label_smoothing, mixed)
            optimiser.zero_grad()
            if scaler is None:
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            else:
                scaler.scale(loss).backward()
                scaler.step(optimiser)
                scaler.update()
            schedule.step()
            done += 1
            progress(done, steps)
    return lora.detach(vit.model, layers, rank=shape.rank, alpha=shape.alpha)


def epoch_order(examples: Sequence[Example], *, seed: int, epoch: int, batch: int, replay_per_new: float) -> list[list[int]]:
    """Batches of indices: every new picture once, and up to `replay_per_new` times as many remembered ones, sampled anew in each epoch.

    Time per task so depends on what is new, not on how much was learned before.
    """
    random = np.random.default_rng([seed, epoch])
    new = [i for i, example in enumerate(examples) if example.new]
    kept = [i for i, example in enumerate(examples) if not example.new]
    sampled = random.permutation(kept)[: round(replay_per_new * len(new))].tolist() if kept else []
    order = [int(i) for i in random.permutation(new + sampled)]
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over the first part, then half a cosine to zero (Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5)."""
    rising = max(1.0, warmup * steps)
    falling = 0.5 * (1 + float(np.cos(np.pi * step / max(1, steps))))
    return min((step + 1) / rising, falling)


def _loss(
    vit: Vit,
    head: nn.Linear,
    pictures: Sequence[Array],
    targets: Sequence[int],
    first_block: int,
    smoothing: float,
    mixed: torch.dtype | None,
) -> Tensor:
    with nullcontext() if mixed is None else torch.autocast(vit.device.type, mixed):
        with torch.no_grad():
            tokens = vit.lower(torch.from_numpy(np.stack(pictures)), first_block)
        features = vit.upper(tokens, first_block)
    return functional.cross_entropy(head(features.float()), torch.tensor(targets, device=vit.device), label_smoothing=smoothing)


def _linear(weight: Array, bias: Array) -> nn.Linear:
    head = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
        head.bias.copy_(torch.from_numpy(bias.astype(np.float32)))
    return head


def sees_gpu() -> bool:
    """Whether torch can compute on the GPU: one that was built for other GPUs finds this one and fails at its first step."""
    if not torch.cuda.is_available():
        return False
    try:
        return float((torch.ones(2, device="cuda") * 2).sum()) == 4.0
    except (RuntimeError, AssertionError):  # torch asserts that it was built with CUDA
        return False


def mixed_precision(device: torch.device) -> torch.dtype | None:
    """The 16-bit type that training multiplies in: bfloat16 where the hardware does (Ampere and later, some CPUs), else fp16 on a GPU; None
    on a CPU that would emulate it, slower than float32.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    return torch.bfloat16 if _bfloat16_is_fast() else None


def _bfloat16_is_fast() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    capable = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(capable is not None and capable())
