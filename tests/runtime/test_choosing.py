"""Which runtime answers, and what is said of it."""

import sys
from pathlib import Path

import pytest

from edgecl.device import load_profile
from edgecl.errors import EngineUnusable, MissingExtra, UsageError
from edgecl.runtime.choosing import load_predictor
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.trt import TrtPredictor
from edgecl.store import Store
from tests.runtime.engine_board import board_of

pytestmark = pytest.mark.usefixtures("no_waiting")
GPU, CPU, XAVIER = load_profile("desktop-gpu"), load_profile("cpu"), load_profile("xavier-nx")


@pytest.fixture
def folder(store: Store) -> Path:
    """Version 2."""
    return store.folder(2)


def test_auto_takes_tensorrt_where_an_engine_serves(store: Store, folder: Path) -> None:
    """The note names the engine."""
    board, said = board_of(store), list[str]()
    board.export(1)
    predictor = load_predictor(store, folder, GPU, note=said.append, trt=board.trt, cuda=board.cuda)
    assert isinstance(predictor, TrtPredictor)
    assert predictor.serving is not None
    assert said == [f"running in TensorRT ({predictor.serving.facts.name})"]


def test_auto_falls_back_and_says_why(store: Store, folder: Path) -> None:
    """No engine: the reason, the missing provider, and what runs instead; an engine that fails its test likewise."""
    board, said = board_of(store), list[str]()
    predictor = load_predictor(store, folder, GPU, note=said.append, trt=board.trt, cuda=board.cuda)
    assert isinstance(predictor, OrtPredictor)
    assert said[0] == "not in TensorRT: version 2 has no TensorRT engine yet. Build one with: edgecl export --trt"
    assert said[1].startswith("the installed onnxruntime has no CUDAExecutionProvider")
    assert said[2] == "running in ONNX Runtime (CPUExecutionProvider)"
    board.export(1)
    board.trt.bugs = frozenset({"swaps_weights"})
    said.clear()
    assert isinstance(load_predictor(store, folder, GPU, note=said.append, trt=board.trt, cuda=board.cuda), OrtPredictor)
    assert "self-test failed" in said[0]


def test_trt_means_trt(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for it does not get something slower: no engine and no TensorRT are errors."""
    board = board_of(store)
    with pytest.raises(EngineUnusable, match="has no TensorRT engine yet"):
        load_predictor(store, folder, CPU, runtime="trt", note=print, trt=board.trt, cuda=board.cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtra, match="TensorRT is not installed here"):
        load_predictor(store, folder, GPU, runtime="trt", note=print)


@pytest.mark.parametrize(("profile", "runtime"), [(GPU, "ort"), (CPU, "auto"), (XAVIER, "auto")], ids=["asked", "no GPU", "TensorRT 8"])
def test_tensorrt_is_not_even_looked_for(store: Store, folder: Path, profile: object, runtime: str) -> None:
    """With `ort`, or on a board whose TensorRT edgecl does not use, the one note is the provider that runs."""
    said: list[str] = []
    predictor = load_predictor(store, folder, profile, runtime=runtime, note=said.append)  # type: ignore[arg-type]
    assert isinstance(predictor, OrtPredictor)
    assert not any("TensorRT" in sentence for sentence in said)
    assert said[-1] == "running in ONNX Runtime (CPUExecutionProvider)"


def test_an_unknown_runtime_is_refused(store: Store, folder: Path) -> None:
    """The message has the choice."""
    with pytest.raises(UsageError, match="--runtime tflite is unknown; choose one of ort, trt, auto"):
        load_predictor(store, folder, CPU, runtime="tflite", note=print)  # type: ignore[arg-type]
