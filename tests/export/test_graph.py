"""The graph that edgecl writes: the same model as timm's, and the same bytes whatever the weights hold."""

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from safetensors.numpy import load_file

from edgecl.architecture import Architecture
from edgecl.backbone import architecture_of, build, load_pretrained
from edgecl.backbones import NANO
from edgecl.demo.render import THINGS, render
from edgecl.errors import MissingExtra, UnsupportedBackbone, UsageError
from edgecl.head import fit_head
from edgecl.layout import deployment_shapes, safetensors_bytes, tensor_offsets, to_deployment
from edgecl.preprocess import decode, geometry_of, to_input
from edgecl_export.graph import IR_VERSIONS, Precision, build_graph, graph_key, write_graph
from edgecl_export.parity import check
from tests.export.models import CAPACITY, KINDS, ROWS, SCALED, TINY, random_head, random_state, scenes, timm_against_runtime, write

OPSETS = (16, 17, 18, 20)
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")
every_form = pytest.mark.parametrize(("opset", "precision"), [(o, p) for o in OPSETS for p in PRECISIONS])


@pytest.mark.parametrize("architecture", [TINY, SCALED], ids=["plain", "layer scale"])
@pytest.mark.parametrize("count", [1, 3])
@every_form
def test_answers_as_timm_does(tmp_path: Path, architecture: Architecture, opset: int, precision: Precision, count: int) -> None:
    """Every opset and precision, with and without layer scale, batch 1 and 3: logits and features within the limits."""
    state, head = random_state(architecture), random_head(architecture.width)
    folder = write(tmp_path / "version", architecture, state, head, opset, precision)
    logits, features = timm_against_runtime(folder, architecture, state, head, scenes(32, count))
    check(logits, precision=precision, hop="timm -> ONNX Runtime")
    assert logits.spread > 1
    assert features.relative < (1e-6 if precision == "fp32" else 5e-3)


@pytest.mark.parametrize("eps", [1e-6, 1e-2])
@pytest.mark.parametrize("opset", [16, 18])
def test_the_norms_epsilon_is_the_architectures(tmp_path: Path, eps: float, opset: int) -> None:
    """Tokens of small variance, where an epsilon of 1e-2 changes the answer and another one than timm's would show."""
    architecture = dataclasses.replace(TINY, norm_eps=eps)
    state, head = random_state(architecture), random_head(architecture.width)
    for name in state:
        if name.endswith(("patch_embed.proj.weight", "bias", "cls_token", "pos_embed")) and "norm" not in name:
            state[name] = state[name] * np.float32(0.05)
    folder = write(tmp_path / "version", architecture, state, head, opset, "fp32")
    _, features = timm_against_runtime(folder, architecture, state, head, scenes(32, 3))
    assert features.relative < 1e-6
    with_other = dataclasses.replace(architecture, norm_eps=5e-3)
    other = write(tmp_path / "other", with_other, state, head, opset, "fp32")
    assert timm_against_runtime(other, architecture, state, head, scenes(32, 3))[1].relative > 1e-4


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"plain", "layer scale"}))
@every_form
def test_each_kind_answers_as_timm_does(tmp_path: Path, kind: str, opset: int, precision: Precision) -> None:
    """Registers, positions of patches alone, average pooling, no class token, a norm in front: batch 1 and 3, every form."""
    architecture = KINDS[kind]
    state, head = random_state(architecture), random_head(architecture.width)
    folder = write(tmp_path / "version", architecture, state, head, opset, precision)
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    for count in (1, 3):
        logits, features = timm_against_runtime(folder, architecture, state, head, scenes(architecture.image_size, count))
        check(logits, precision=precision, hop="timm -> ONNX Runtime")
        assert logits.spread > 1
        assert features.relative < (2e-6 if precision == "fp32" else 5e-3)


def test_graphs_of_the_first_release_have_kept_their_bytes() -> None:
    """Keys and graphs of plain models, with and without layer scale, are those of the writer's first version: no engine is built anew."""
    graphs = [build_graph(a, capacity=16, opset=o, precision=p) for a in (TINY, SCALED) for o in OPSETS for p in PRECISIONS]
    assert (TINY.key(), SCALED.key()) == ("8f538aba8e5e8120", "8e38779a74f3525b")
    assert hashlib.sha256(b"".join(graphs)).hexdigest() == "b05e33195075a4b5342da36d389becb63a316fe4badcd434f9e97546178acad7"


