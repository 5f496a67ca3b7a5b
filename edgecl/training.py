"""The gradient part of one task: an adapter and a throw-away linear head, trained together on new and remembered pictures."""

import functools
from collections.abc import Callable, Mapping, Sequence
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
from edgecl.economy import Economy
from edgecl.errors import Interrupted
from edgecl.guard import GO_ON, Guard
from edgecl.settings import AdapterShape, LearnSettings

Array = NDArray[Any]
_GradScaler: Any = getattr(torch.amp, "GradScaler", None) or torch.cuda.amp.GradScaler  # its place before torch 2.3


@dataclass(frozen=True)
class Example:
    """One picture that may be trained on."""

    rgb: NDArray[np.uint8]  # [h, w, 3], larger than the input so that crops differ
    target: int  # column of the training head
    new: bool  # from this task, or remembered


@dataclass(frozen=True)
class Position:
    """Where training stands: enough to go on and end in the same bytes."""

    steps: int  # done
    economy: Economy
    tensors: Mapping[str, Array]  # `_Trained.tensors`


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
    at_once: int | None = None,
    guard: Guard | None = None,
    start: Position | None = None,
    keep: Callable[[Position], None] = lambda position: None,
) -> Adapter:
    """Train a new adapter from the weights that `vit` holds, and take it off again; `vit` is left as it was.

    Args:
        head_weight, head_bias: where the training head `[k, d]`, `[k]` starts from.
        progress: called with (steps done, steps in all).
        at_once: pictures of a batch that the memory holds together; None: the whole batch.
        guard: asked between two steps.
        start: where an interrupted training of the same examples and settings stood.
        keep: told the position when a checkpoint is due, and at the end.

    Raises:
        Interrupted: the guard stopped it, or the memory does not suffice for one picture and one block; the position was kept.
    """
    guard = guard or Guard()
    trained = _Trained.attached(vit, linear_targets(architecture, shape.first_block), head_weight, head_bias, shape, settings)
    economy, first = Economy(at_once=min(at_once or settings.batch, settings.batch), train_from=shape.first_block), 0

    def save(steps: int, economy: Economy) -> None:
        keep(Position(steps, economy, trained.tensors()))

    if start is not None:
        trained.restore(start.tensors)
        economy, first = start.economy, start.steps
    batches = [batch for epoch in range(settings.epochs) for batch in _epoch(examples, settings, epoch)]
    size, seed = architecture.image_size, settings.seed
    for done, batch in enumerate(batches[first:], first):
        pictures = [augment(examples[i].rgb, size=size, seed=seed, step=done, place=place) for place, i in enumerate(batch)]
        targets = [examples[i].target for i in batch]
        while not trained.gradients(pictures, targets, economy):
            save(done, economy)
            economy = _cheaper(economy, architecture.depth, guard, "the memory is full")
        trained.step(learning_rate_factor(done, len(batches), settings.warmup))
        progress(done + 1, len(batches))
        if guard.between_steps(done + 1, len(batches), functools.partial(save, done + 1, economy)):
            economy = _cheaper(economy, architecture.depth, guard, "little memory is left to others")
    save(len(batches), economy)
    return lora.detach(vit.model, trained.layers, rank=shape.rank, alpha=shape.alpha)


def _cheaper(economy: Economy, depth: int, guard: Guard, why: str) -> Economy:
    """The next smaller economy, said and recorded."""
    smaller = economy.cheaper(depth)
    if smaller is None:
        raise Interrupted(
            f"stopped: {why}, also with one picture at once and one block. End other programs. What was learned is kept. {GO_ON}"
        )
    guard.record(f"{why}: {smaller[1]}")
    return smaller[0]


def _epoch(examples: Sequence[Example], settings: LearnSettings, epoch: int) -> list[list[int]]:
    return epoch_order(examples, seed=settings.seed, epoch=epoch, batch=settings.batch, replay_per_new=settings.replay_per_new)


