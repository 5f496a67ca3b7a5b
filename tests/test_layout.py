"""The deployment layout: names, order, bytes and offsets depend on the architecture alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load

from edgecl.layout import backbone_from_deployment, deployment_shapes, safetensors_bytes, tensor_offsets, to_deployment
from tests.store.builders import TINY, random_state

WITH_SCALES = replace(TINY, layer_scale=True)
TENSORS = st.dictionaries(
    st.text("abc.", min_size=1, max_size=8),
    st.tuples(st.lists(st.integers(0, 3), max_size=3).map(tuple), st.sampled_from(["float32", "float16"])),
    max_size=5,
)


def head(capacity: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A head of random numbers, float32."""
    numbers = np.random.default_rng(0)
    return numbers.normal(size=(capacity, TINY.width)).astype(np.float32), numbers.normal(size=capacity).astype(np.float32)


@settings(max_examples=50)
@given(TENSORS)
def test_the_safetensors_library_reads_what_we_write(tensors: dict[str, tuple[tuple[int, ...], str]]) -> None:
    """Any names, shapes (also empty ones) and both types come back with their values; the file's data is aligned."""
    numbers = np.random.default_rng(0)
    arrays = {name: numbers.normal(size=shape).astype(dtype) for name, (shape, dtype) in tensors.items()}
    data = safetensors_bytes(arrays)
    assert int.from_bytes(data[:8], "little") % 8 == 0
    back = load(data)
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("architecture", [TINY, WITH_SCALES])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_offsets_point_at_the_tensors(architecture: object, dtype: type[np.floating]) -> None:
    """Reading the file at `tensor_offsets` gives each tensor, and the last one ends the file."""
    arrays = to_deployment(random_state(0, architecture), *head(), architecture, dtype)  # type: ignore[arg-type]
    data = safetensors_bytes(arrays)
    offsets = tensor_offsets(deployment_shapes(architecture, 16), np.dtype(dtype).name)  # type: ignore[arg-type]
    assert list(offsets) == list(arrays)
    for name, (offset, length) in offsets.items():
        assert data[offset : offset + length] == arrays[name].tobytes()
    assert max(offset + length for offset, length in offsets.values()) == len(data)


def test_the_header_does_not_depend_on_values(tmp_path: Path) -> None:
    """Two models of one architecture differ in their data only; nothing but tensors stands in the header."""
    one, two = (safetensors_bytes(to_deployment(random_state(seed), *head(), TINY)) for seed in (0, 1))
    end = 8 + int.from_bytes(one[:8], "little")
    assert one[:end] == two[:end]
    assert one[end:] != two[end:]
    (tmp_path / "weights.safetensors").write_bytes(one)
    with safe_open(tmp_path / "weights.safetensors", framework="np") as file:
        assert file.metadata() is None
        assert set(file.keys()) == set(deployment_shapes(TINY, 16))


def test_capacity_changes_the_head_only() -> None:
    """Every other tensor keeps its place in the order and its shape."""
    small, large = deployment_shapes(TINY, 16), deployment_shapes(TINY, 24)
    assert list(small) == list(large)
    assert {name for name in small if small[name] != large[name]} == {"head.weight_t", "head.bias"}
    assert list(small)[-2:] == ["head.weight_t", "head.bias"]


def test_the_deployed_model_is_the_merged_one() -> None:
    """Linear weights are transposed, the class token is added into the first position, the rest is as it was."""
    state, (weight, bias) = random_state(0, WITH_SCALES), head()
    before = {name: value.copy() for name, value in state.items()}
    arrays = to_deployment(state, weight, bias, WITH_SCALES)
    np.testing.assert_array_equal(arrays["blocks.1.attn.qkv.weight_t"], state["blocks.1.attn.qkv.weight"].T)
    np.testing.assert_array_equal(arrays["blocks.0.ls2.gamma"], state["blocks.0.ls2.gamma"])
    np.testing.assert_array_equal(arrays["head.weight_t"], weight.T)
    np.testing.assert_array_equal(arrays["tok_pos"][:, 0], state["pos_embed"][:, 0] + state["cls_token"][:, 0])
    np.testing.assert_array_equal(arrays["tok_pos"][:, 1:], state["pos_embed"][:, 1:])
    assert all(array.flags.c_contiguous for array in arrays.values())
    for name, value in state.items():
        np.testing.assert_array_equal(value, before[name])


def test_the_backbone_comes_back() -> None:
    """Deployed, taken back and deployed again it is the same file."""
    arrays = to_deployment(random_state(), *head(), TINY)
    back = backbone_from_deployment(arrays, TINY)
    assert set(back) == set(random_state())
    np.testing.assert_array_equal(back["blocks.0.mlp.fc2.weight"], random_state()["blocks.0.mlp.fc2.weight"])
    assert safetensors_bytes(to_deployment(back, *head(), TINY)) == safetensors_bytes(arrays)


def test_what_does_not_fit_is_an_error() -> None:
    """A missing tensor and one of another shape are named."""
    state = random_state()
    with pytest.raises(KeyError, match=r"norm.weight"):
        to_deployment({name: value for name, value in state.items() if name != "norm.weight"}, *head(), TINY)
    with pytest.raises(ValueError, match=r"norm.weight has shape \(3,\), but vit_tiny_test needs \(32,\)"):
        to_deployment({**state, "norm.weight": np.zeros(3)}, *head(), TINY)
