"""One TensorRT engine ready to answer: its plan in memory, its buffers, its stream, and a CUDA graph of one inference.

Only the parts of TensorRT's API that are the same from 10.0 to 11.4: tensors by name, `execute_async_v3`, no torch, no pycuda.
"""

import ctypes
from contextlib import ExitStack
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import EngineUnusable, GpuFailed
from edgecl.runtime.cudart import Cuda

Array = NDArray[Any]
INPUT, OUTPUTS = "pictures", ("logits", "features")


def make_logger(trt: Any) -> Any:
    """A logger that prints nothing and keeps what went wrong; `last()` is the newest error, ready to follow a sentence."""

    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps errors."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            """Called by TensorRT for everything it says."""
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(msg)

        def last(self) -> str:
            """` (TensorRT: what it said)`, or nothing."""
            return f" (TensorRT: {self.errors[-1].strip()})" if self.errors else ""

    return Log()


def started(trt: Any, kind: Any, logger: Any) -> Any:
    """`trt.Runtime` or `trt.Builder`; without a working driver the bindings raise a TypeError of pybind11's.

    Raises:
        GpuFailed: TensorRT cannot start.
    """
    try:
        return kind(logger)
    except TypeError as error:
        raise GpuFailed(f"TensorRT {trt.__version__} cannot start ({error}){logger.last()}. Run: edgecl doctor") from error


def deserialize(trt: Any, plan: bytes, logger: Any) -> Any:
    """The engine of a plan.

    Raises:
        EngineUnusable: TensorRT does not take it; other release, other GPU, or damaged.
    """
    engine = started(trt, trt.Runtime, logger).deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineUnusable(f"TensorRT {trt.__version__} does not take the plan{logger.last()}")
    return engine


class TrtSession:
    """Answers pictures with one engine; its batch is fixed, and larger or smaller ones are cut and filled up.

    Raises:
        EngineUnusable: the engine's inputs and outputs are not those of an edgecl graph, or memory is short.
    """

    def __init__(self, trt: Any, engine: Any, cuda: Cuda) -> None:
        self._trt, self._engine, self._cuda = trt, engine, cuda
        self.shapes = _shapes(trt, engine)
        self._context = engine.create_execution_context()
        if self._context is None:
            raise EngineUnusable("TensorRT cannot run the engine: it made no execution context. The GPU's memory may be short")
        self._held = ExitStack()
        try:
            self._prepare()
        except BaseException:
            self._held.close()
            raise

    def _prepare(self) -> None:
        self._stream = self._cuda.stream()
        self._held.callback(self._cuda.destroy_stream, self._stream)
        self._device: dict[str, int] = {}
        self._host: dict[str, int] = {}
        self._views: dict[str, Array] = {}
        for name, shape in self.shapes.items():
            self._device[name] = self._cuda.malloc(self._bytes(name))
            self._held.callback(self._cuda.free, self._device[name])
            self._host[name] = self._cuda.host_malloc(self._bytes(name))
            self._held.callback(self._cuda.host_free, self._host[name])
            kind = ctypes.c_uint8 if name == INPUT else ctypes.c_float
            self._views[name] = np.ctypeslib.as_array((kind * prod(shape)).from_address(self._host[name])).reshape(shape)
            if not self._context.set_tensor_address(name, self._device[name]):
                raise EngineUnusable(f"TensorRT does not take an address for {name}")
        if not self._context.set_input_shape(INPUT, self.shapes[INPUT]):
            raise EngineUnusable(f"the engine does not take pictures of the shape {list(self.shapes[INPUT])}")
        self._views[INPUT][:] = 0
        self._enqueue()  # the first run does what cannot be captured
        self._cuda.synchronize(self._stream)
        self.graph: int | None = None
        try:
            self.graph = self._cuda.capture(self._stream, self._enqueue)
            self._held.callback(self._cuda.destroy_graph, self.graph)
        except GpuFailed:
            self.graph = None  # every inference is enqueued piece by piece; slower by some launches

    @property
    def batch(self) -> int:
        """Pictures per inference."""
        return self.shapes[INPUT][0]

    def infer(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """uint8 `[b, h, w, 3]` -> (logits `[b, capacity]`, features `[b, d]`)."""
        answers: dict[str, NDArray[np.float32]] = {name: np.empty((len(pictures), *self.shapes[name][1:]), np.float32) for name in OUTPUTS}
        for start in range(0, len(pictures), self.batch):
            part = pictures[start : start + self.batch]
            self._views[INPUT][: len(part)] = part
            if self.graph is not None:
                self._cuda.launch(self.graph, self._stream)
            else:
                self._enqueue()
            self._cuda.synchronize(self._stream)
            for name, answer in answers.items():
                answer[start : start + len(part)] = self._views[name][: len(part)]
        return answers["logits"], answers["features"]

    def close(self) -> None:
        """Give memory, stream and graph back; may be called twice."""
        self._views = {}
        self._held.close()
        self._context = self._engine = None

    def _enqueue(self) -> None:
        self._cuda.to_device(self._device[INPUT], self._host[INPUT], self._bytes(INPUT), self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise EngineUnusable("TensorRT reports that an inference failed")
        for name in OUTPUTS:
            self._cuda.to_host(self._host[name], self._device[name], self._bytes(name), self._stream)

    def _bytes(self, name: str) -> int:
        return prod(self.shapes[name]) * (1 if name == INPUT else 4)


def _shapes(trt: Any, engine: Any) -> dict[str, tuple[int, ...]]:
    """Name -> shape with the fixed batch, when the engine has the inputs and outputs of a graph of edgecl."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    found = {name: (engine.get_tensor_mode(name), engine.get_tensor_dtype(name)) for name in names}
    mode, dtype = trt.TensorIOMode, trt.DataType
    expected = {INPUT: (mode.INPUT, dtype.UINT8), **dict.fromkeys(OUTPUTS, (mode.OUTPUT, dtype.FLOAT))}
    if found != expected:
        raise EngineUnusable(f"the engine has the tensors {sorted(names)}, expected uint8 {INPUT} and float32 {' and '.join(OUTPUTS)}")
    smallest, usual, largest = (tuple(shape) for shape in engine.get_tensor_profile_shape(INPUT, 0))
    if not smallest == usual == largest:
        raise EngineUnusable(f"the engine takes pictures from {list(smallest)} to {list(largest)}, expected one fixed shape")
    return {INPUT: usual, **{name: (usual[0], *tuple(engine.get_tensor_shape(name))[1:]) for name in OUTPUTS}}