# Every class of backbone at full size once; vit_small_patch14_dinov2 sees 518 pixels, 1370 tokens.
FULL_SIZE = (
    *[(name, scaled) for name in ("vit_tiny_patch16_224", "vit_base_patch16_224") for scaled in (False, True)],
    *[(name, True) for name in ("deit3_small_patch16_224", "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2")],
    ("vit_base_patch16_clip_224", False),
    ("vit_medium_patch16_gap_240", True),
    ("vit_little_patch16_reg4_gap_256", True),
)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer_scale"), FULL_SIZE, ids=[f"{name}{' scaled' * scaled}" for name, scaled in FULL_SIZE])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_class_of_backbone_answers_as_timm_does(tmp_path: Path, name: str, layer_scale: bool, precision: Precision) -> None:
    """Random norms, biases and layer scales, pictures without symmetry, batch 1 and 3, at full size."""
    architecture = dataclasses.replace(architecture_of(name), layer_scale=layer_scale)
    state, head = random_state(architecture), random_head(architecture.width, 128)
    folder = write(tmp_path / "version", architecture, state, head, 18, precision)
    for count in (1, 3):
        logits, features = timm_against_runtime(folder, architecture, state, head, scenes(architecture.image_size, count))
        check(logits, precision=precision, hop=f"{name} -> ONNX Runtime")
        assert features.relative < (1e-4 if precision == "fp32" else 2e-2)
    shutil.rmtree(folder)  # vit_base alone has 344 MB


@pytest.mark.parametrize("precision", PRECISIONS)
def test_trained_weights_on_drawn_things(tmp_path: Path, precision: Precision) -> None:
    """The backbone that edgecl brings, with a head fitted on its features: trained numbers, whose range random ones do not have, within the limits."""
    pretrained = load_pretrained(NANO.backbone)
    geometry = geometry_of(NANO)
    pictures = np.stack([to_input(render(thing, seed=seed), geometry) for thing in THINGS for seed in (1, 2, 3)])
    rows = np.repeat(np.arange(len(THINGS)), 3)
    with torch.no_grad():
        fitted = fit_head(build(NANO, pretrained.state)(torch.from_numpy(pictures)).numpy(), rows, capacity=CAPACITY)
    folder = write(tmp_path / "version", NANO, dict(pretrained.state), (fitted.weight, fitted.bias), 18, precision)
    logits, _ = timm_against_runtime(folder, NANO, pretrained.state, (fitted.weight, fitted.bias), pictures)
    check(logits, precision=precision, hop="timm -> ONNX Runtime")


