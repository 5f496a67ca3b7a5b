"""One task's learning as the seed paper has it, into the same version that `edgecl.learner` writes.

*Task Arithmetic with LoRA for Continual Learning* (Chitale, Vaidya, Kane & Ghotkar 2023, arXiv 2311.02428), as its authors coded it:

    an adapter for the task alone, on q and v, always from the backbone as it came, with a head of the task's own classes
    -> theta = theta + 0.25 * task vector, and the head's new rows beside the old ones
    -> everything is fine-tuned on a few pictures of every class

What was repaired: dense updates are summed, never A and B apart; the best epoch is chosen on pictures that are held out, never on test data;
classes need not be known in advance. What differs besides: each task is merged into the version that serves and fine-tuned again, where
the authors merge all tasks once; the adapter has no dropout and there is no trained pooler behind the backbone; "everything" is all Linear
weights from the store's first adapted block up and the head, which is what an engine can take anew; learning rates are those of a small ViT.

All of it is one difference to the parent's weights, written as one adapter of full rank. So it is merged, forgotten, packed and rolled back
like any other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgecl import lora
from edgecl.adapter import dense_adapter
from edgecl.architecture import Architecture, linear_targets
from edgecl.backbone import Vit, build
from edgecl.begin import Begun
from edgecl.calibrate import fit_temperature
from edgecl.errors import BadInput, Interrupted, few
from edgecl.guard import Guard
from edgecl.head import Head, make_head
from edgecl.lesson import Lesson
from edgecl.merge import merge
from edgecl.outcome import Outcome, judged
from edgecl.runtime.eager import features_of, lower_tokens
from edgecl.settings import PaperSettings
from edgecl.store import Store
from edgecl.training import mixed_precision

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class TaskVector:
    """What one task alone taught: dense updates `<target>.weight` -> `[out, in]`, and head rows `weight [k, d]`, `bias [k]` of `classes [k]`."""

    vectors: Mapping[str, Array]
    classes: Array
    weight: Array
    bias: Array
    epochs: int  # after which it was best


@dataclass(frozen=True, eq=False)
class Seen:
    """Tokens `[n, t, d]` of the lesson's pictures at block `first_block`, and their rows `[n]`."""

    tokens: Tensor
    rows: Array
    first_block: int


def study(store: Store, begun: Begun, settings: PaperSettings, device: str, guard: Guard, progress: Progress) -> Outcome:
    """Train, merge, fine-tune and judge.

    Raises:
        BadInput: a class has no picture, in the task or in the memory, that could be fine-tuned on.
        Interrupted: the guard stopped it.
    """
    lesson, architecture, first = begun.lesson, store.facts.architecture, store.facts.adapter.first_block
    _refuse_pictureless(lesson)
    base, parent = store.base(), store.merged_state(begun.parent.recipe)
    inputs = [sample.input for sample in lesson.samples]
    by_base, seen = views(base, parent, architecture, inputs, lesson.rows(), first, device, progress)
    steps, tokens, seed, batch = _Steps(guard, progress), seen.tokens, begun.settings.seed, begun.settings.batch
    vit = build(architecture, base, device)
    task = train_task(vit, architecture, by_base, _own(lesson), settings=settings, batch=batch, seed=seed, steps=steps)
    merged = {name: value + np.float32(settings.coefficient) * task.vectors.get(name, np.float32(0)) for name, value in parent.items()}
    old = Head(*store.head(begun.parent.number))
    used = np.array(sorted(entry.row for entry in lesson.classes))
    weight, bias = beside(old, begun.parent.temperature, task, used)
    kept = memory_indices(lesson, per_class=store.settings().memory.per_class, seed=seed)
    tuned, weight, bias = fine_tune(
        build(architecture, merged, device), architecture, seen, kept, used, weight, bias, settings=settings, batch=batch, seed=seed, steps=steps
    )  # fmt: skip
    difference = {target: tuned[target] - parent[f"{target}.weight"] for target in tuned}
    adapter = dense_adapter(difference)
    features = features_of(build(architecture, merge(parent, [(adapter, {"*": 1.0})]), device), tokens, first)
    judging = lesson.judge_indices()
    plain = make_head(weight, bias, used, capacity=begun.parent.capacity)
    temperature = fit_temperature(plain.logits(features[judging]), seen.rows[judging], used.tolist())
    head = make_head(weight / temperature, bias / temperature, used, capacity=begun.parent.capacity)
    before = old.logits(features_of(build(architecture, parent, device), tokens, first))
    gate = judged(lesson, before, head.logits(features), begun.max_drop, store.settings().gate.significance)
    said = {"name": settings.name, "coefficient": settings.coefficient, "epochs": task.epochs, "pictures": len(kept)}
    return Outcome(adapter, (), 1.0, before, features, head, temperature, gate, said)


