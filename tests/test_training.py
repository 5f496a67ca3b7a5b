"""The gradient part: order of pictures, schedule, and an adapter that learns."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from edgecl import lora, training
from edgecl.adapter import Adapter
from edgecl.architecture import linear_targets
from edgecl.backbone import build, random_state
from edgecl.economy import Economy
from edgecl.errors import Interrupted
from edgecl.guard import Guard
from edgecl.settings import AdapterShape, GuardSettings, LearnSettings
from edgecl.training import Example, Position, epoch_order, learning_rate_factor, train_adapter
from tests.teaching import TINY

BLANK = np.zeros((36, 36, 3), np.uint8)


def examples(new: int, kept: int) -> list[Example]:
    """So many blank pictures of each kind."""
    return [Example(BLANK, 0, True)] * new + [Example(BLANK, 0, False)] * kept


def order_of(new: int, kept: int, *, epoch: int = 0, seed: int = 0) -> list[int]:
    """One epoch without its division into batches."""
    given = examples(new, kept)
    return [i for batch in epoch_order(given, seed=seed, epoch=epoch, batch=16, replay_per_new=2.0) for i in batch]


def test_an_epoch_is_as_long_whatever_was_learned_before() -> None:
    """10 new pictures once each, and 20 looks at remembered ones, be they 3 or 300; without memory only the new ones."""
    for kept in (3, 20, 300):
        order = order_of(10, kept)
        assert sorted(i for i in order if i < 10) == list(range(10))
        assert len([i for i in order if i >= 10]) == 20
    assert sorted(order_of(10, 0)) == list(range(10))


@pytest.mark.parametrize("kept", [3, 7, 20, 33])
def test_remembered_pictures_take_turns_from_epoch_to_epoch(kept: int) -> None:
    """After any number of epochs no picture was looked at more than once oftener than another."""
    counts = np.zeros(10 + kept, int)
    for epoch in range(5):
        np.add.at(counts, order_of(10, kept, epoch=epoch), 1)
        assert np.ptp(counts[10:]) <= 1
        assert counts.sum() == 30 * (epoch + 1)


def test_epochs_differ_and_repeat_themselves_exactly() -> None:
    """The order is a function of (seed, epoch)."""
    assert order_of(5, 20) == order_of(5, 20)
    assert order_of(5, 20) != order_of(5, 20, epoch=1)
    assert order_of(5, 20) != order_of(5, 20, seed=1)


def test_the_last_batch_may_be_smaller_and_nothing_gives_no_batch() -> None:
    """5 pictures in batches of 4; none at all."""
    assert [len(batch) for batch in epoch_order(examples(5, 0), seed=0, epoch=0, batch=4, replay_per_new=1.0)] == [4, 1]
    assert epoch_order([], seed=0, epoch=0, batch=4, replay_per_new=1.0) == []


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    """Linear to the peak over the first tenth, then half a cosine."""
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(1.0, abs=0.05)
    assert factors[50] == pytest.approx(0.5)
    assert factors[-1] < 0.01
    assert learning_rate_factor(0, 1, 0.1) == 1.0


def two_colours() -> list[Example]:
    """Red and blue noise, 12 of each."""
    random = np.random.default_rng(0)
    means = [(200, 40, 40), (40, 40, 200)]
    return [Example(np.clip(random.normal(means[i % 2], 30, (36, 36, 3)), 0, 255).astype(np.uint8), i % 2, True) for i in range(24)]


def trained(settings: LearnSettings) -> tuple[float, float]:
    """Distance of the class means over their spread, before and after."""
    vit = build(TINY, random_state(TINY, 0))
    data = two_colours()
    pictures = torch.from_numpy(np.stack([e.rgb[:32, :32] for e in data]))

    def separation() -> float:
        features = vit(pictures).detach().numpy()
        red, blue = features[::2], features[1::2]
        return float(np.linalg.norm(red.mean(0) - blue.mean(0)) / (red.std() + blue.std()))

    before = separation()
    adapter = train_adapter(
        vit,
        TINY,
        data,
        head_weight=np.zeros((2, 32)),
        head_bias=np.zeros(2),
        shape=AdapterShape(rank=2, alpha=4.0, first_block=1),
        settings=settings,
        progress=lambda done, total: None,
    )
    from edgecl.merge import merge

    vit = build(TINY, merge(random_state(TINY, 0), [(adapter, {"*": 1.0})]))
    return before, separation()


def test_an_adapter_pulls_classes_apart() -> None:
    """After a few epochs the class means lie further apart than before."""
    before, after = trained(LearnSettings(epochs=6, batch=8))
    assert after > before


def test_no_epochs_give_an_adapter_of_nothing() -> None:
    """B stays zero, so the merge changes nothing."""
    before, after = trained(LearnSettings(epochs=0))
    assert after == pytest.approx(before)


def test_every_tensor_of_a_step_lies_where_the_model_is() -> None:
    """Forward and back on torch's device without data, which computes no number and refuses a mixture: what a GPU would refuse, too."""
    vit = build(TINY, random_state(TINY, 0), "meta")
    layers = lora.attach(vit.model, linear_targets(TINY, 1), rank=2, alpha=4.0, seed=0)
    head = training._linear(np.zeros((2, 32)), np.zeros(2)).to(vit.device)
    loss = training._loss(vit, head, [BLANK[:32, :32]] * 2, [0, 1], 1, 0.1, None)
    loss.backward()
    assert {loss.device.type} | {layer.b.grad.device.type for layer in layers.values() if layer.b.grad is not None} == {"meta"}


