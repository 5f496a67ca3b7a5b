"""Which runtime answers, what is said of it, and how an engine that becomes ready takes over."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecl.device import load_profile
from edgecl.errors import EdgeclError, EngineUnusable, MissingExtra, UsageError
from edgecl.runtime.base import Predictor
from edgecl.runtime.choosing import AnyPredictor
from edgecl.runtime.rebuild import Ended
from edgecl.runtime.serving import Served
from edgecl.runtime.trt import TrtPredictor
from edgecl.store import Store
from tests.runtime.engine_board import Board, board_of

pytestmark = pytest.mark.usefixtures("no_waiting")
GPU, CPU, XAVIER = load_profile("desktop-gpu"), load_profile("cpu"), load_profile("xavier-nx")


@pytest.fixture
def folder(store: Store) -> Path:
    """Version 2."""
    return store.folder(2)


def loaded(board: Board, folder: Path, said: list[str], **options: Any) -> AnyPredictor:
    """A predictor with `folder` loaded, on a desktop GPU."""
    predictor = AnyPredictor(board.store, GPU, note=said.append, trt=board.trt, cuda=board.cuda, **options)
    predictor.load(folder)
    return predictor


def pictures(count: int = 1) -> Any:
    """Noise of the input's size."""
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def test_auto_takes_tensorrt_where_an_engine_serves(store: Store, folder: Path) -> None:
    """The note names the engine, and so does the predictor, with the precision by which it is judged."""
    board, said = board_of(store), list[str]()
    name = board.export(1).facts.name
    predictor = loaded(board, folder, said)
    assert said == [f"running in TensorRT ({name})"]
    assert (predictor.runtime, predictor.provider, predictor.precision) == ("tensorrt", name, "fp16")
    seam: Predictor = predictor
    assert seam.infer(pictures(2))[0].shape == (2, 16)


def test_auto_falls_back_and_says_why(store: Store, folder: Path) -> None:
    """No engine: the reason, the missing provider, and what runs instead; an engine that fails its test likewise."""
    board, said = board_of(store), list[str]()
    predictor = loaded(board, folder, said)
    assert (predictor.runtime, predictor.provider, predictor.precision) == ("onnxruntime", "CPUExecutionProvider", "fp32")
    assert said[0] == "not in TensorRT: version 2 has no TensorRT engine yet. Build one with: edgecl export --trt"
    assert said[1].startswith("the installed onnxruntime has no CUDAExecutionProvider")
    assert said[2] == "running in ONNX Runtime (CPUExecutionProvider)"
    board.export(1)
    board.trt.bugs = frozenset({"swaps_weights"})
    said.clear()
    assert loaded(board, folder, said).runtime == "onnxruntime"
    assert "self-test failed" in said[0]


@pytest.mark.parametrize("runtime", ["trt", "auto"])
def test_an_engine_that_serves_gives_way_to_nothing_slower(store: Store, folder: Path, runtime: str) -> None:
    """When the next version's engine fails, the old version goes on in TensorRT, whether that was asked for or found."""
    board, said = board_of(store), list[str]()
    board.export(1)
    predictor = loaded(board, folder, said, runtime=runtime)
    before = predictor.infer(pictures())[0]
    board.trt.bugs = frozenset({"swaps_weights"})
    with pytest.raises(EngineUnusable, match="self-test failed"):
        predictor.load(store.folder(3))
    assert predictor.runtime == "tensorrt"
    np.testing.assert_array_equal(predictor.infer(pictures())[0], before)


