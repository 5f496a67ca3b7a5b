"""The fake's serving half: runtime, engine, execution context, refitter."""

import ctypes
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.runtime.fake_tensorrt.guarded import Guarded
from edgecl.runtime.fake_tensorrt.plan import Plan, runner
from edgecl.runtime.ort import OrtPredictor

Array = NDArray[Any]
SLOW_S = 0.02  # what "slow_when_refittable" adds to each inference


class Weights(Guarded):
    """A view of an array; nothing is copied."""

    def __init__(self, a: Array) -> None:
        self._array = a

    @property
    def dtype(self) -> Any:
        """DataType"""
        return self._library.DataType["HALF" if self._array.dtype == np.float16 else "FLOAT"]

    @property
    def size(self) -> int:
        """Values, -1 where there is no such weight."""
        return getattr(self, "_size", self._array.size)


class ICudaEngine(Guarded):
    """A plan in memory."""

    _plan: Plan
    _runner: OrtPredictor | None = None

    @property
    def name(self) -> str:
        """network.name of the build."""
        return self._plan.name

    @property
    def refittable(self) -> bool:
        """Whether it was built so."""
        return bool(self._plan.refittable)

    @property
    def num_io_tensors(self) -> int:
        """pictures, logits, features."""
        return 3

    def get_tensor_name(self, index: int) -> str:
        """Outputs may come in any order."""
        return ("pictures", "features", "logits")[index]

    def get_tensor_mode(self, name: str) -> Any:
        """TensorIOMode"""
        return self._library.TensorIOMode["INPUT" if name == "pictures" else "OUTPUT"]

    def get_tensor_dtype(self, name: str) -> Any:
        """DataType"""
        return self._library.DataType["UINT8" if name == "pictures" else "FLOAT"]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """-1 for the batch."""
        return (-1, *self._shape(name)[1:])

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        """Smallest, usual and largest shape of an input."""
        return [self._shape(name)] * 3

    def create_execution_context(self) -> "IExecutionContext":
        """One place to run it in."""
        made: IExecutionContext = self._library.IExecutionContext._made(of=self, addresses={}, shape=None)
        return made

    def _runs(self) -> OrtPredictor:
        """The graph with the weights of now."""
        if self._runner is None:
            weights = dict(self._plan.weights)
            if self._plan.refittable and "drops_a_bias" in self._bugs:
                weights["head.bias"] = np.zeros_like(weights["head.bias"])
            object.__setattr__(self, "_runner", runner(self._plan.graph, weights))
        assert self._runner is not None
        return self._runner

    def _shape(self, name: str) -> tuple[int, ...]:
        plan = self._plan
        if name == "pictures":
            return plan.shape
        return (plan.shape[0], plan.weights["head.weight_t"].shape[1 if name == "logits" else 0])


class IExecutionContext(Guarded):
    """Runs an engine on addresses."""

    _of: ICudaEngine
    _addresses: dict[str, int]
    _shape: tuple[int, ...] | None

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        """False outside the profile."""
        if tuple(shape) != self._of._shape(name):
            return False
        object.__setattr__(self, "_shape", tuple(shape))
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Where a tensor lies."""
        self._addresses[name] = memory
        return name in ("pictures", "logits", "features")

    def execute_async_v3(self, stream_handle: int) -> bool:
        """False while an address or the shape is missing."""
        if self._shape is None or set(self._addresses) != {"pictures", "logits", "features"}:
            return False
        self._library._cuda.enqueue(self._execute)
        return True

    def _execute(self) -> None:
        plan = self._of._plan
        assert self._shape is not None
        count = int(np.prod(self._shape))
        raw = (ctypes.c_uint8 * count).from_address(self._addresses["pictures"])
        if plan.refittable and "slow_when_refittable" in self._bugs:
            time.sleep(SLOW_S)
        answer = self._of._runs().infer(np.ctypeslib.as_array(raw).reshape(self._shape))
        for name, value in zip(("logits", "features"), answer, strict=True):
            data = np.ascontiguousarray(value, np.float32)
            ctypes.memmove(self._addresses[name], data.ctypes.data, data.nbytes)


class Runtime(Guarded):
    """Makes engines of plans."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        """An engine, or None with a message for the logger."""
        try:
            plan = Plan.from_bytes(serialized_engine)
        except (ValueError, KeyError, IndexError) as error:
            self._say(self._logger, f"IRuntime::deserializeCudaEngine: Error Code 1: Serialization ({error})")
            return None
        device = self._library._cuda.device()
        if plan.version != self._library.__version__:
            self._say(self._logger, "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Version tag does not match)")
            return None
        if plan.compute != device.compute:
            expected, got = (".".join(map(str, pair)) for pair in (plan.compute, device.compute))
            self._say(
                self._logger,
                f"The engine plan file is generated on an incompatible device, expecting compute {got} got compute {expected}, please rebuild.",
            )
            return None
        return self._library.ICudaEngine._made(plan=plan)  # type: ignore[no-any-return]


class Refitter(Guarded):
    """Gives an engine other weights."""

    def __init__(self, engine: ICudaEngine, logger: Any) -> None:
        self._engine, self._logger, self._given = engine, logger, dict[str, Array]()

    def get_all_weights(self) -> list[str]:
        """In an order that is not the graph's."""
        names = sorted(self._engine._plan.refittable, reverse=self._library.behaviours["weights_order"] == "reversed")
        return names[1:] if "loses_a_weight" in self._bugs else names

    def get_missing_weights(self) -> list[str]:
        """What must be supplied beside what was."""
        return ["blocks.0.attn.qkv.bias"] if "lists_missing" in self._bugs and self._given else []

    def get_weights_prototype(self, weights_name: str) -> Weights:
        """Type and size that are expected."""
        known = self._engine._plan.weights.get(weights_name)
        made: Weights = self._library.Weights._made(array=np.zeros(0, np.float32) if known is None else known)
        if known is None:
            object.__setattr__(made, "_size", -1)
        return made

    def set_named_weights(self, name: str, weights: Weights) -> bool:
        """False for a name, a type or a size that does not fit."""
        known = self._engine._plan.weights.get(name)
        refused = "refuses_a_weight" in self._bugs and name == "head.bias"
        if refused or name not in self._engine._plan.refittable or known is None:
            return False
        if weights._array.dtype != known.dtype or weights._array.size != known.size or not weights._array.flags.c_contiguous:
            return False
        self._given[name] = weights._array
        return True

    def refit_cuda_engine(self) -> bool:
        """Replace what was set; what was not keeps its last value."""
        given = dict(self._given)
        if "refit_stops_halfway" in self._bugs:
            given = dict(list(given.items())[: len(given) // 2])
        if "swaps_weights" in self._bugs:
            first, second = "blocks.0.mlp.fc1.weight_t", "blocks.1.mlp.fc1.weight_t"
            given[first], given[second] = given[second], given[first]
        weights = self._engine._plan.weights
        object.__setattr__(self._engine, "_runner", None)
        for name, value in given.items():
            weights[name] = np.array(value).reshape(weights[name].shape)
        return "refit_stops_halfway" not in self._bugs


KINDS: tuple[type, ...] = (Weights, ICudaEngine, IExecutionContext, Runtime, Refitter)
