"""One version as a TensorRT plan, by TensorRT's own builder. Two small paths, and everything else alike:

    weakly typed      TensorRT 10.0 to 10.11: the fp32 graph, and a flag that lets TensorRT choose fp16 kernels
    strongly typed    TensorRT 10.12 to 11.x: the graph's own types are kept, so fp16 is in the graph

Flags are asked for by name, for they come and go between releases. Sources: NVIDIA's Python bindings of 10.3, 10.16 and 11.4, whose
signatures tests compare with what is called here, and NvInfer.h for what each flag means. REFIT_IDENTICAL and stripped plans are
not used: an engine of theirs is undefined with other weights than it was built with.
"""

import tempfile
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgecl.architecture import Architecture
from edgecl.errors import EngineUnusable
from edgecl.layout import deployment_shapes, refittable_names, safetensors_bytes
from edgecl.runtime.engines import Kind
from edgecl.runtime.session import INPUT, make_logger, started
from edgecl.store.atomic import replace_all
from edgecl_export.graph import Precision, build_graph
from edgecl_export.to_onnx import GRAPH_FILE, WEIGHTS_FILE, in_precision

Array = NDArray[Any]
BATCH = 1  # pictures per inference, as a camera asks; a fixed shape lets CUDA keep the whole inference as one graph
STRONGLY_TYPED_FROM = (10, 12)  # NVIDIA calls strong typing complete from here on, though the flag exists since 10.0
NOISE = 0.02  # standard deviation of what stands in for weights without variety


@dataclass(frozen=True)
class Road:
    """How this TensorRT is asked for an engine."""

    strongly_typed: bool
    opset: int
    refittable: Literal["individual", "all"]  # how a refit engine is marked

    def graph_precision(self, precision: Precision) -> Precision:
        """Of the ONNX graph for an engine of `precision`."""
        return precision if self.strongly_typed else "fp32"


@dataclass(frozen=True)
class Built:
    """A plan as the builder made it."""

    plan: bytes
    seconds: float
    notes: tuple[str, ...]  # what a person should know, in sentences


def road_of(trt: Any) -> Road:
    """Which path the installed TensorRT takes.

    Raises:
        EngineUnusable: a TensorRT before 10, whose road is ONNX and trtexec.
    """
    major, minor = (int(part) for part in trt.__version__.split(".")[:2])
    if major < 10:
        raise EngineUnusable(
            f"TensorRT {trt.__version__} is older than 10. Export for it with: edgecl export --onnx --opset 16, and build with the trtexec "
            "line that this prints"
        )
    typed = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    weak = hasattr(trt.BuilderFlag, "FP16")
    strongly_typed = typed and (not weak or (major, minor) >= STRONGLY_TYPED_FROM)
    return Road(strongly_typed, 20 if strongly_typed else 18, "individual" if hasattr(trt.BuilderFlag, "REFIT_INDIVIDUAL") else "all")