def views(
    base: Mapping[str, Array], parent: Mapping[str, Array], architecture: Architecture, inputs: Sequence[Array], rows: Array, first: int,
    device: str, progress: Progress,
) -> tuple[Seen, Seen]:  # fmt: skip
    """The pictures as the base and as the parent sees them: the same tokens, unless a bundle from elsewhere changed a block below `first`."""
    below = tuple(f"blocks.{block}." for block in range(first))
    same = all(np.array_equal(base[name], parent[name]) for name in base if name.startswith(below))

    def seen(state: Mapping[str, Array]) -> Seen:
        vit = build(architecture, state, device)
        tokens = lower_tokens(vit, inputs, first, progress=lambda done, total: progress("looking at pictures", done, total))
        return Seen(tokens, rows, first)

    by_base = seen(base)
    return by_base, by_base if same else seen(parent)


def train_task(
    vit: Vit, architecture: Architecture, seen: Seen, own: tuple[Array, Array], *, settings: PaperSettings, batch: int, seed: int, steps: "_Steps"
) -> TaskVector:  # fmt: skip
    """Train an adapter and a head of the task's own classes on its pictures alone, from the weights in `vit`, which is left as it was.

    Args:
        own: indices to train on, and to choose the best epoch by. Without the latter the last epoch stays.
    """
    train, check = own
    classes, d = np.unique(seen.rows[train]), architecture.width
    frozen = torch.from_numpy(features_of(vit, seen.tokens, seen.first_block)) if settings.divergence else None
    targets = [target for target in linear_targets(architecture, seen.first_block) if target.endswith("attn.qkv")]
    # q and v have factors of their own: A is one above the other, B has each on its side, and k's rows stay zero.
    layers = lora.attach(vit.model, targets, rank=2 * settings.rank, alpha=2 * settings.alpha, seed=seed)
    mask = torch.zeros(3 * d, 2 * settings.rank, device=vit.device)
    mask[:d, : settings.rank] = mask[2 * d :, settings.rank :] = 1.0
    for layer in layers.values():
        layer.b.register_hook(lambda gradient: gradient * mask)  # type: ignore[no-untyped-call]
    head = _head(len(classes), d, seed).to(vit.device)
    parameters = [*(p for layer in layers.values() for p in (layer.a, layer.b)), *head.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    best, kept, best_epoch = -1.0, [p.detach().clone() for p in parameters], 0
    steps.begin(settings.epochs * -(-len(train) // batch))
    for epoch in range(settings.epochs):
        for part in _batches(train, batch, seed, epoch):
            features = _features(vit, seen, part)
            loss = functional.cross_entropy(head(features), _columns(seen.rows[part], classes, vit))
            if frozen is not None:
                loss = (1 - settings.divergence) * loss + settings.divergence * _divergence(features, frozen[part].to(vit.device))
            _step(optimiser, loss, steps)
        right = _accuracy(vit, seen, head, check, classes)
        if right > best or len(check) == 0:
            best, kept, best_epoch = right, [p.detach().clone() for p in parameters], epoch + 1
        elif epoch + 1 - best_epoch >= settings.patience:
            break
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
        vectors = {f"{name}.weight": (layer.scale * layer.b @ layer.a).cpu().numpy() for name, layer in layers.items()}
    lora.detach(vit.model, layers, rank=2 * settings.rank, alpha=2 * settings.alpha)
    return TaskVector(vectors, classes, head.weight.detach().cpu().numpy(), head.bias.detach().cpu().numpy(), best_epoch)


def beside(old: Head, temperature: float, task: TaskVector, used: Array) -> tuple[Array, Array]:
    """Rows `used` of the head: the task's own for its classes, for all others the old ones without their temperature. float32."""
    weight, bias = old.weight.astype(np.float32) * temperature, old.bias.astype(np.float32) * temperature
    weight[task.classes], bias[task.classes] = task.weight, task.bias
    return weight[used], bias[used]


def fine_tune(
    vit: Vit, architecture: Architecture, seen: Seen, kept: Array, used: Array, weight: Array, bias: Array, *,
    settings: PaperSettings, batch: int, seed: int, steps: "_Steps",
) -> tuple[dict[str, Array], Array, Array]:  # fmt: skip
    """Train every Linear weight from `seen.first_block` up and the head's rows `used` on the pictures `kept`.

    Returns `target -> [out, in]`, and the head's `weight [k, d]`, `bias [k]`.
    """
    linears = {target: vit.model.get_submodule(target).weight for target in linear_targets(architecture, seen.first_block)}
    for parameter in linears.values():
        parameter.requires_grad_(True)
    head = _head(len(used), architecture.width, seed).to(vit.device)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    parameters = [*linears.values(), *head.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=settings.memory_learning_rate, weight_decay=settings.weight_decay)
    steps.begin(settings.memory_epochs * -(-len(kept) // batch))
    for epoch in range(settings.memory_epochs):
        for part in _batches(kept, batch, seed, epoch):
            loss = functional.cross_entropy(head(_features(vit, seen, part)), _columns(seen.rows[part], used, vit))
            _step(optimiser, loss, steps)
    tuned = {target: parameter.detach().cpu().numpy() for target, parameter in linears.items()}
    return tuned, head.weight.detach().cpu().numpy(), head.bias.detach().cpu().numpy()


def memory_indices(lesson: Lesson, *, per_class: int, seed: int) -> Array:
    """Indices of at most `per_class` pictures of each class: those that the memory has, then random ones of the task."""
    order = [*lesson.replay_indices(), *np.random.default_rng([seed, 3]).permutation(len(lesson.new))]
    rows, chosen = lesson.rows(), []
    left = dict.fromkeys(np.unique(rows[order]).tolist(), per_class)
    for index in order:
        if left[int(rows[index])] > 0:
            left[int(rows[index])] -= 1
            chosen.append(int(index))
    return np.array(sorted(chosen), dtype=np.intp)


class _Steps:
    """Counts optimiser steps, says how far they are, and lets the guard hold them back or stop them."""

    def __init__(self, guard: Guard, progress: Progress) -> None:
        self._guard, self._progress = guard, progress

    def begin(self, total: int) -> None:
        self._done, self._total = 0, total

    def one(self) -> None:
        self._done += 1
        self._progress("training", self._done, self._total)
        reason = self._guard.why_stop()
        if reason is not None:
            raise Interrupted(
                f"stopped after {self._done} of {self._total} steps: {reason}. Nothing was changed. "
                "--method paper keeps no checkpoint: the same command begins anew."
            )
        self._guard.between_steps(self._done, self._total, lambda: None)


def _refuse_pictureless(lesson: Lesson) -> None:
    if lesson.pictureless:
        names = few([entry.name for entry in lesson.pictureless])
        raise BadInput(
            f"{len(lesson.pictureless)} classes ({names}) have no picture in the memory, and --method paper would overwrite them. "
            "Learn without --method, or bring a task with a few pictures of each of them first."
        )


def _own(lesson: Lesson) -> tuple[Array, Array]:
    """The task's pictures to train on and to validate with; of these, only those whose class is trained on."""
    train, rows = np.arange(len(lesson.new)), lesson.rows()
    check = lesson.validation_indices()
    return train, check[np.isin(rows[check], rows[train])]


def _head(rows: int, width: int, seed: int) -> nn.Linear:
    """As torch begins a Linear, but from the seed alone."""
    head, generator = nn.Linear(width, rows), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.uniform_(-(width**-0.5), width**-0.5, generator=generator)
    return head


def _batches(indices: Array, batch: int, seed: int, epoch: int) -> Iterator[Array]:
    order = np.random.default_rng([seed, epoch]).permutation(indices)
    yield from (order[start : start + batch] for start in range(0, len(order), batch))


def _features(vit: Vit, seen: Seen, part: Array) -> Tensor:
    """`[b, d]` float32, multiplied in bfloat16 where that is fast; fp16 would need its gradients scaled."""
    mixed = mixed_precision(vit.device)
    with torch.autocast(vit.device.type, mixed or torch.bfloat16, enabled=mixed is torch.bfloat16):
        return vit.upper(seen.tokens[torch.from_numpy(part)].to(vit.device).float(), seen.first_block).float()


def _columns(rows: Array, classes: Array, vit: Vit) -> Tensor:
    return torch.from_numpy(np.searchsorted(classes, rows)).to(vit.device)


def _divergence(features: Tensor, frozen: Tensor) -> Tensor:
    """KL(frozen || trained) between softmaxed features, summed over the batch, as the authors' KL variant has it."""
    return functional.kl_div(features.log_softmax(dim=1), frozen.softmax(dim=1), reduction="sum")


def _step(optimiser: torch.optim.Optimizer, loss: Tensor, steps: _Steps) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    steps.one()


def _accuracy(vit: Vit, seen: Seen, head: nn.Linear, check: Array, classes: Array) -> float:
    if len(check) == 0:
        return 0.0
    features = torch.from_numpy(features_of(vit, seen.tokens[torch.from_numpy(check)], seen.first_block))
    with torch.no_grad():
        answers = head(features.to(vit.device)).argmax(dim=1).cpu().numpy()
    return float((classes[answers] == seen.rows[check]).mean())
