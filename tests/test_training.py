"""The gradient part: order of pictures, schedule, and an adapter that learns."""

import numpy as np
import pytest
import torch

from edgecl import lora, training
from edgecl.architecture import linear_targets
from edgecl.backbone import build, random_state
from edgecl.settings import AdapterShape, LearnSettings
from edgecl.training import Example, epoch_order, learning_rate_factor, train_adapter
from tests.teaching import TINY

BLANK = np.zeros((36, 36, 3), np.uint8)


def examples(new: int, kept: int) -> list[Example]:
    """So many blank pictures of each kind."""
    return [Example(BLANK, 0, True)] * new + [Example(BLANK, 0, False)] * kept


def test_every_new_picture_comes_once_per_epoch_and_remembered_ones_are_bounded() -> None:
    """10 new and 100 remembered at three to one: 10 and 30."""
    order = [i for batch in epoch_order(examples(10, 100), seed=0, epoch=0, batch=16, replay_per_new=3.0) for i in batch]
    assert sorted(i for i in order if i < 10) == list(range(10))
    assert len([i for i in order if i >= 10]) == 30
    assert len(set(order)) == 40


def test_epochs_differ_and_repeat_themselves_exactly() -> None:
    """The order is a function of (seed, epoch)."""
    ask = lambda seed, epoch: epoch_order(examples(5, 20), seed=seed, epoch=epoch, batch=4, replay_per_new=1.0)  # noqa: E731
    assert ask(0, 0) == ask(0, 0)
    assert ask(0, 0) != ask(0, 1)
    assert ask(0, 0) != ask(1, 0)


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
