"""Models with random numbers everywhere, so that a graph which leaves any tensor out answers differently."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.architecture import Architecture, state_shapes
from edgecl.layout import FREE_BIAS, safetensors_bytes, to_deployment
from edgecl.runtime.eager import EagerPredictor
from edgecl.runtime.ort import OrtPredictor
from edgecl_export.graph import Precision, build_graph
from edgecl_export.parity import Parity, compare
from tests.store.builders import TINY as TINY_OF_STORES

Array = NDArray[Any]
TINY = dataclasses.replace(
    TINY_OF_STORES, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)  # a channel that is swapped or shared shows
SCALED = dataclasses.replace(TINY, layer_scale=True)
# One small model of each kind that timm has pretrained weights for, and one with as much as possible at once.
KINDS = {
    "plain": TINY,
    "layer scale": SCALED,
    "deit3": dataclasses.replace(SCALED, prefix_positions=False),
    "dinov2, an odd grid": dataclasses.replace(SCALED, image_size=35, patch_size=7),
    "registers": dataclasses.replace(SCALED, registers=4, prefix_positions=False),
    "registers with positions": dataclasses.replace(TINY, registers=3),
    "average beside a class token": dataclasses.replace(TINY, pooling="average", norm_after_pooling=True),
    "average of normed patches": dataclasses.replace(SCALED, class_token=False, qkv_bias=False, pooling="average"),
    "average without registers": dataclasses.replace(
        TINY, class_token=False, registers=4, prefix_positions=False, pooling="average", norm_after_pooling=True
    ),
    "clip": dataclasses.replace(TINY, pre_norm=True, norm_eps=1e-5),
    "clip of quick gelu": dataclasses.replace(TINY, pre_norm=True, activation="quick_gelu"),
    "everything": dataclasses.replace(
        SCALED, registers=2, pre_norm=True, qkv_bias=False, activation="quick_gelu", pooling="average", norm_after_pooling=True
    ),
}
CAPACITY = 16
ROWS = (0, 1, 2, 5, 9)


def random_state(architecture: Architecture, seed: int = 0) -> dict[str, Array]:
    """Norms around 1, biases of std 0.5, layer scales between 0.1 and 1, weights that keep the size of what they multiply."""
    random = np.random.default_rng(seed)
    state: dict[str, Array] = {}
    for name, shape in state_shapes(architecture).items():
        if name.endswith("gamma"):
            values = random.uniform(0.1, 1.0, shape)
        elif "norm" in name and name.endswith("weight"):
            values = random.normal(1, 0.25, shape)
        elif name.endswith("bias") or name in ("cls_token", "reg_token", "pos_embed"):
            values = random.normal(0, 0.5, shape)
        else:
            values = random.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))
        state[name] = values.astype(np.float32)
    return state


def random_head(width: int, capacity: int = CAPACITY, rows: tuple[int, ...] = ROWS, seed: int = 0) -> tuple[Array, Array]:
    """A head `[capacity, d]`, `[capacity]` whose `rows` are used."""
    random = np.random.default_rng((seed, 1))
    weight, bias = np.zeros((capacity, width), np.float32), np.full(capacity, FREE_BIAS, np.float32)
    weight[list(rows)] = random.normal(0, 1, (len(rows), width)) / np.sqrt(width)
    bias[list(rows)] = random.normal(0, 0.5, len(rows))
    return weight, bias


def scenes(size: int, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """`[count, size, size, 3]`: slopes of different steepness along the two axes and per channel, a bright corner, noise.

    Nothing in them is symmetric, so that a transposed, mirrored or channel-swapped input shows.
    """
    random = np.random.default_rng((seed, 2))
    y, x = np.mgrid[0:size, 0:size] / size
    slopes = random.uniform(20, 200, (count, 1, 1, 3)) * x[..., None] + random.uniform(0, 60, (count, 1, 1, 3)) * (1 - y[..., None])
    pictures = slopes + random.normal(0, 25, (count, size, size, 3))
    pictures[:, : size // 4, : size // 3] += random.uniform(0, 120, (count, 1, 1, 3))
    return np.clip(pictures, 0, 255).astype(np.uint8)


def write(
    folder: Path, architecture: Architecture, state: dict[str, Array], head: tuple[Array, Array], opset: int, precision: Precision
) -> Path:
    """Graph and weights of a model, ready for a predictor."""
    folder.mkdir(parents=True, exist_ok=True)
    dtype = np.float16 if precision == "fp16" else np.float32
    graph = build_graph(architecture, capacity=len(head[1]), opset=opset, precision=precision)
    (folder / "model.onnx").write_bytes(graph)
    (folder / "weights.safetensors").write_bytes(safetensors_bytes(to_deployment(state, *head, architecture, dtype)))
    return folder


def timm_against_runtime(
    folder: Path, architecture: Architecture, state: dict[str, Array], head: tuple[Array, Array], pictures: NDArray[np.uint8]
) -> tuple[Parity, Parity]:
    """timm's model in torch against the written folder in ONNX Runtime: parity of the used logits, and of the features."""
    rows = [row for row, bias in enumerate(head[1]) if bias != FREE_BIAS]
    eager, runtime = EagerPredictor(architecture), OrtPredictor(threads=1)
    eager.use(state, *head)
    runtime.load(folder)
    expected, answer = eager.infer(pictures), runtime.infer(pictures)
    return compare(expected[0], answer[0], rows), compare(expected[1], answer[1], range(architecture.width))
