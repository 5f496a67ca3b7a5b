"""A GPU that is this machine's own memory."""

import ctypes
from collections.abc import Callable
from typing import Any

from edgecl.errors import GpuFailed
from edgecl.runtime.cudart import Gpu

ORIN_NANO = Gpu(name="Orin (fake)", compute=(8, 7), multiprocessors=8)


class FakeCuda:
    """`Cuda` on host memory, which counts what is allocated: `cuda.held` is empty when everything was given back.

    Args:
        gpu: what `device` answers.
        captures: False makes every capture of a CUDA graph fail, as some layers do.
    """

    def __init__(self, gpu: Gpu = ORIN_NANO, *, captures: bool = True) -> None:
        self.gpu, self.captures = gpu, captures
        self.held: dict[int, object] = {}
        self.launches = 0
        self.synchronised = True
        self._recording: list[Callable[[], object]] | None = None

    def device(self) -> Gpu:
        """The GPU that was handed in."""
        return self.gpu

    def malloc(self, size_bytes: int) -> int:
        """Some host memory."""
        buffer = ctypes.create_string_buffer(max(size_bytes, 1))
        address = ctypes.addressof(buffer)
        self.held[address] = buffer
        return address

    def host_malloc(self, size_bytes: int) -> int:
        """The same."""
        return self.malloc(size_bytes)

    def free(self, address: int) -> None:
        """Give memory back; twice is a KeyError, which on a GPU would be a crash."""
        del self.held[address]

    host_free = free

    def to_device(self, device: int, host: int, size_bytes: int, stream: int) -> None:
        """Copy, now or when the recorded graph is launched."""
        self.enqueue(lambda: ctypes.memmove(device, host, size_bytes))

    def to_host(self, host: int, device: int, size_bytes: int, stream: int) -> None:
        """Copy, now or when the recorded graph is launched."""
        self.enqueue(lambda: ctypes.memmove(host, device, size_bytes))

    def stream(self) -> int:
        """A handle."""
        return self.malloc(1)

    def destroy_stream(self, stream: int) -> None:
        """Give it back."""
        self.free(stream)

    def synchronize(self, stream: int) -> None:
        """Everything has run already."""
        self.synchronised = True

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """Record what `work` enqueues.

        Raises:
            GpuFailed: captures are switched off.
        """
        if not self.captures:
            raise GpuFailed("CUDA says 'operation not permitted when stream is capturing' (900)")
        recorded: list[Callable[[], object]] = []
        self._recording = recorded
        try:
            work()
        finally:
            self._recording = None
        handle = self.malloc(1)
        self.held[handle] = recorded, self.held[handle]
        return handle

    def launch(self, graph: int, stream: int) -> None:
        """Do again what was recorded."""
        steps: Any = self.held[graph]
        self.launches += 1
        for step in steps[0]:
            step()

    def destroy_graph(self, graph: int) -> None:
        """Give it back."""
        self.free(graph)

    def enqueue(self, step: Callable[[], object]) -> None:
        """Run a step, or record it during a capture."""
        self.synchronised = False
        if self._recording is not None:
            self._recording.append(step)
        else:
            step()
