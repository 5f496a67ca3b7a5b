"""The fake's building half: parser, network, configuration, builder."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from edgecl.runtime.fake_tensorrt.guarded import Guarded
from edgecl.runtime.fake_tensorrt.plan import Plan


class ILogger(Guarded):
    """Base of a logger of one's own, which has `log(severity, message)`."""


class IHostMemory(bytes):
    """Something in host memory, read as a buffer."""

    _library: Any
    _kind: str

    @property
    def nbytes(self) -> int:
        """Bytes."""
        return len(self)


class ITimingCache(Guarded):
    """Which kernels were fastest."""

    _content: bytes

    def serialize(self) -> IHostMemory:
        """As bytes that another build can begin with."""
        return self._library.IHostMemory(self._content)  # type: ignore[no-any-return]


class IOptimizationProfile(Guarded):
    """The batch sizes that an engine is built for."""

    def __init__(self) -> None:
        self._shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        """Smallest, usual and largest shape of one input."""
        self._shapes[input] = (tuple(min), tuple(opt), tuple(max))


class IBuilderConfig(Guarded):
    """Flags, limits, profiles and the timing cache of one build."""

    def __init__(self) -> None:
        self._flags = {"TF32"}
        self._profiles: list[IOptimizationProfile] = []
        self._pools: dict[str, int] = {}
        self._cache: Any = None

    def set_flag(self, flag: Any) -> None:
        """Switch a flag on."""
        self._flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        """Switch a flag off."""
        self._flags.discard(flag.name)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        """Bytes that a pool may take."""
        self._pools[pool.name] = pool_size

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        """One more profile; returns its index."""
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        """A cache from bytes, empty ones for a new cache."""
        return self._library.ITimingCache._made(content=bytes(serialized_timing_cache))  # type: ignore[no-any-return]

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        """Use a cache; False when it was made on another GPU."""
        content = object.__getattribute__(cache, "_content")
        if content and not content.startswith(_cache_tag(self._library)):
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        """The cache in use."""
        return self._cache  # type: ignore[no-any-return]


class ILayer(Guarded):
    """One node of the graph."""

    _name: str
    _type: Any
    _output_type: Any = None

    precision: Any = None

    @property
    def name(self) -> str:
        """The node's."""
        return self._name

    @property
    def type(self) -> Any:
        """LayerType"""
        return self._type

    def set_output_type(self, index: int, dtype: Any) -> None:
        """Fix the type of an output."""
        object.__setattr__(self, "_output_type", dtype)


class INetworkDefinition(Guarded):
    """What the parser made of a graph."""

    _typed: bool
    name: str = "Unnamed Network 0"

    def _fill(self, graph: bytes, weights: dict[str, Any]) -> None:
        import onnx

        content = onnx.load_from_string(graph).graph
        nodes, weights = content.node, {tensor.name: weights[tensor.name] for tensor in content.initializer}
        kinds = {"LayerNormalization": "NORMALIZATION", "Softmax": "SOFTMAX", "MatMul": "MATRIX_MULTIPLY", "Cast": "CAST"}
        layer, types = self._library.ILayer, self._library.LayerType
        made = [layer._made(name=n.name, type=types[kinds.get(n.op_type, "ELEMENTWISE")]) for n in nodes if n.op_type != "Constant"]
        floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
        constants = [n.name for n in nodes if n.op_type == "Constant" and n.attribute[0].t.data_type in floats]
        for key, value in {"graph": graph, "weights": weights, "layers": made, "constants": constants, "marked": []}.items():
            object.__setattr__(self, f"_{key}", value)

    @property
    def num_layers(self) -> int:
        """How many."""
        return len(self._layers)

    def get_layer(self, index: int) -> ILayer:
        """One of them."""
        return self._layers[index]  # type: ignore[no-any-return]

    def mark_weights_refittable(self, name: str) -> bool:
        """False for a name that the network does not have."""
        if name not in self._weights:
            return False
        self._marked.append(name)
        return True


