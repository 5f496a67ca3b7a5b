"""The deployment layout: one merged model as the tensors that `model.onnx` points into.

The graph multiplies `x @ W`, so Linear weights are stored transposed under `<name>.weight_t` and no Transpose node is needed; class
token, registers and positions are added beforehand into `tok_pos`. Names, order, shapes and dtypes depend on the architecture and the
capacity alone, never on values: that keeps the graph and its byte offsets equal from the first task to the last.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.architecture import Architecture, linear_targets, state_shapes

Array = NDArray[Any]
FREE_BIAS = -1e4  # finite in fp16; far below any logit of a used row
INTO_POSITIONS = ("cls_token", "reg_token", "pos_embed")


def deployment_shapes(architecture: Architecture, capacity: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of `weights.safetensors`, in file order."""
    linears = {f"{target}.weight" for target in linear_targets(architecture)}
    shapes: dict[str, tuple[int, ...]] = {"tok_pos": (1, architecture.tokens, architecture.width)}
    for name, shape in state_shapes(architecture).items():
        if name in INTO_POSITIONS:
            continue
        if name in linears:
            shapes[f"{name}_t"] = (shape[1], shape[0])
        else:
            shapes[name] = shape
    shapes["head.weight_t"] = (architecture.width, capacity)
    shapes["head.bias"] = (capacity,)
    return shapes


def refittable_names(architecture: Architecture) -> list[str]:
    """The tensors that learning changes, which an engine must be able to take anew: all Linear targets of all blocks, and the head."""
    return [*(f"{target}.weight_t" for target in linear_targets(architecture)), "head.weight_t", "head.bias"]


def to_deployment(
    state: Mapping[str, Array], head_weight: Array, head_bias: Array, architecture: Architecture, dtype: type[np.floating[Any]] = np.float32
) -> dict[str, Array]:
    """Merged backbone `state` (timm names) and head `[capacity, d]`, `[capacity]` -> deployment tensors of `dtype`, in file order.

    Raises:
        KeyError: a tensor of the architecture is missing from `state`.
        ValueError: a tensor has another shape than the architecture says.
    """
    arrays: dict[str, Array] = {}
    for name, shape in deployment_shapes(architecture, len(head_bias)).items():
        if name == "tok_pos":
            value = _positions(state, architecture)
        elif name == "head.weight_t":
            value = head_weight.T
        elif name == "head.bias":
            value = head_bias
        elif name.endswith("_t"):
            value = state[name.removesuffix("_t")].T
        else:
            value = state[name]
        if value.shape != shape:
            raise ValueError(f"{name} has shape {value.shape}, but {architecture.backbone} needs {shape}")
        arrays[name] = np.ascontiguousarray(value, dtype=dtype)
    return arrays


def backbone_from_deployment(arrays: Mapping[str, Array], architecture: Architecture) -> dict[str, Array]:
    """Deployment tensors -> a backbone state under timm's names that computes the same.

    Class token and registers come back inside `pos_embed` and are zero themselves where they have positions of their own.
    """
    n, prefix = int(architecture.class_token), architecture.prefix
    positions = arrays["tok_pos"]
    own: dict[str, Array] = {"pos_embed": positions if architecture.prefix_positions else positions[:, prefix:]}
    for name, tokens in (("cls_token", positions[:, :n]), ("reg_token", positions[:, n:prefix])):
        own[name] = np.zeros_like(tokens, np.float32) if architecture.prefix_positions else tokens
    state: dict[str, Array] = {}
    for name in state_shapes(architecture):
        if name in own:
            state[name] = own[name]
        else:
            state[name] = arrays[name] if name in arrays else np.ascontiguousarray(arrays[f"{name}_t"].T)
    return state


def _positions(state: Mapping[str, Array], architecture: Architecture) -> Array:
    """`[1, n, d]`: the positions, with class token and registers added where theirs are, or put in front of the patches'."""
    value = np.array(state["pos_embed"], dtype=np.float32)
    tokens = [state[name] for name in INTO_POSITIONS[:2] if name in state_shapes(architecture)]
    if not tokens:
        return value
    front = np.concatenate(tokens, axis=1)
    if not architecture.prefix_positions:
        return np.concatenate([front, value], axis=1, dtype=np.float32)
    value[:, : architecture.prefix] += front
    return value


_DTYPE_NAMES = {"float32": "F32", "float16": "F16"}


def safetensors_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Serialise in the given order, without metadata, header padded to 8 bytes.

    The safetensors library sorts tensors by dtype and name by itself; ours keeps the graph's order so that `tensor_offsets` is a
    function of the layout alone. Any safetensors reader loads the result.
    """
    header = _header({name: (array.shape, array.dtype.name) for name, array in arrays.items()})
    return b"".join([len(header).to_bytes(8, "little"), header, *(array.tobytes() for array in arrays.values())])


def tensor_offsets(shapes: Mapping[str, tuple[int, ...]], dtype: str) -> dict[str, tuple[int, int]]:
    """`(offset, length)` in bytes of each tensor within the file that `safetensors_bytes` writes for these shapes."""
    header = _header({name: (shape, dtype) for name, shape in shapes.items()})
    spans = json.loads(header)
    start = 8 + len(header)
    return {
        name: (start + spans[name]["data_offsets"][0], spans[name]["data_offsets"][1] - spans[name]["data_offsets"][0]) for name in shapes
    }


def _header(tensors: Mapping[str, tuple[tuple[int, ...], str]]) -> bytes:
    entries: dict[str, Any] = {}
    position = 0
    for name, (shape, dtype) in tensors.items():
        length = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        entries[name] = {"dtype": _DTYPE_NAMES[dtype], "shape": list(shape), "data_offsets": [position, position + length]}
        position += length
    header = json.dumps(entries, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % 8)