@pytest.mark.slow
@pytest.mark.shared
@every_form
def test_real_weights_on_real_photos(tmp_path: Path, shared: Path, opset: int, precision: Precision) -> None:
    """64 Grocery photos through the real ViT-Tiny with its own 1000 classes, all rows used."""
    file = next((shared / "weights").glob("vit_tiny_patch16_224*.safetensors"))
    pretrained = load_pretrained("vit_tiny_patch16_224", file)
    assert pretrained.head_weight is not None
    assert pretrained.head_bias is not None
    photos = sorted((shared / "data" / "grocery" / "train").glob("*/*.jpg"))
    geometry = geometry_of(pretrained.architecture)
    pictures = np.stack([to_input(decode(photo), geometry) for photo in photos[:: len(photos) // 64][:64]])
    head = (pretrained.head_weight, pretrained.head_bias)
    folder = write(tmp_path / "version", pretrained.architecture, pretrained.state, head, opset, precision)
    logits, _ = timm_against_runtime(folder, pretrained.architecture, pretrained.state, head, pictures)
    assert (logits.n, logits.spread > 10) == (64, True)
    check(logits, precision=precision, hop="timm -> ONNX Runtime")


@pytest.mark.parametrize("architecture", [TINY, SCALED], ids=["plain", "layer scale"])
@every_form
def test_the_checker_accepts_it(tmp_path: Path, architecture: Architecture, opset: int, precision: Precision) -> None:
    """onnx's full check with shape inference, with the weights beside the graph."""
    write(tmp_path, architecture, random_state(architecture), random_head(architecture.width), opset, precision)
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)


def test_the_graph_does_not_depend_on_the_weights(tmp_path: Path) -> None:
    """Random weights, all-equal tensors and zeros: one sha256 (the exporters of torch merge equal tensors)."""
    states = [random_state(TINY, 0), random_state(TINY, 1)]
    states += [{name: np.full_like(value, constant) for name, value in states[0].items()} for constant in (0.0, 1.0)]
    digests = set()
    for index, state in enumerate(states):
        folder = write(tmp_path / str(index), TINY, state, random_head(TINY.width, seed=index), 18, "fp32")
        onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
        digests.add(hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest())
    assert len(digests) == 1


@every_form
def test_the_graph_is_a_function_of_its_arguments(opset: int, precision: Precision) -> None:
    """The same bytes in the same process, and others for every other argument."""
    first = build_graph(TINY, capacity=CAPACITY, opset=opset, precision=precision)
    assert first == build_graph(TINY, capacity=CAPACITY, opset=opset, precision=precision)
    others = [
        build_graph(TINY, capacity=CAPACITY, opset=o, precision=p) for o in OPSETS for p in PRECISIONS if (o, p) != (opset, precision)
    ]
    others.append(build_graph(TINY, capacity=CAPACITY + 8, opset=opset, precision=precision))
    others.append(build_graph(dataclasses.replace(TINY, norm_eps=1e-5), capacity=CAPACITY, opset=opset, precision=precision))
    assert first not in others


WRITE = (
    "import hashlib, onnx; from edgecl_export.graph import build_graph; from tests.export.models import TINY, SCALED; "
    "print(onnx.__version__, *[hashlib.sha256(build_graph(a, capacity=16, opset=o, precision=p)).hexdigest() "
    "for a in (TINY, SCALED) for o in (16, 17, 18, 20) for p in ('fp32', 'fp16')])"
)

OLDER = "onnx==1.17.0"


def digests(python_path: str) -> list[str]:
    """The version of onnx that a new process finds, and the sha256 of each graph that it writes."""
    environment = {**os.environ, "PYTHONPATH": python_path, "PYTHONHASHSEED": "7"}
    found = subprocess.run([sys.executable, "-c", WRITE], env=environment, capture_output=True, text=True, check=True)
    return found.stdout.split()


@pytest.mark.slow
def test_another_onnx_package_writes_the_same_graph(tmp_path: Path) -> None:
    """sha256 of every form under the installed onnx and under an older one, in processes of their own."""
    old = tmp_path / "old"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "--target", str(old), OLDER]
    if subprocess.run(install, capture_output=True).returncode:
        pytest.skip(f"{OLDER} cannot be installed here")
    root = Path(__file__).parents[2]
    ours = os.pathsep.join([str(root), str(root / "export")])
    now, then = digests(ours), digests(os.pathsep.join([str(old), ours]))
    assert then[0] == OLDER.partition("==")[2] != now[0]
    assert then[1:] == now[1:]


@pytest.mark.parametrize("architecture", [TINY, SCALED], ids=["plain", "layer scale"])
@every_form
def test_every_tensor_lies_in_the_weights_file(tmp_path: Path, architecture: Architecture, opset: int, precision: Precision) -> None:
    """The initializers are the layout's tensors, external at their offsets; whatever else is constant is a Constant node; all are used."""
    arrays = to_deployment(
        random_state(architecture), *random_head(architecture.width), architecture, np.float16 if precision == "fp16" else np.float32
    )
    data = safetensors_bytes(arrays)
    graph = onnx.load_from_string(build_graph(architecture, capacity=CAPACITY, opset=opset, precision=precision)).graph
    assert [tensor.name for tensor in graph.initializer] == list(deployment_shapes(architecture, CAPACITY))
    for tensor in graph.initializer:
        where: dict[str, Any] = {entry.key: entry.value for entry in tensor.external_data}
        assert (tensor.data_location, where["location"], tensor.raw_data) == (TensorProto.EXTERNAL, "weights.safetensors", b"")
        start, length = int(where["offset"]), int(where["length"])
        assert data[start : start + length] == arrays[tensor.name].tobytes()
        assert tuple(tensor.dims) == arrays[tensor.name].shape
    constants = [node for node in graph.node if node.op_type == "Constant"]
    assert all(node.attribute[0].t.ByteSize() < 256 for node in constants)
    used = [name for node in graph.node for name in node.input]
    made = {name for node in graph.node for name in node.output} | {tensor.name for tensor in graph.initializer} | {"pictures"}
    assert set(used) | {"logits", "features"} == made
    assert len({node.name for node in graph.node}) == len(graph.node)


def test_a_safetensors_reader_reads_the_weights(tmp_path: Path) -> None:
    """The file that the graph points into is an ordinary safetensors file."""
    state, head = random_state(TINY), random_head(TINY.width)
    folder = write(tmp_path, TINY, state, head, 18, "fp32")
    arrays = load_file(folder / "weights.safetensors")
    np.testing.assert_array_equal(arrays["blocks.1.mlp.fc1.weight_t"], state["blocks.1.mlp.fc1.weight"].T)
    assert set(arrays) == set(tensor_offsets(deployment_shapes(TINY, CAPACITY), "float32"))


@every_form
def test_what_stands_in_the_file(opset: int, precision: Precision) -> None:
    """Fixed ir_version, no producer version, uint8 pictures in, float32 out whatever the precision, no class names."""
    model = onnx.load_from_string(build_graph(TINY, capacity=CAPACITY, opset=opset, precision=precision))
    assert (model.ir_version, model.producer_name, model.producer_version) == (IR_VERSIONS[opset], "edgecl", "")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    values = {value.name: value.type.tensor_type for value in (*model.graph.input, *model.graph.output)}
    shapes = {name: [axis.dim_param or axis.dim_value for axis in value.shape.dim] for name, value in values.items()}
    assert shapes == {"pictures": ["b", 32, 32, 3], "logits": ["b", CAPACITY], "features": ["b", 32]}
    types = [values[name].elem_type for name in ("pictures", "logits", "features")]
    assert types == [TensorProto.UINT8, TensorProto.FLOAT, TensorProto.FLOAT]
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert set(facts) == {"architecture", "key", "capacity", "opset", "precision", "writer"}
    assert facts["key"] == graph_key(TINY, capacity=CAPACITY, opset=opset, precision=precision)


def test_operators_are_those_of_the_opset() -> None:
    """Opset 16 spells out norm and GELU, 17 has the norm, 20 has both: what old TensorRT parsers read."""
    operators = {
        opset: {node.op_type for node in onnx.load_from_string(build_graph(TINY, capacity=CAPACITY, opset=opset)).graph.node}
        for opset in OPSETS
    }
    assert {opset: ("LayerNormalization" in found, "Gelu" in found) for opset, found in operators.items()} == {
        16: (False, False),
        17: (True, False),
        18: (True, False),
        20: (True, True),
    }


def test_a_store_writes_opset_18_fp32() -> None:
    """`write_graph` is the version's own graph; it is small."""
    assert write_graph(TINY, CAPACITY) == build_graph(TINY, capacity=CAPACITY, opset=18, precision="fp32")
    assert len(write_graph(dataclasses.replace(TINY, depth=12), CAPACITY)) < 100_000


def test_free_rows_stay_out_of_reach(tmp_path: Path) -> None:
    """A free row answers -1e4 exactly, in fp16 as well."""
    from edgecl.runtime.ort import OrtPredictor

    for precision in PRECISIONS:
        folder = write(tmp_path / precision, TINY, random_state(TINY), random_head(TINY.width), 18, precision)
        predictor = OrtPredictor(threads=1)
        predictor.load(folder)
        logits, _ = predictor.infer(scenes(32, 2))
        assert (np.delete(logits, ROWS, axis=1) == -1e4).all()


@pytest.mark.parametrize("opset", [0, 15, 19, 21])
def test_an_opset_that_is_not_written_is_refused(opset: int) -> None:
    """The message names the choice."""
    with pytest.raises(UsageError, match=rf"opset {opset} is not written; choose one of \[16, 17, 18, 20\] with --opset"):
        build_graph(TINY, capacity=CAPACITY, opset=opset)


@pytest.mark.parametrize("change", [{"heads": 3}, {"patch_size": 7}])
def test_shapes_that_do_not_divide_are_refused(change: dict[str, int]) -> None:
    """Heads must divide the width, patches the picture."""
    with pytest.raises(
        UnsupportedBackbone, match=r"vit_tiny_test has width 32 with \d heads and 32 pixels in patches of \d; both must divide"
    ):
        build_graph(dataclasses.replace(TINY, **change), capacity=CAPACITY)


def test_a_missing_onnx_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the install line is part of the message."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgecl\[learn\]'"):
        build_graph(TINY, capacity=CAPACITY)
