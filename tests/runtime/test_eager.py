"""The PyTorch predictor and the features that the learner looks at."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgecl.backbone import build, random_state
from edgecl.errors import EdgeclError, StoreDamaged
from edgecl.runtime.eager import EagerPredictor, features_of, full_precision, lower_tokens
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from tests.teaching import TINY

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def test_it_answers_as_onnx_runtime_does(store: Store) -> None:
    """Two engines, one version."""
    folder = store.folder(3)
    eager, ort = EagerPredictor(TINY), OrtPredictor(threads=1)
    eager.load(folder)
    ort.load(folder)
    for one, other in zip(eager.infer(PICTURES), ort.infer(PICTURES), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=1e-4)


def test_features_from_the_cut_equal_features_from_the_picture() -> None:
    """Computing the lower blocks once changes nothing beyond fp16 rounding."""
    vit = build(TINY, random_state(TINY, 0))
    whole = vit(torch.from_numpy(PICTURES)).numpy()
    np.testing.assert_allclose(features_of(vit, lower_tokens(vit, PICTURES, 1), 1), whole, atol=2e-2)
    np.testing.assert_allclose(features_of(vit, lower_tokens(vit, PICTURES, 0), 0), whole, atol=1e-5)


def test_no_pictures_give_no_features() -> None:
    """Shapes stay right at size 0."""
    vit = build(TINY, random_state(TINY, 0))
    assert features_of(vit, lower_tokens(vit, [], 1), 1).shape == (0, 32)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    """A missing or foreign file is a sentence."""
    with pytest.raises(StoreDamaged, match=r"cannot be used .* Run: edgecl verify --deep"):
        EagerPredictor(TINY).load(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(StoreDamaged, match="cannot be used"):
        EagerPredictor(TINY).load(tmp_path)


def test_asking_before_loading_is_a_bug_with_a_name() -> None:
    """Also after close."""
    predictor = EagerPredictor(TINY)
    with pytest.raises(EdgeclError, match="call load"):
        predictor.infer(PICTURES)
    predictor.use(random_state(TINY, 0), np.zeros((16, 32)), np.zeros(16))
    predictor.close()
    predictor.close()
    with pytest.raises(EdgeclError, match="call load"):
        predictor.infer(PICTURES)


def test_fp32_is_not_rounded_to_tf32_while_features_are_computed() -> None:
    """Both of torch's switches are off inside and as before outside."""
    switches = lambda: (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)  # noqa: E731
    before = switches()
    with full_precision():
        assert switches() == (False, False)
    assert switches() == before
    assert before != (False, False)  # else the test says nothing
