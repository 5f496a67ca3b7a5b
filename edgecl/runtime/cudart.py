"""The little that a predictor needs of CUDA: memory, copies, one stream, one graph. By ctypes on libcudart, without torch or pycuda.

Sources: CUDA Runtime API reference (docs.nvidia.com/cuda/cuda-runtime-api), the same functions from CUDA 11.4 to 13.
"""

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgecl.errors import GpuFailed, MissingExtra

NAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2  # cudaMemcpyKind
NON_BLOCKING = 1  # cudaStreamNonBlocking
THREAD_LOCAL = 1  # cudaStreamCaptureModeThreadLocal: what other threads do does not spoil a capture
MULTIPROCESSORS, MAJOR, MINOR = 16, 75, 76  # cudaDeviceAttr
PROPERTIES_BYTES = 16_384  # far more than any cudaDeviceProp; its first 256 bytes are the name in every release


@dataclass(frozen=True)
class Gpu:
    """The GPU that engines are built for."""

    name: str  # as the driver calls it
    compute: tuple[int, int]  # compute capability, (8, 7) for an Orin
    multiprocessors: int  # tells an Orin Nano from an AGX Orin, which share name and capability

    @property
    def key(self) -> str:
        """Its part of an engine's file name, such as `sm87x8`."""
        return f"sm{self.compute[0]}{self.compute[1]}x{self.multiprocessors}"


class Cuda(Protocol):
    """One GPU and this process's work on it. Addresses and handles are plain integers. `runtime.fake_tensorrt.FakeCuda` is the fake."""

    def device(self) -> Gpu:
        """Which GPU it is."""
        ...

    def malloc(self, size_bytes: int) -> int:
        """Memory of the GPU."""
        ...

    def free(self, address: int) -> None:
        """Give it back."""
        ...

    def host_malloc(self, size_bytes: int) -> int:
        """Page-locked memory of the host, from which copies run beside the CPU."""
        ...

    def host_free(self, address: int) -> None:
        """Give it back."""
        ...

    def to_device(self, device: int, host: int, size_bytes: int, stream: int) -> None:
        """Enqueue a copy to the GPU."""
        ...

    def to_host(self, host: int, device: int, size_bytes: int, stream: int) -> None:
        """Enqueue a copy from the GPU."""
        ...

    def stream(self) -> int:
        """A queue of work of its own."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Give it back."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait until everything enqueued has run."""
        ...

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """What `work` enqueues on the stream, not run but kept as one graph."""
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Enqueue a kept graph."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Give it back."""
        ...