def test_a_torch_that_finds_a_gpu_and_cannot_use_it_does_not_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built for other GPUs, or without CUDA: its first step tells."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(torch, "ones", refuse)
    assert training.sees_gpu() is False
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.sees_gpu() is False


def test_the_cpu_multiplies_in_bfloat16_only_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere in fp32; what a GPU does is in test_gpu.py."""
    for capable, expected in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(training, "_bfloat16_is_fast", lambda capable=capable: capable)
        assert training.mixed_precision(torch.device("cpu")) is expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 2), torch.float16), ((8, 7), torch.bfloat16), ((11, 0), torch.bfloat16)])
def test_a_gpu_multiplies_in_what_its_generation_can(
    capability: tuple[int, int], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Volta in fp16, Ampere and later in bfloat16."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert training.mixed_precision(torch.device("cuda")) is expected


def adapted(economy: Economy | None = None) -> Adapter:
    """What training gives when it begins with this economy."""
    position = None
    if economy is not None:
        kept: list[Position] = []
        with pytest.raises(Interrupted):
            train(keep=kept.append, guard=stopped())
        position = Position(kept[-1].steps, economy, kept[-1].tensors)
    return train(start=position)


def stopped() -> Guard:
    """A guard that stops after the second step; in the first one, the head of zeros lets nothing through to the adapter."""
    now = iter(range(1000))
    guard = Guard(GuardSettings(max_minutes=6 / 60), clock=lambda: float(next(now)))
    guard.begin()
    return guard


def train(**options: Any) -> Adapter:
    """An adapter for two colours from the second block of three."""
    deep = dataclasses.replace(TINY, depth=3)
    return train_adapter(
        build(deep, random_state(deep, 0)),
        deep,
        two_colours(),
        head_weight=np.zeros((2, 32)),
        head_bias=np.zeros(2),
        shape=AdapterShape(rank=2, alpha=4.0, first_block=1),
        settings=LearnSettings(epochs=2, batch=8),
        progress=lambda done, total: None,
        **options,
    )


def largest(one: Adapter, other: Adapter) -> float:
    """Largest difference of the factors B."""
    return max(float(np.abs(one.b[t].astype(np.float32) - other.b[t].astype(np.float32)).max()) for t in one.targets)


def test_parts_of_a_batch_add_up_to_the_batch() -> None:
    """Three pictures at once instead of eight: the same gradients but for rounding."""
    whole = adapted()
    parts = adapted(Economy(at_once=3, train_from=1))
    assert 0 <= largest(whole, parts) < 1e-3
    assert max(float(np.abs(whole.b[t]).max()) for t in whole.targets) > 1e-3


def test_gradient_checkpointing_changes_nothing() -> None:
    """What is computed again is what it was; fp16 factors are equal."""
    assert largest(adapted(), adapted(Economy(at_once=8, recompute=True, train_from=1))) == 0


def test_blocks_that_no_longer_learn_keep_what_they_have_learned() -> None:
    """After two steps only the last block goes on; the one before it keeps its B of then, which is not zero."""
    kept: list[Position] = []
    with pytest.raises(Interrupted):
        train(keep=kept.append, guard=stopped())
    found = adapted(Economy(at_once=8, train_from=2))
    first = kept[-1].tensors["b.blocks.1.mlp.fc1"].astype(np.float16)
    np.testing.assert_array_equal(found.b["blocks.1.mlp.fc1"], first)
    assert np.abs(first).max() > 0
    assert largest(found, adapted()) > 1e-3
    assert np.abs(found.b["blocks.2.mlp.fc1"].astype(np.float32) - kept[-1].tensors["b.blocks.2.mlp.fc1"]).max() > 1e-3


def test_a_position_holds_all_that_the_optimiser_knows() -> None:
    """Per parameter its value, AdamW's two means and its count, as float32; taken anew after restoring they are the same."""
    kept: list[Position] = []
    with pytest.raises(Interrupted):
        train(keep=kept.append, guard=stopped())
    tensors = kept[-1].tensors
    names = [name for name in tensors if name.startswith(("a.", "b.", "head."))]
    assert len(names) == 2 * 8 + 2
    assert set(tensors) == {*names, *(f"{kind}.{name}" for kind in ("mean", "square", "count") for name in names)}
    assert {value.dtype for value in tensors.values()} == {np.dtype(np.float32)}
    again: list[Position] = []
    train(start=Position(6, kept[-1].economy, tensors), keep=again.append)
    assert again[-1].tensors.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(again[-1].tensors[name], value)


def test_gradients_of_parts_are_those_of_the_batch() -> None:
    """Each part weighs as much as it has pictures, within bfloat16's rounding; AdamW alone would not show it, for it does not see the size."""
    deep, data = dataclasses.replace(TINY, depth=3), two_colours()[:7]
    found = []
    for at_once in (7, 3):
        vit, shape, settings = build(deep, random_state(deep, 0)), AdapterShape(rank=2, alpha=4.0, first_block=1), LearnSettings()
        trained = training._Trained.attached(vit, linear_targets(deep, 1), np.ones((2, 32)), np.zeros(2), shape, settings)
        assert trained.gradients([e.rgb[:32, :32] for e in data], [e.target for e in data], Economy(at_once=at_once, train_from=1))
        assert trained.head.weight.grad is not None
        found.append(trained.head.weight.grad.numpy().copy())
    np.testing.assert_allclose(found[0], found[1], rtol=2e-2, atol=2e-3)
