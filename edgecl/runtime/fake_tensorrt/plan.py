"""What a fake engine is on disk, and how it computes: the graph and the weights, through ONNX Runtime."""

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import load

from edgecl.layout import safetensors_bytes
from edgecl.runtime.ort import OrtPredictor

Array = NDArray[Any]
MAGIC = b"FAKETRT1"


@dataclass(frozen=True)
class Plan:
    """The content of a plan file."""

    version: str  # of TensorRT
    compute: tuple[int, int]  # the GPU's compute capability
    name: str  # network.name
    shape: tuple[int, ...]  # of the input: batch, height, width, 3
    refittable: tuple[str, ...]  # weights and, with REFIT, constants
    graph: bytes
    weights: dict[str, Array]

    def to_bytes(self) -> bytes:
        """Magic, sha256 of the rest, header, graph, weights."""
        weights = safetensors_bytes(self.weights)
        fields = {key: value for key, value in asdict(self).items() if key not in ("graph", "weights")}
        header = json.dumps({**fields, "graph_bytes": len(self.graph), "order": list(self.weights)}).encode()
        body = len(header).to_bytes(8, "little") + header + self.graph + weights
        return MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, data: bytes) -> "Plan":
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: anything else.
        """
        body = data[40:]
        if data[:8] != MAGIC or hashlib.sha256(body).digest() != data[8:40]:
            raise ValueError("Magic tag does not match")
        end = 8 + int.from_bytes(body[:8], "little")
        fields = json.loads(body[8:end])
        graph = body[end : end + fields.pop("graph_bytes")]
        for name in ("compute", "refittable", "shape"):
            fields[name] = tuple(fields[name])
        tensors = load(body[end + len(graph) :])
        return cls(
            **{name: value for name, value in fields.items() if name != "order"},
            graph=graph,
            weights={name: tensors[name] for name in fields["order"]},
        )


def runner(graph: bytes, weights: dict[str, Array]) -> OrtPredictor:
    """The graph with these weights, in the order of the layout, ready to answer."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "model.onnx").write_bytes(graph)
        (Path(place) / "weights.safetensors").write_bytes(safetensors_bytes(weights))
        predictor = OrtPredictor(threads=1)
        predictor.load(Path(place))
        return predictor
