"""A version small enough to be made by hand: a linear classifier on mean colours, in the files and the graph form of a real one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgecl.layout import FREE_BIAS, safetensors_bytes, tensor_offsets
from edgecl.manifest import ClassEntry, Manifest, Recipe, Thresholds
from edgecl.runtime.selftest import CANARY_FILE, write_canary

SIZE, CAPACITY, FEATURES = 8, 16, 3
COLOURS = {"red": 0, "green": 1, "blue": 2}


def manifest_of(names: Sequence[str] = ("red", "green", "blue"), **changes: Any) -> Manifest:
    """Class i has row i; `rows=` gives others."""
    rows = changes.pop("rows", range(len(names)))
    classes = tuple(ClassEntry(id=f"id-{name}", row=row, name=name, tasks=("t0001-test",)) for row, name in zip(rows, names, strict=True))
    fields: dict[str, Any] = {
        "number": 7,
        "parent": None,
        "operation": "init",
        "task": None,
        "capacity": CAPACITY,
        "next_row": len(names),
        "classes": classes,
        "recipe": Recipe(),
        "thresholds": Thresholds(),
        "temperature": 1.0,
        "seeds": {},
        "checks": {},
        "files": {},
    }
    return Manifest(**{**fields, **changes})


def _graph(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """features = mean rgb in [0, 1]; logits = features @ head.weight_t + head.bias; the initializers point into the weights file."""
    initializers = []
    for name, (offset, length) in tensor_offsets({key: array.shape for key, array in weights.items()}, "float32").items():
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=weights[name].shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", "weights.safetensors"), ("offset", str(offset)), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        initializers.append(tensor)
    constants = [helper.make_tensor("scale", TensorProto.FLOAT, [], [1 / 255]), helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])]
    nodes = [
        helper.make_node("Cast", ["pictures"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["unit"]),
        helper.make_node("ReduceMean", ["unit", "axes"], ["features"], keepdims=0),
        helper.make_node("MatMul", ["features", "head.weight_t"], ["product"]),
        helper.make_node("Add", ["product", "head.bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["b", SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", CAPACITY]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["b", FEATURES]),
        ],
        [*initializers, *constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())


def colour_weights(rows: Sequence[int] = (0, 1, 2), gain: float = 20.0) -> dict[str, NDArray[Any]]:
    """A head whose `rows` answer for red, green and blue; all other rows are free."""
    weight, bias = np.zeros((FEATURES, CAPACITY), np.float32), np.full(CAPACITY, FREE_BIAS, np.float32)
    for channel, row in enumerate(rows):
        weight[channel, row], bias[row] = gain, 0.0
    return {"head.weight_t": weight, "head.bias": bias}


def plain(colour: str, count: int = 1, value: int = 200) -> NDArray[np.uint8]:
    """`count` pictures `[count, 8, 8, 3]` of one colour."""
    pictures = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    pictures[..., COLOURS[colour]] = value
    return pictures


def reference(pictures: NDArray[np.uint8], weights: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the tiny graph computes, in numpy."""
    features = (pictures.astype(np.float32) / 255).mean(axis=(1, 2)).astype(np.float32)
    return features @ weights["head.weight_t"] + weights["head.bias"], features


def write_version(folder: Path, rows: Sequence[int] = (0, 1, 2), gain: float = 20.0) -> Path:
    """Write graph, weights and canary of a tiny version into the new `folder`; returns it."""
    folder.mkdir()
    weights = colour_weights(rows, gain)
    (folder / "model.onnx").write_bytes(_graph(weights))
    (folder / "weights.safetensors").write_bytes(safetensors_bytes(weights))
    canary = np.concatenate([plain(colour, 2, value) for colour in COLOURS for value in (120, 250)])
    (folder / CANARY_FILE).write_bytes(write_canary(canary, *reference(canary, weights)))
    onnx.checker.check_model(str(folder / "model.onnx"))
    return folder