@dataclass
class _Trained:
    """What the gradient changes, and the optimiser that changes it."""

    vit: Vit
    layers: dict[str, lora.LoRALinear]
    head: nn.Linear
    optimiser: torch.optim.AdamW
    settings: LearnSettings
    mixed: torch.dtype | None  # what is multiplied in, None for float32
    scaler: Any = None  # fp16 has few exponents: gradients are scaled up on their way back

    @classmethod
    def attached(
        cls, vit: Vit, targets: Sequence[str], head_weight: Array, head_bias: Array, shape: AdapterShape, settings: LearnSettings
    ) -> "_Trained":
        layers = lora.attach(vit.model, targets, rank=shape.rank, alpha=shape.alpha, seed=settings.seed)
        head, mixed = _linear(head_weight, head_bias).to(vit.device), mixed_precision(vit.device)
        parameters = [*(p for layer in layers.values() for p in (layer.a, layer.b)), *head.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        return cls(vit, layers, head, optimiser, settings, mixed, _GradScaler() if mixed is torch.float16 else None)

    def gradients(self, pictures: Sequence[Array], targets: Sequence[int], economy: Economy) -> bool:
        """Of the mean loss over the batch, added up from parts of `economy.at_once` pictures; returns False when the memory is full."""
        self.optimiser.zero_grad()
        self.vit.recompute = economy.recompute
        try:
            for start in range(0, len(pictures), economy.at_once):
                part = slice(start, start + economy.at_once)
                smoothing = self.settings.label_smoothing
                loss = _loss(self.vit, self.head, pictures[part], targets[part], economy.train_from, smoothing, self.mixed)
                loss = loss * (len(targets[part]) / len(targets))
                (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            self.vit.recompute = False
        return True

    def step(self, factor: float) -> None:
        """One step of the optimiser, with the learning rate times `factor`. What has no gradient stays as it is."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * factor
        if self.scaler is None:
            self.optimiser.step()
        else:
            self.scaler.step(self.optimiser)
            self.scaler.update()

    def tensors(self) -> dict[str, Array]:
        """`a.<target>`, `b.<target>`, `head.weight`, `head.bias`; each also as AdamW's `mean.`, `square.` and `count.` of it. float32.

        With fp16 also `scaler`: the gradients' scale, and the steps since it grew.
        """
        found: dict[str, Array] = {}
        if self.scaler is not None:
            known = self.scaler.state_dict()
            found["scaler"] = np.array([known["scale"], known["_growth_tracker"]], np.float32)
        for name, parameter in self._parameters().items():
            found[name] = _copy(parameter)
            state = self.optimiser.state.get(parameter)
            if state:
                found |= {f"{kind}.{name}": _copy(state[key]) for kind, key in _ADAMW.items()}
        return found

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """Put back what `tensors` gave."""
        if self.scaler is not None:
            scale, steps = tensors["scaler"].tolist()
            self.scaler.load_state_dict({**self.scaler.state_dict(), "scale": scale, "_growth_tracker": int(steps)})
        with torch.no_grad():
            for name, parameter in self._parameters().items():
                parameter.copy_(torch.from_numpy(tensors[name]))
                if f"count.{name}" in tensors:
                    self.optimiser.state[parameter] = {
                        key: torch.from_numpy(tensors[f"{kind}.{name}"].copy()).to(parameter.device if kind != "count" else "cpu")
                        for kind, key in _ADAMW.items()
                    }

    def _parameters(self) -> dict[str, nn.Parameter]:
        adapter = {f"{kind}.{target}": getattr(layer, kind) for target, layer in self.layers.items() for kind in ("a", "b")}
        return {**adapter, "head.weight": self.head.weight, "head.bias": self.head.bias}


_ADAMW = {"mean": "exp_avg", "square": "exp_avg_sq", "count": "step"}


def _copy(tensor: Tensor) -> Array:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or numpy says that there is no memory left; on CPUs torch raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def epoch_order(examples: Sequence[Example], *, seed: int, epoch: int, batch: int, replay_per_new: float) -> list[list[int]]:
    """Batches of indices: every new picture once, and for each `replay_per_new` looks at remembered ones, which take turns.

    The turns go on from epoch to epoch: no remembered picture comes up again before each of them did. The number of batches, and so the
    time per task, depends on what is new alone, not on how much was learned before.
    """
    new = [i for i, example in enumerate(examples) if example.new]
    kept = [i for i, example in enumerate(examples) if not example.new]
    looks = round(replay_per_new * len(new)) if kept else 0
    order = np.random.default_rng([seed, epoch]).permutation([*new, *_turns(kept, seed, epoch * looks, looks)])
    return [[int(i) for i in order[start : start + batch]] for start in range(0, len(order), batch)]


def _turns(kept: Sequence[int], seed: int, start: int, count: int) -> list[int]:
    """`count` items from place `start` on of an endless row: all of `kept` in some order, all of them in another order, and so on."""
    if not count:
        return []
    rounds = range(start // len(kept), -(-(start + count) // len(kept)))
    row = [i for number in rounds for i in np.random.default_rng([seed, number, 1]).permutation(kept)]
    offset = start - rounds.start * len(kept)
    return row[offset : offset + count]


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
    """The 16-bit type that training multiplies in; None on a CPU that would emulate it, slower than float32.

    bfloat16, whose range is that of float32, where the hardware has it: GPUs from Ampere on, some CPUs. fp16 on older GPUs.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    return torch.bfloat16 if _bfloat16_is_fast() else None


def _bfloat16_is_fast() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    capable = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(capable is not None and capable())