class Cudart:
    """`Cuda` on the real library.

    Raises:
        MissingExtra: the library or a GPU is not there.
    """

    def __init__(self) -> None:
        self._library = _load()
        self._library.cudaGetErrorString.restype = ctypes.c_char_p
        count = ctypes.c_int()
        code = self._library.cudaGetDeviceCount(ctypes.byref(count))
        if code or not count.value:
            raise MissingExtra(f"CUDA sees no GPU here ({self._words(code)}). Run: edgecl doctor")

    def device(self) -> Gpu:
        """The current device of this process."""
        index = ctypes.c_int()
        self._check(self._library.cudaGetDevice(ctypes.byref(index)), "asking for the GPU")
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        ask = getattr(self._library, "cudaGetDeviceProperties_v2", None) or self._library.cudaGetDeviceProperties
        self._check(ask(properties, index), "asking for the GPU's name")
        major, minor, multiprocessors = (self._attribute(which, index) for which in (MAJOR, MINOR, MULTIPROCESSORS))
        return Gpu(properties.value.decode(errors="replace"), (major, minor), multiprocessors)

    def _attribute(self, which: int, index: ctypes.c_int) -> int:
        value = ctypes.c_int()
        self._check(self._library.cudaDeviceGetAttribute(ctypes.byref(value), which, index), "asking for the GPU's properties")
        return value.value

    def malloc(self, size_bytes: int) -> int:
        """cudaMalloc"""
        return self._handle("cudaMalloc", f"taking {size_bytes} bytes of GPU memory", ctypes.c_size_t(size_bytes))

    def free(self, address: int) -> None:
        """cudaFree"""
        self._check(self._library.cudaFree(ctypes.c_void_p(address)), "freeing GPU memory")

    def host_malloc(self, size_bytes: int) -> int:
        """cudaMallocHost"""
        return self._handle("cudaMallocHost", f"taking {size_bytes} bytes of page-locked memory", ctypes.c_size_t(size_bytes))

    def host_free(self, address: int) -> None:
        """cudaFreeHost"""
        self._check(self._library.cudaFreeHost(ctypes.c_void_p(address)), "freeing page-locked memory")

    def to_device(self, device: int, host: int, size_bytes: int, stream: int) -> None:
        """cudaMemcpyAsync"""
        self._copy(device, host, size_bytes, HOST_TO_DEVICE, stream)

    def to_host(self, host: int, device: int, size_bytes: int, stream: int) -> None:
        """cudaMemcpyAsync"""
        self._copy(host, device, size_bytes, DEVICE_TO_HOST, stream)

    def _copy(self, to: int, source: int, size_bytes: int, kind: int, stream: int) -> None:
        arguments = (ctypes.c_void_p(to), ctypes.c_void_p(source), ctypes.c_size_t(size_bytes), ctypes.c_int(kind), ctypes.c_void_p(stream))
        self._check(self._library.cudaMemcpyAsync(*arguments), f"copying {size_bytes} bytes")

    def stream(self) -> int:
        """cudaStreamCreateWithFlags"""
        return self._handle("cudaStreamCreateWithFlags", "making a stream", ctypes.c_uint(NON_BLOCKING))

    def destroy_stream(self, stream: int) -> None:
        """cudaStreamDestroy"""
        self._check(self._library.cudaStreamDestroy(ctypes.c_void_p(stream)), "closing a stream")

    def synchronize(self, stream: int) -> None:
        """cudaStreamSynchronize; an error of the work that ran shows here."""
        self._check(self._library.cudaStreamSynchronize(ctypes.c_void_p(stream)), "waiting for the GPU")

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """cudaStreamBeginCapture, `work`, cudaStreamEndCapture, cudaGraphInstantiateWithFlags.

        Raises:
            GpuFailed: something in `work` cannot be captured.
        """
        graph = ctypes.c_void_p()
        self._check(self._library.cudaStreamBeginCapture(ctypes.c_void_p(stream), THREAD_LOCAL), "beginning a CUDA graph")
        try:
            work()
        finally:
            code = self._library.cudaStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph))
        self._check(code, "ending a CUDA graph")
        try:
            return self._handle("cudaGraphInstantiateWithFlags", "making a CUDA graph", graph, ctypes.c_ulonglong(0))
        finally:
            self._library.cudaGraphDestroy(graph)

    def launch(self, graph: int, stream: int) -> None:
        """cudaGraphLaunch"""
        self._check(self._library.cudaGraphLaunch(ctypes.c_void_p(graph), ctypes.c_void_p(stream)), "running a CUDA graph")

    def destroy_graph(self, graph: int) -> None:
        """cudaGraphExecDestroy"""
        self._check(self._library.cudaGraphExecDestroy(ctypes.c_void_p(graph)), "closing a CUDA graph")

    def _handle(self, function: str, doing: str, *arguments: Any) -> int:
        """Call a function whose first parameter receives a pointer; returns it."""
        made = ctypes.c_void_p()
        self._check(getattr(self._library, function)(ctypes.byref(made), *arguments), doing)
        return int(made.value or 0)

    def _check(self, code: int, doing: str) -> None:
        if code:
            raise GpuFailed(f"{doing} failed: CUDA says {self._words(code)}. Run: edgecl doctor")

    def _words(self, code: int) -> str:
        text = self._library.cudaGetErrorString(code)
        return f"'{(text or b'unknown').decode(errors='replace')}' ({code})"


def _load() -> ctypes.CDLL:
    for name in _candidates():
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise MissingExtra(
        f"no CUDA runtime was found (tried {', '.join(NAMES)}); TensorRT needs it. On a Jetson it comes with JetPack. Run: edgecl doctor"
    )


def _candidates() -> Iterator[str]:
    """By name along the loader's path, then where CUDA's own installer and the wheels of PyPI put it."""
    yield from NAMES
    found = ctypes.util.find_library("cudart")
    if found:
        yield found
    yield from (str(Path("/usr/local/cuda/lib64") / name) for name in NAMES)
    wheels = importlib.util.find_spec("nvidia")
    for place in wheels.submodule_search_locations or () if wheels else ():
        yield from (str(path) for path in sorted(Path(place).glob("*/lib/libcudart.so*"), reverse=True))
