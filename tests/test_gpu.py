"""Learning on an NVIDIA GPU. Everything here is skipped, by name, where PyTorch sees none."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecl.architecture import linear_targets
from edgecl.backbone import build, random_state
from edgecl.runtime.eager import EagerPredictor, features_of, lower_tokens
from edgecl.settings import AdapterShape, LearnSettings
from edgecl.training import mixed_precision, train_adapter
from tests.export.models import KINDS, random_head, scenes
from tests.export.models import random_state as numbered_state
from tests.teaching import TINY, draw_task, new_store, teach
from tests.test_training import two_colours

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU that PyTorch sees"),
]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_features_on_the_gpu_are_those_of_the_cpu(kind: str) -> None:
    """In fp32 without TF32: within rounding, for every kind of backbone, from the picture and from the cut."""
    architecture = KINDS[kind]
    state, pictures = numbered_state(architecture), scenes(architecture.image_size, 5)
    cpu, gpu = build(architecture, state), build(architecture, state, "cuda")
    for first_block in (0, 1):
        expected = features_of(cpu, lower_tokens(cpu, pictures, first_block), first_block)
        np.testing.assert_allclose(
            features_of(gpu, lower_tokens(gpu, pictures, first_block), first_block), expected, atol=5e-3 * first_block + 1e-4
        )


def test_the_predictor_answers_alike_on_both() -> None:
    """Logits and features come back as numpy arrays."""
    state, head, pictures = numbered_state(TINY), random_head(TINY.width), scenes(32, 3)
    answers = []
    for device in ("cpu", "cuda"):
        predictor = EagerPredictor(TINY, device)
        predictor.use(state, *head)
        answers.append(predictor.infer(pictures))
    for one, other in zip(*answers, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("mixed", [torch.bfloat16, torch.float16, None], ids=["bf16", "fp16", "fp32"])
def test_an_adapter_is_trained_in_each_type(mixed: torch.dtype | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is finite, it has learned something, and it starts from the CPU's numbers."""
    monkeypatch.setattr("edgecl.training.mixed_precision", lambda device: mixed)
    vit = build(TINY, random_state(TINY, 0), "cuda")
    adapter = train_adapter(
        vit,
        TINY,
        two_colours(),
        head_weight=np.zeros((2, 32)),
        head_bias=np.zeros(2),
        shape=AdapterShape(rank=2, alpha=4.0, first_block=1),
        settings=LearnSettings(epochs=4, batch=8),
        progress=lambda done, total: None,
    )
    assert set(adapter.targets) == set(linear_targets(TINY, 1))
    assert all(np.isfinite(values).all() for values in (*adapter.a.values(), *adapter.b.values()))
    assert max(np.abs(values).max() for values in adapter.b.values()) > 1e-4


def test_the_type_is_the_hardwares() -> None:
    """bfloat16 from Ampere on, fp16 before."""
    expected = torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
    assert mixed_precision(torch.device("cuda")) == expected


def test_a_task_is_learned_and_the_record_says_where(tmp_path: Path) -> None:
    """The version passes its own canary through ONNX Runtime on the CPU, and run.json names GPU and type."""
    store = new_store(tmp_path / "model")
    result = teach(store, draw_task(tmp_path / "task", "red", "green", count=16), device="cuda")
    run = json.loads((store.folder(1) / "run.json").read_text())
    assert (result.state, run["device"], run["hardware"]) == ("current", "cuda", torch.cuda.get_device_name(0))
    assert run["training_type"] in ("bfloat16", "float16")


def test_two_learns_on_one_gpu_agree_within_tolerance(tmp_path: Path) -> None:
    """Not byte-equal, for sums run in any order: the merged weights differ by less than a thousandth of their spread."""
    states = []
    task = draw_task(tmp_path / "task", "red", "green", count=16)
    for name in ("one", "other"):
        store = new_store(tmp_path / name)
        teach(store, task, device="cuda")
        states.append(store.merged_state(store.manifest(1).recipe))
    for name, value in states[0].items():
        assert np.abs(value - states[1][name]).max() <= 1e-3 * max(np.ptp(value), 1e-3), name