class ParserError(Guarded):
    """Why a graph could not be parsed."""

    _description: str

    def desc(self) -> str:
        """In words."""
        return self._description

    def node_name(self) -> str:
        """Where."""
        return ""


class OnnxParser(Guarded):
    """Reads a graph and the weights beside it."""

    def __init__(self, network: INetworkDefinition, logger: Any) -> None:
        self._network, self._errors = network, list[ParserError]()

    def parse_from_file(self, model: str) -> bool:
        """Fill the network; False with errors when the file or its weights cannot be read."""
        try:
            graph, weights = Path(model).read_bytes(), dict(load_file(Path(model).with_name("weights.safetensors")))
        except Exception as error:  # noqa: BLE001 - a parser reports whatever it meets
            self._errors.append(self._library.ParserError._made(description=str(error)))
            return False
        self._network._fill(graph, weights)
        return True

    @property
    def num_errors(self) -> int:
        """How many."""
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        """One of them."""
        return self._errors[index]


class Builder(Guarded):
    """Makes plans."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        """An empty network."""
        typed = bool(flags & 1 << self._library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        typed = typed or self._library.behaviours["always_strongly_typed"]
        return self._library.INetworkDefinition._made(typed=typed)  # type: ignore[no-any-return]

    def create_builder_config(self) -> IBuilderConfig:
        """Defaults; TF32 is on."""
        made = self._library.IBuilderConfig._made()
        IBuilderConfig.__init__(made)
        return made  # type: ignore[no-any-return]

    def create_optimization_profile(self) -> IOptimizationProfile:
        """Without shapes."""
        made = self._library.IOptimizationProfile._made()
        IOptimizationProfile.__init__(made)
        return made  # type: ignore[no-any-return]

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
        """A plan, or None with a message for the logger."""
        fault = self._fault(network, config)
        if fault:
            self._say(self._logger, fault)
            return None
        flags, weights = config._flags, network._weights
        refittable = list(weights) + network._constants if "REFIT" in flags else network._marked
        if "REFIT_INDIVIDUAL" not in flags and "REFIT" not in flags:
            refittable = []
        if config._cache is not None:
            object.__setattr__(config._cache, "_content", _cache_tag(self._library) + b" tactics")
        plan = Plan(
            version=self._library.__version__,
            compute=self._library._cuda.device().compute,
            name=network.name,
            shape=config._profiles[0]._shapes["pictures"][1],
            refittable=tuple(refittable),
            graph=network._graph,
            weights={name: np.array(value) for name, value in weights.items()},
        )
        return self._library.IHostMemory(plan.to_bytes())  # type: ignore[no-any-return]

    def _fault(self, network: INetworkDefinition, config: IBuilderConfig) -> str:
        """Why this cannot be built, or nothing."""
        if "never_builds" in self._bugs:
            return "[optimizer.cpp::computeCosts] Error Code 10: Internal Error (Could not find any implementation for node)"
        if {"REFIT", "REFIT_INDIVIDUAL"} <= config._flags:
            return "[config.cpp] Error Code 3: API Usage Error (kREFIT and kREFIT_INDIVIDUAL cannot both be set)"
        if network._typed and {"FP16", "PREFER_PRECISION_CONSTRAINTS"} & config._flags:
            return "[config.cpp] Error Code 3: API Usage Error (precision flags cannot be set in a strongly typed network)"
        if len(config._profiles) != 1 or "pictures" not in config._profiles[0]._shapes:
            return "[network.cpp] Error Code 4: API Usage Error (Network has dynamic or shape inputs, but no optimization profile has been defined)"
        return ""


def _cache_tag(library: Any) -> bytes:
    gpu = library._cuda.device()
    return f"timing cache of {library.__version__} on {gpu.name} {gpu.compute}".encode()


KINDS: tuple[type, ...] = (
    ILogger, IHostMemory, ITimingCache, IOptimizationProfile, IBuilderConfig, ILayer, INetworkDefinition, ParserError, OnnxParser, Builder,
)  # fmt: skip
