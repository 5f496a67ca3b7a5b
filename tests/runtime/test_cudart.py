"""The ctypes layer, against a library in C that has libcudart's functions on host memory. Whether a GPU obeys is not shown here."""

import ctypes
from pathlib import Path

import pytest

from edgecl.errors import GpuFailed, MissingExtra
from edgecl.runtime import cudart
from edgecl.runtime.cudart import Cudart, Gpu


@pytest.fixture
def log(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stub is what a search for libcudart finds; the file that it logs to."""
    monkeypatch.setattr(cudart, "_candidates", lambda: iter(["libcudart.so.0", str(library)]))
    monkeypatch.setenv("CUDART_STUB_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.mark.usefixtures("log")
def test_the_gpu_is_described() -> None:
    """Name from the properties' first bytes, capability and multiprocessors by attribute, of the current device."""
    assert Cudart().device() == Gpu("Stub GPU 3", (8, 7), 8)
    assert Cudart().device().key == "sm87x8"


def test_memory_copies_and_a_graph(log: Path) -> None:
    """Bytes go to the device and come back; every handle that was made is given back; capture, launch and synchronise are called in order."""
    cuda = Cudart()
    stream = cuda.stream()
    device, host = cuda.malloc(8), cuda.host_malloc(8)
    ctypes.memmove(host, b"12345678", 8)
    cuda.to_device(device, host, 8, stream)
    ctypes.memset(host, 0, 8)
    graph = cuda.capture(stream, lambda: cuda.to_host(host, device, 8, stream))
    cuda.launch(graph, stream)
    cuda.synchronize(stream)
    assert ctypes.string_at(host, 8) == b"12345678"
    cuda.destroy_graph(graph)
    cuda.host_free(host)
    cuda.free(device)
    cuda.destroy_stream(stream)
    calls = log.read_text().split("\n")
    captured = calls[calls.index("cudaStreamBeginCapture") :]
    assert captured == [
        "cudaStreamBeginCapture", "to host", "cudaStreamEndCapture", "cudaGraphInstantiateWithFlags", "cudaGraphDestroy",
        "cudaGraphLaunch", "cudaStreamSynchronize", "cudaGraphExecDestroy", "cudaFreeHost", "cudaFree", "cudaStreamDestroy", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("cudaMalloc", "taking 64 bytes of GPU memory failed"),
        ("cudaMallocHost", "taking 64 bytes of page-locked memory failed"),
        ("to device", "copying 64 bytes failed"),
        ("cudaStreamSynchronize", "waiting for the GPU failed"),
        ("cudaStreamEndCapture", "ending a CUDA graph failed"),
    ],
)
@pytest.mark.usefixtures("log")
def test_an_error_is_a_sentence(function: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was being done, CUDA's own words and number, and what to run."""
    cuda = Cudart()
    stream, buffer = cuda.stream(), ctypes.create_string_buffer(64)

    def everything() -> None:
        address = cuda.malloc(64)
        cuda.host_malloc(64)
        cuda.to_device(address, ctypes.addressof(buffer), 64, stream)
        cuda.capture(stream, lambda: None)
        cuda.synchronize(stream)

    everything()
    monkeypatch.setenv("CUDART_STUB_FAIL", function)
    with pytest.raises(GpuFailed, match=rf"{words}: CUDA says 'out of memory' \(2\)\. Run: edgecl doctor"):
        everything()


@pytest.mark.usefixtures("log")
def test_no_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library without a device is exit code 8."""
    monkeypatch.setenv("CUDART_STUB_FAIL", "cudaGetDeviceCount")
    with pytest.raises(MissingExtra, match=r"CUDA sees no GPU here \('out of memory' \(2\)\)\. Run: edgecl doctor"):
        Cudart()


def test_no_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without libcudart the message says what was looked for."""
    monkeypatch.setattr(cudart, "_candidates", lambda: iter(["libcudart.so.0"]))
    with pytest.raises(MissingExtra, match=r"no CUDA runtime was found \(tried libcudart\.so\.13, libcudart\.so\.12"):
        Cudart()


def test_the_usual_places_are_searched() -> None:
    """By name first, then CUDA's own folder."""
    found = list(cudart._candidates())
    assert found[:3] == list(cudart.NAMES)
    assert "/usr/local/cuda/lib64/libcudart.so" in found