def test_trt_means_trt(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for it does not get something slower: no engine and no TensorRT are errors."""
    board = board_of(store)
    with pytest.raises(EngineUnusable, match="has no TensorRT engine yet"):
        loaded(board, folder, [], runtime="trt")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtra, match="TensorRT is not installed here"):
        AnyPredictor(store, GPU, runtime="trt", note=print).load(folder)


@pytest.mark.parametrize(("profile", "runtime"), [(GPU, "ort"), (CPU, "auto"), (XAVIER, "auto")], ids=["asked", "no GPU", "TensorRT 8"])
def test_tensorrt_is_not_even_looked_for(store: Store, folder: Path, profile: Any, runtime: Any) -> None:
    """With `ort`, or on a board whose TensorRT edgecl does not use, the last note is the provider that runs."""
    said: list[str] = []
    predictor = AnyPredictor(store, profile, runtime=runtime, note=said.append)
    predictor.load(folder)
    assert predictor.runtime == "onnxruntime"
    assert not any("TensorRT" in sentence for sentence in said)
    assert said[-1] == "running in ONNX Runtime (CPUExecutionProvider)"


def test_an_unknown_runtime_is_refused(store: Store) -> None:
    """The message has the choice."""
    with pytest.raises(UsageError, match="--runtime tflite is unknown; choose one of ort, trt, auto"):
        AnyPredictor(store, CPU, runtime="tflite", note=print)  # type: ignore[arg-type]


def test_nothing_is_asked_before_a_load(store: Store) -> None:
    """Nor after a close; closing twice is fine."""
    predictor = AnyPredictor(store, CPU, note=print)
    predictor.load(store.folder(1))
    predictor.close()
    predictor.close()
    with pytest.raises(EdgeclError, match=r"call load\(folder\) first"):
        predictor.infer(pictures())


# An engine that becomes ready


class Child:
    """A rebuild whose end the test decides."""

    def __init__(self, store: Store, version: int) -> None:
        self.version, self.stopped = version, False
        self.ended: Ended | None = None

    def poll(self) -> Ended | None:
        return self.ended

    def stop(self) -> None:
        self.stopped = True


class Place:
    """Version 2 in ONNX Runtime on a board that could do better, while a child builds."""

    def __init__(self, store: Store) -> None:
        self.board, self.said, self.children = board_of(store), list[str](), list[Child]()
        self.predictor = loaded(self.board, store.folder(2), self.said, rebuild=self._child)

    def _child(self, store: Store, version: int) -> Child:
        self.children.append(Child(store, version))
        return self.children[-1]

    def frames(self, until: Callable[[], bool]) -> None:
        """Answer frames until it is so."""
        deadline = time.monotonic() + 30
        while not until():
            self.predictor.infer(pictures())
            assert time.monotonic() < deadline


@pytest.fixture
def place(store: Store) -> Place:
    """A child is at work."""
    made = Place(store)
    assert [child.version for child in made.children] == [2]
    return made


def test_an_engine_takes_over_between_two_frames(place: Place) -> None:
    """ONNX Runtime answers until the child has built and the thread has tested; from then on TensorRT; at the end nothing is held."""
    place.frames(lambda: True)
    assert place.predictor.runtime == "onnxruntime"
    name = place.board.export(2).facts.name
    place.children[0].ended = Ended(0, "")
    place.frames(lambda: place.predictor.runtime == "tensorrt")
    assert place.said[-1] == f"running in TensorRT ({name}) from now on"
    served = Served(place.board.store.manifest(2), place.predictor)
    assert (served.runtime, served.provider) == ("tensorrt", name)
    before = place.predictor.infer(pictures())[0]
    np.testing.assert_array_equal(before, place.board.predictor(2).infer(pictures())[0])
    place.predictor.close()


def test_no_frame_waits_for_the_engine(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the thread loads and tests, frames are answered by what serves."""
    go, real = threading.Event(), TrtPredictor.load

    def slow(self: TrtPredictor, folder: Path) -> None:
        assert go.wait(30)
        real(self, folder)

    monkeypatch.setattr(TrtPredictor, "load", slow)
    place.board.export(2)
    place.children[0].ended = Ended(0, "")
    for _ in range(20):
        place.predictor.infer(pictures())
        assert place.predictor.runtime == "onnxruntime"
    go.set()
    place.frames(lambda: place.predictor.runtime == "tensorrt")
    place.predictor.close()
    assert not place.board.cuda.held


@pytest.mark.parametrize("how", ["the child", "the engine"])
def test_what_fails_is_told_once_and_not_tried_again(place: Place, how: str) -> None:
    """The sentence says how the child ended, or why its engine does not serve; ONNX Runtime goes on."""
    if how == "the engine":
        place.board.export(2)
        place.board.trt.bugs = frozenset({"swaps_weights"})
    place.children[0].ended = Ended(-9 if how == "the child" else 0, "")
    said = len(place.said)
    place.frames(lambda: len(place.said) > said)
    words = "was killed by signal 9, for its memory perhaps" if how == "the child" else "self-test failed"
    assert place.said[-1].startswith("version 2 gets no TensorRT engine: ")
    assert words in place.said[-1]
    for _ in range(5):
        place.predictor.infer(pictures())
    assert (len(place.said), len(place.children), place.predictor.runtime) == (said + 1, 1, "onnxruntime")


def test_closing_ends_the_child_and_frees_what_was_ready(place: Place) -> None:
    """Whether it still builds, or its engine was loaded and never taken."""
    place.predictor.close()
    assert place.children[0].stopped
    other = Place(place.board.store)
    other.board.export(2)
    other.children[0].ended = Ended(0, "")
    other.predictor.infer(pictures())
    other.predictor.close()
    assert not other.board.cuda.held


def test_another_version_ends_the_build_of_the_one_before(place: Place) -> None:
    """The predictor follows what is loaded into it."""
    place.predictor.load(place.board.store.folder(3))
    assert place.children[0].stopped
    assert [child.version for child in place.children] == [2, 3]
