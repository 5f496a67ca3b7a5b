"""The inference graph of a plain ViT, written with onnx.helper: the same bytes for the same architecture, whatever the weights hold.

torch's exporters rename and transpose Linear weights and merge tensors of equal value, so two exports of one architecture have two
graphs. Here every initializer points by offset into `weights.safetensors` (see `edgecl.layout`), every other constant is a Constant
node, and every name is ours.

    pictures uint8 [b, h, w, 3] -> logits float32 [b, capacity], features float32 [b, d]

Published sources: Dosovitskiy et al. 2021 (arXiv 2010.11929) for the model, the ONNX operator specification for each opset's spelling.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from edgecl.architecture import Architecture
from edgecl.errors import MissingExtra, UnsupportedBackbone, UsageError
from edgecl.layout import deployment_shapes, tensor_offsets

Precision = Literal["fp32", "fp16"]
WRITER_VERSION = 1
IR_VERSIONS = {16: 8, 17: 8, 18: 8, 20: 9}
"""opset -> ir_version: the oldest that knows the opset, so that old runtimes read the file."""


def write_graph(architecture: Architecture, capacity: int) -> bytes:
    """The `model.onnx` of every version in a store: opset 18, fp32."""
    return build_graph(architecture, capacity=capacity)


def build_graph(architecture: Architecture, *, capacity: int, opset: int = 18, precision: Precision = "fp32") -> bytes:
    """The serialised, weight-free model; a function of the arguments alone.

    Raises:
        UsageError: an opset that is not written.
        UnsupportedBackbone: shapes that do not divide.
        MissingExtra: the package onnx is not installed.
    """
    if opset not in IR_VERSIONS:
        raise UsageError(f"opset {opset} is not written; choose one of {sorted(IR_VERSIONS)} with --opset")
    if architecture.width % architecture.heads or architecture.image_size % architecture.patch_size:
        raise UnsupportedBackbone(
            f"{architecture.backbone} has width {architecture.width} with {architecture.heads} heads and {architecture.image_size} pixels in "
            f"patches of {architecture.patch_size}; both must divide without rest"
        )
    return _Writer(architecture, capacity, opset, precision).model()


def graph_key(architecture: Architecture, *, capacity: int, opset: int = 18, precision: Precision = "fp32") -> str:
    """Names an engine: changes when the graph may change, and not with the installed onnx package."""
    return f"{architecture.key()}-c{capacity}-w{WRITER_VERSION}-opset{opset}-{precision}"


class _Writer:
    """Collects nodes in forward order; each method appends some and returns the name of its result."""

    def __init__(self, architecture: Architecture, capacity: int, opset: int, precision: Precision) -> None:
        try:
            import onnx
        except ImportError as error:
            raise MissingExtra.of("onnx", "learn", "Writing the graph") from error
        self.onnx: Any = onnx
        self.architecture, self.capacity, self.opset, self.precision = architecture, capacity, opset, precision
        self.dtype = np.float16 if precision == "fp16" else np.float32
        self.type = onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.FLOAT
        self.nodes: list[Any] = []
        self.constants: set[str] = set()

    def model(self) -> bytes:
        """The whole graph, serialised."""
        helper, tensor = self.onnx.helper, self.onnx.TensorProto
        size = self.architecture.image_size
        x = self.tokens("pictures")
        for index in range(self.architecture.depth):
            x = self.block(x, f"blocks.{index}")
        x = self.pooled(x)
        logits = self.linear(x, "head")
        self.add("Cast", "features.cast", [x], output="features", to=tensor.FLOAT)
        self.add("Cast", "logits.cast", [logits], output="logits", to=tensor.FLOAT)
        graph = helper.make_graph(
            self.nodes,
            "edgecl",
            [helper.make_tensor_value_info("pictures", tensor.UINT8, ["b", size, size, 3])],
            [
                helper.make_tensor_value_info("logits", tensor.FLOAT, ["b", self.capacity]),
                helper.make_tensor_value_info("features", tensor.FLOAT, ["b", self.architecture.width]),
            ],
            self.initializers(),
        )
        model = helper.make_model(
            graph, producer_name="edgecl", opset_imports=[helper.make_opsetid("", self.opset)], ir_version=IR_VERSIONS[self.opset]
        )
        for key, value in self.metadata().items():
            model.metadata_props.add(key=key, value=value)
        return bytes(model.SerializeToString(deterministic=True))

    def metadata(self) -> dict[str, str]:
        """What a reader of the file alone should know; class names are not among it, for they change."""
        return {
            "architecture": json.dumps(self.architecture.to_json(), sort_keys=True),
            "key": graph_key(self.architecture, capacity=self.capacity, opset=self.opset, precision=self.precision),
            "capacity": str(self.capacity),
            "opset": str(self.opset),
            "precision": self.precision,
            "writer": str(WRITER_VERSION),
        }

    def initializers(self) -> list[Any]:
        """Every tensor of the deployment layout as external data at its offset in the weights file."""
        shapes = deployment_shapes(self.architecture, self.capacity)
        tensors = []
        for name, (offset, length) in tensor_offsets(shapes, np.dtype(self.dtype).name).items():
            tensor = self.onnx.TensorProto(name=name, data_type=self.type, dims=shapes[name])
            tensor.data_location = self.onnx.TensorProto.EXTERNAL
            for key, value in (("location", "weights.safetensors"), ("offset", offset), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))
            tensors.append(tensor)
        return tensors

    def tokens(self, pictures: str) -> str:
        """Normalise in fp32, cut into patches, add positions: uint8 [b, h, w, 3] -> [b, n, d]."""
        a = self.architecture
        mean, std = np.array(a.mean, np.float64), np.array(a.std, np.float64)
        x = self.add("Cast", "input.float", [pictures], to=self.onnx.TensorProto.FLOAT)
        x = self.add("Mul", "input.scale", [x, self.constant("input.gain", (1 / (255 * std)).astype(np.float32))])
        x = self.add("Add", "input.shift", [x, self.constant("input.offset", (-mean / std).astype(np.float32))])
        if self.precision == "fp16":
            x = self.add("Cast", "input.half", [x], to=self.type)
        x = self.add("Transpose", "input.nchw", [x], perm=[0, 3, 1, 2])
        stride = [a.patch_size, a.patch_size]
        embedding = ["patch_embed.proj.weight"] if a.pre_norm else ["patch_embed.proj.weight", "patch_embed.proj.bias"]
        x = self.add("Conv", "patch_embed", [x, *embedding], kernel_shape=stride, strides=stride)
        x = self.add("Reshape", "patch_embed.flat", [x, self.integers("shape.patches", [0, a.width, -1])])
        x = self.add("Transpose", "patch_embed.tokens", [x], perm=[0, 2, 1])
        if a.prefix:
            # Zero rows in front become class token and registers when tok_pos is added, for the layout has put them in there.
            x = self.add("Pad", "class_token", [x, self.integers("pads.class", [0, a.prefix, 0, 0, 0, 0])])
        x = self.add("Add", "positions", [x, "tok_pos"])
        return self.layer_norm(x, "norm_pre") if a.pre_norm else x

    def pooled(self, x: str) -> str:
        """The class token, or the mean of the patches, with the last norm before or after: [b, n, d] -> [b, d]."""
        a = self.architecture
        if a.pooling == "token":
            # The norm works token by token, so only the class token needs it.
            x = self.add("Gather", "pool", [x, self.integers("index.class", 0)], axis=1)
            return self.layer_norm(x, "fc_norm" if a.norm_after_pooling else "norm")
        if not a.norm_after_pooling:
            x = self.layer_norm(x, "norm")
        if a.prefix:
            ends = [self.integers(f"patches.{name}", [value]) for name, value in (("start", a.prefix), ("end", a.tokens), ("axis", 1))]
            x = self.add("Slice", "patches", [x, *ends])
        x = self.mean_of_tokens(x)
        return self.layer_norm(x, "fc_norm") if a.norm_after_pooling else x

    def mean_of_tokens(self, x: str) -> str:
        """In fp32, for a sum over a thousand tokens: [b, n, d] -> [b, d]. The axes are an attribute up to opset 17, then an input."""
        if self.opset < 18:
            return self.in_fp32(x, "pool", "ReduceMean", axes=[1], keepdims=0)
        return self.in_fp32(x, "pool", "ReduceMean", self.integers("pool.axes", [1]), keepdims=0)

    def block(self, x: str, name: str) -> str:
        """Pre-norm attention and MLP, each with its residual: [b, n, d] -> [b, n, d]."""
        y = self.attention(self.layer_norm(x, f"{name}.norm1"), f"{name}.attn")
        x = self.add("Add", f"{name}.residual1", [x, self.layer_scale(y, f"{name}.ls1")])
        y = self.linear(self.layer_norm(x, f"{name}.norm2"), f"{name}.mlp.fc1")
        y = self.linear(self.activation(y, f"{name}.mlp"), f"{name}.mlp.fc2")
        return self.add("Add", f"{name}.residual2", [x, self.layer_scale(y, f"{name}.ls2")])

    def attention(self, x: str, name: str) -> str:
        """Multi-head self-attention, softmax in fp32: [b, n, d] -> [b, n, d]."""
        a = self.architecture
        x = self.linear(x, f"{name}.qkv")
        x = self.add("Reshape", f"{name}.heads", [x, self.integers("shape.heads", [0, a.tokens, 3, a.heads, a.head_width])])
        x = self.add("Transpose", f"{name}.split", [x], perm=[2, 0, 3, 1, 4])  # 3 b heads n width
        q, k, v = (self.add("Gather", f"{name}.{part}", [x, self.integers(f"index.{part}", i)], axis=0) for i, part in enumerate("qkv"))
        q = self.add("Mul", f"{name}.scale", [q, self.constant("attention.scale", self.dtype(a.head_width**-0.5))])
        k = self.add("Transpose", f"{name}.k_t", [k], perm=[0, 1, 3, 2])
        scores = self.in_fp32(self.add("MatMul", f"{name}.scores", [q, k]), f"{name}.softmax", "Softmax", axis=-1)
        x = self.add("MatMul", f"{name}.mix", [scores, v])
        x = self.add("Transpose", f"{name}.join", [x], perm=[0, 2, 1, 3])
        x = self.add("Reshape", f"{name}.tokens", [x, self.integers("shape.tokens", [0, a.tokens, a.width])])
        return self.linear(x, f"{name}.proj")

    def linear(self, x: str, name: str) -> str:
        """x @ W_t + b, the b where the layer has one"""
        x = self.add("MatMul", f"{name}.matmul", [x, f"{name}.weight_t"])
        if name.endswith("qkv") and not self.architecture.qkv_bias:
            return x
        return self.add("Add", f"{name}.add", [x, f"{name}.bias"])

    def layer_scale(self, x: str, name: str) -> str:
        """Times gamma where the architecture has it (Touvron et al. 2021, arXiv 2103.17239)."""
        return self.add("Mul", name, [x, f"{name}.gamma"]) if self.architecture.layer_scale else x

    def layer_norm(self, x: str, name: str) -> str:
        """Over the last axis, computed in fp32; opset 16 has no operator for it."""
        weight, bias, eps = f"{name}.weight", f"{name}.bias", self.architecture.norm_eps
        if self.opset >= 17:
            # stash_type 1: mean and variance in fp32, whatever the type of x.
            return self.add("LayerNormalization", name, [x, weight, bias], axis=-1, epsilon=eps, stash_type=1)
        half = self.precision == "fp16"
        y = self.add("Cast", f"{name}.float", [x], to=self.onnx.TensorProto.FLOAT) if half else x
        centred = self.add("Sub", f"{name}.centred", [y, self.add("ReduceMean", f"{name}.mean", [y], axes=[-1], keepdims=1)])
        square = self.add("Mul", f"{name}.square", [centred, centred])
        variance = self.add("ReduceMean", f"{name}.variance", [square], axes=[-1], keepdims=1)
        variance = self.add("Add", f"{name}.eps", [variance, self.constant("layer_norm.epsilon", np.float32(eps))])
        y = self.add("Div", f"{name}.unit", [centred, self.add("Sqrt", f"{name}.deviation", [variance])])
        y = self.add("Cast", f"{name}.half", [y], to=self.type) if half else y
        return self.add("Add", name, [self.add("Mul", f"{name}.gain", [y, weight]), bias])

    def activation(self, x: str, mlp: str) -> str:
        """The one of the architecture."""
        return self.gelu(x, f"{mlp}.gelu") if self.architecture.activation == "gelu" else self.quick_gelu(x, f"{mlp}.gelu")

    def quick_gelu(self, x: str, name: str) -> str:
        """x * sigmoid(1.702 x), the approximation that CLIP was trained with (Hendrycks & Gimpel 2016, section 2)."""
        y = self.add("Mul", f"{name}.steep", [x, self.constant("gelu.steepness", self.dtype(1.702))])
        return self.add("Mul", name, [x, self.add("Sigmoid", f"{name}.sigmoid", [y])])

    def gelu(self, x: str, name: str) -> str:
        """The exact one, x / 2 * (1 + erf(x / sqrt 2)) (Hendrycks & Gimpel 2016, arXiv 1606.08415)."""
        if self.opset >= 20:
            return self.add("Gelu", name, [x])
        y = self.add("Mul", f"{name}.root", [x, self.constant("gelu.root_half", self.dtype(0.5**0.5))])
        y = self.add("Add", f"{name}.one_plus", [self.add("Erf", f"{name}.erf", [y]), self.constant("gelu.one", self.dtype(1))])
        y = self.add("Mul", f"{name}.times", [x, y])
        return self.add("Mul", name, [y, self.constant("gelu.half", self.dtype(0.5))])

    def in_fp32(self, x: str, name: str, operator: str, *more: str, **attributes: Any) -> str:
        """One operator in fp32 within an fp16 graph; `more` are inputs that stay as they are."""
        if self.precision == "fp32":
            return self.add(operator, name, [x, *more], **attributes)
        x = self.add("Cast", f"{name}.float", [x], to=self.onnx.TensorProto.FLOAT)
        return self.add("Cast", f"{name}.half", [self.add(operator, name, [x, *more], **attributes)], to=self.type)

    def add(self, operator: str, name: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any) -> str:
        """Append a node named `name`; its one output is named alike."""
        result = output or name
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [result], name=name, **attributes))
        return result

    def constant(self, name: str, value: Any) -> str:
        """A small constant, written once as a Constant node: initializers are all external."""
        if name not in self.constants:
            self.constants.add(name)
            array = np.asarray(value)
            tensor = self.onnx.helper.make_tensor(
                name, self.onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, array.tobytes(), raw=True
            )
            self.nodes.append(self.onnx.helper.make_node("Constant", [], [name], name=name, value=tensor))
        return name

    def integers(self, name: str, value: int | list[int]) -> str:
        """A shape or an index."""
        return self.constant(name, np.array(value, np.int64))
