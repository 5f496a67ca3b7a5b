"""Every graph stays within what its target's ONNX parser is documented to read: operators, types and attributes.

`operators.json` has, for each TensorRT, the rows of its published table that the writer may need, and where they were read.
"""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto

from edgecl_export.deepstream import nvinfer_graph
from edgecl_export.graph import Precision, build_graph
from tests.export.models import CAPACITY, KINDS, TINY

TABLES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("operators.json").read_text(encoding="utf-8"))
TARGETS = {
    16: ("8.5", "8.6", "10.3", "10.16", "11.4"),
    17: ("8.6", "10.3", "10.16", "11.4"),
    18: ("10.3", "10.16", "11.4"),
    20: ("10.3", "10.16", "11.4"),
}
"""opset -> which TensorRT it is written for, and all later ones."""
TYPES = {
    TensorProto.FLOAT: "FP32", TensorProto.FLOAT16: "FP16", TensorProto.INT64: "INT64", TensorProto.INT32: "INT32",
    TensorProto.UINT8: "UINT8", TensorProto.BOOL: "BOOL",
}  # fmt: skip
INDICES = {"Gather": (1,), "Reshape": (1,), "Pad": (1, 3), "ReduceMean": (1,), "Slice": (1, 2, 3, 4), "Expand": (1,)}
"""Inputs that say where, not what: their type is not the operator's."""
ATTRIBUTES = {
    "Cast": {"to"}, "Concat": {"axis"}, "Constant": {"value"}, "Conv": {"kernel_shape", "strides"}, "Gather": {"axis"}, "Gelu": {"approximate"},
    "LayerNormalization": {"axis", "epsilon", "stash_type"}, "Pad": {"mode"}, "ReduceMean": {"axes", "keepdims"}, "Softmax": {"axis"},
    "Transpose": {"perm"},
}  # fmt: skip
"""All others take none. NVIDIA's tables name no restriction on these."""
FORMS = [(opset, precision, target) for opset, targets in TARGETS.items() for precision in ("fp32", "fp16") for target in targets]
every_form = pytest.mark.parametrize(("opset", "precision", "target"), FORMS, ids=lambda value: str(value))


def faults(graph: bytes, target: str) -> list[str]:
    """Everything in a graph that the target's table does not name, in words."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph), strict_mode=True)
    table, found = TABLES[target], []
    if model.opset_import[0].version > table["opset"]:
        found.append(f"opset {model.opset_import[0].version} is above {table['opset']}")
    types = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    constants = {node.output[0] for node in model.graph.node if node.op_type == "Constant"} | {t.name for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in table["operators"]:
            found.append(f"{node.name}: no {node.op_type}")
            continue
        allowed = {*table["operators"][node.op_type], *(["UINT8"] if "uint8_input" in table and list(node.input) == ["pictures"] else [])}
        if "INT32" in allowed:
            allowed.add("INT64")  # the old parsers take it and cast it down
        data = [name for index, name in enumerate(node.input) if index not in INDICES.get(node.op_type, ())] or list(node.output)
        found += [f"{node.name}: {node.op_type} of {TYPES[types[name]]}" for name in data if TYPES[types[name]] not in allowed]
        odd = {attribute.name for attribute in node.attribute} - ATTRIBUTES.get(node.op_type, set())
        found += [f"{node.name}: {node.op_type} with {name}" for name in odd]
        found += [f"{node.name}: {node.op_type} has {len(node.output)} outputs" for _ in range(len(node.output) != 1)]
        places = [node.input[index] for index in INDICES.get(node.op_type, ()) if index < len(node.input) and node.op_type != "Gather"]
        found += [f"{node.name}: {name} of {node.op_type} is no constant" for name in places if name and name not in constants]
    return found


@every_form
@pytest.mark.parametrize("kind", KINDS)
def test_every_graph_stays_within_the_table(kind: str, opset: int, precision: Precision, target: str) -> None:
    """Operators, their types, their attributes, one output each, shapes as constants."""
    assert faults(build_graph(KINDS[kind], capacity=CAPACITY, opset=opset, precision=precision), target) == []


@every_form
def test_so_does_deepstreams(opset: int, precision: Precision, target: str) -> None:
    """The graph with planes at its beginning and softmax at its end."""
    assert faults(nvinfer_graph(build_graph(TINY, capacity=CAPACITY, opset=opset, precision=precision)), target) == []


def test_uint8_is_the_networks_input_and_nothing_else() -> None:
    """NVIDIA allows UINT8 for inputs and outputs only: it goes into one Cast and nowhere else."""
    for opset in TARGETS:
        model = onnx.load_from_string(build_graph(TINY, capacity=CAPACITY, opset=opset))
        users = [node.op_type for node in model.graph.node if "pictures" in node.input]
        assert users == ["Cast"]
        inferred = onnx.shape_inference.infer_shapes(model)
        assert [value.name for value in inferred.graph.value_info if value.type.tensor_type.elem_type == TensorProto.UINT8] == []


def test_what_is_not_in_the_table_is_found() -> None:
    """A norm for 8.5, an opset for 8.6, an attribute, a second output."""
    assert any("no LayerNormalization" in fault for fault in faults(build_graph(TINY, capacity=CAPACITY, opset=17), "8.5"))
    assert "opset 20 is above 17" in faults(build_graph(TINY, capacity=CAPACITY, opset=20), "8.6")
    assert any("no Gelu" in fault for fault in faults(build_graph(TINY, capacity=CAPACITY, opset=20), "8.6"))
    model = onnx.load_from_string(build_graph(TINY, capacity=CAPACITY, opset=18))
    nodes = {node.name: node for node in model.graph.node}
    nodes["patch_embed"].attribute.append(onnx.helper.make_attribute("group", 1))
    nodes["norm"].output.append("mean")
    found = " ".join(faults(model.SerializeToString(), "10.3"))
    assert "Conv with group" in found
    assert "LayerNormalization has 2 outputs" in found


def test_a_shape_that_is_computed_is_found() -> None:
    """A Reshape whose shape is no constant fails: the parsers want it at build time."""
    model = onnx.load_from_string(build_graph(TINY, capacity=CAPACITY, opset=18))
    node = next(node for node in model.graph.node if node.op_type == "Reshape")
    model.graph.node.insert(0, onnx.helper.make_node("Shape", ["pictures"], ["computed"], name="computed"))
    node.input[1] = "computed"
    found = faults(model.SerializeToString(), "10.3")
    assert "computed: no Shape" in found
    assert f"{node.name}: computed of Reshape is no constant" in found


def test_every_table_names_its_source() -> None:
    """Where each was read, and up to which opset it goes."""
    for table in TABLES.values():
        assert "onnx-tensorrt" in table["source"] or "docs.nvidia.com" in table["source"]
        assert 17 <= table["opset"] <= 25