def build_plan(
    trt: Any,
    architecture: Architecture,
    arrays: Mapping[str, Array],
    *,
    name: str,
    kind: Kind,
    precision: Precision,
    timing_cache: Path,
    workspace_mib: int | None = None,
) -> Built:
    """Let TensorRT build an engine; minutes on a board, and the memory's peak of its whole life.

    Args:
        arrays: deployment tensors, float32: the version's own for a frozen engine, `surrogate` ones for one to refit.
        name: what the plan calls itself.
        timing_cache: read before, written after; which kernels were fastest on this GPU.
        workspace_mib: memory that the builder may take; None leaves it to TensorRT.

    Raises:
        EngineUnusable: TensorRT refuses or fails; with what it said.
    """
    road, logger, begun = road_of(trt), make_logger(trt), time.monotonic()
    notes: list[str] = []
    builder = started(trt, trt.Builder, logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if road.strongly_typed else 0
    network = builder.create_network(flags)
    config = builder.create_builder_config()
    with tempfile.TemporaryDirectory() as place:
        _write_model(Path(place), architecture, arrays, road.opset, road.graph_precision(precision))
        parser = trt.OnnxParser(network, logger)  # holds the weights that the network points to until it is built
        if not parser.parse_from_file(str(Path(place) / GRAPH_FILE)):
            faults = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
            raise EngineUnusable(f"TensorRT {trt.__version__} cannot read the graph: {faults or logger.last()}")
        network.name = name
        _configure(trt, builder, config, architecture.image_size, workspace_mib)
        _set_precision(trt, network, config, road, precision)
        if kind == "refit":
            _mark_refittable(trt, network, config, road, refittable_names(architecture))
        _read_cache(config, timing_cache, notes)
        memory = builder.build_serialized_network(network, config)
    if memory is None:
        hint = "" if workspace_mib is None else f" The workspace was {workspace_mib} MiB."
        raise EngineUnusable(
            f"TensorRT {trt.__version__} could not build the {kind} engine{logger.last()}.{hint} Close other programs that use the GPU's memory "
            "and try again, or use: edgecl export --onnx"
        )
    _write_cache(config, timing_cache)
    return Built(bytes(memory), time.monotonic() - begun, tuple(notes))


def _write_model(folder: Path, architecture: Architecture, arrays: Mapping[str, Array], opset: int, precision: Precision) -> None:
    """Graph and weights as the parser reads them."""
    capacity = len(arrays["head.bias"])
    (folder / GRAPH_FILE).write_bytes(build_graph(architecture, capacity=capacity, opset=opset, precision=precision))
    ordered = {name: arrays[name] for name in deployment_shapes(architecture, capacity)}  # the graph points by offset
    (folder / WEIGHTS_FILE).write_bytes(safetensors_bytes(in_precision(ordered, precision)))


def surrogate(arrays: Mapping[str, Array], architecture: Architecture, road: Road) -> dict[str, Array]:
    """What a refit engine is built with: the backbone's own tensors, and noise in the place of refittable ones without variety.

    A zero head, or two tensors of equal values, could be folded or merged by value. The noise is a function of the tensor's name, so a
    plan depends on nothing that was learned.

    Args:
        arrays: deployment tensors of the backbone as it came.
    """
    may_change = set(refittable_names(architecture)) if road.refittable == "individual" else set(arrays)
    made, seen = {}, set[bytes]()
    for name, array in arrays.items():
        content = array.tobytes()
        if name in may_change and (name.startswith("head.") or np.ptp(array) == 0 or content in seen):
            random = np.random.default_rng(zlib.crc32(name.encode()))
            array = random.normal(0, NOISE, array.shape).astype(np.float32)
        seen.add(content)
        made[name] = array
    return made


def _configure(trt: Any, builder: Any, config: Any, image_size: int, workspace_mib: int | None) -> None:
    """One optimization profile with one shape; the workspace."""
    profile = builder.create_optimization_profile()
    shape = (BATCH, image_size, image_size, 3)
    profile.set_shape(INPUT, shape, shape, shape)
    config.add_optimization_profile(profile)
    if workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mib * 2**20)


def _set_precision(trt: Any, network: Any, config: Any, road: Road, precision: Precision) -> None:
    """fp16 by flag on the weakly typed road, with norms, softmax and means in fp32; fp32 means fp32, not TF32.

    Preferred, not obeyed: obeying fails the build where a fused layer has no fp32 kernel, and
    whether the answers are right is for the self-test to say.
    """
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)
    elif not road.strongly_typed:
        config.set_flag(trt.BuilderFlag.FP16)
        config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            if layer.type in (trt.LayerType.NORMALIZATION, trt.LayerType.SOFTMAX, trt.LayerType.REDUCE):
                layer.precision = trt.DataType.FLOAT
                layer.set_output_type(0, trt.DataType.FLOAT)


def _mark_refittable(trt: Any, network: Any, config: Any, road: Road, names: list[str]) -> None:
    """Exactly our weights where TensorRT can mark them (10.3 and later), else all."""
    if road.refittable == "all":
        config.set_flag(trt.BuilderFlag.REFIT)
        return
    config.set_flag(trt.BuilderFlag.REFIT_INDIVIDUAL)
    refused = [name for name in names if not network.mark_weights_refittable(name)]
    if refused:
        raise EngineUnusable(
            f"TensorRT {trt.__version__} does not find {len(refused)} of {len(names)} weights by their names, {refused[0]} for example. "
            "Build with: edgecl export --trt --engine frozen"
        )


def _read_cache(config: Any, path: Path, notes: list[str]) -> None:
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    cache = config.create_timing_cache(content)
    if cache is None or not config.set_timing_cache(cache, False):
        notes.append(f"the timing cache {path.name} is from another GPU or TensorRT and is begun anew")
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _write_cache(config: Any, path: Path) -> None:
    cache = config.get_timing_cache()
    if cache is not None:
        replace_all({path: bytes(cache.serialize())}, tmp=path.parent / "tmp")
