"""The predictor on TensorRT beside what the matrix of releases shows (tests/export/test_engine.py)."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecl.errors import BadInput, EdgeclError, EngineUnusable, MissingExtra
from edgecl.runtime.base import Predictor
from edgecl.runtime.fake_tensorrt import FakeCuda
from edgecl.runtime.trt import TrtPredictor, import_tensorrt
from edgecl.store import Store
from edgecl_export import to_tensorrt
from tests.runtime.engine_board import Board, board_of

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def board(store: Store) -> Board:
    """With an engine."""
    made = board_of(store)
    made.export(1)
    return made


def pictures(count: int, seed: int = 0) -> Any:
    """Noise of the input's size."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def test_is_a_predictor(board: Board) -> None:
    """It fulfils the seam: float32 logits `[b, capacity]` and features `[b, d]`."""
    predictor: Predictor = board.predictor(1)
    logits, features = predictor.infer(pictures(3))
    assert (logits.shape, features.shape, logits.dtype, features.dtype) == ((3, 16), (3, 32), np.float32, np.float32)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_pictures_are_answered_one_by_one_in_order(board: Board, count: int) -> None:
    """The engine's batch is 1: each picture's answer is the one that it gets alone."""
    predictor = board.predictor(1)
    batch = pictures(count)
    logits, _ = predictor.infer(batch)
    assert len(logits) == count
    for index in range(count):
        np.testing.assert_array_equal(logits[index], predictor.infer(batch[index : index + 1])[0][0])


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_a_larger_batch_is_filled_up(store: Store, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """An engine of batch 4 answers any number of pictures; what fills the last batch up is not answered."""
    monkeypatch.setattr(to_tensorrt, "BATCH", 4)
    batched = board_of(store)
    batched.export(1)
    single = board_of(store)
    answer = batched.predictor(1).infer(pictures(count))[0]
    monkeypatch.undo()
    single.export(1, kind="frozen")
    np.testing.assert_allclose(answer, single.predictor(1).infer(pictures(count))[0], atol=0.05)
    assert len(answer) == count


def test_one_inference_is_one_cuda_graph(board: Board) -> None:
    """Every picture is one launch of a graph that was captured when the engine was loaded, and is waited for."""
    predictor = board.predictor(1)
    before = board.cuda.launches
    predictor.infer(pictures(3))
    assert board.cuda.launches - before == 3
    assert board.cuda.synchronised


def test_where_nothing_can_be_captured_it_runs_without(store: Store) -> None:
    """The answers are the same."""
    board = board_of(store, cuda=FakeCuda(captures=False))
    board.export(1)
    predictor = board.predictor(1)
    assert predictor.serving is not None
    assert predictor.serving.session.graph is None
    with_graph = board_of(store).predictor(1)
    np.testing.assert_array_equal(predictor.infer(pictures(2))[0], with_graph.infer(pictures(2))[0])
    assert board.cuda.launches == 0


def test_an_input_buffer_is_not_the_callers(board: Board) -> None:
    """An answer does not change when the next picture is asked."""
    predictor = board.predictor(1)
    first, _ = predictor.infer(pictures(1))
    kept = first.copy()
    predictor.infer(pictures(1, seed=1))
    np.testing.assert_array_equal(first, kept)


def test_everything_is_given_back(board: Board) -> None:
    """Loading, failing and closing leave no memory, stream or graph; closing twice is fine; asking then is an error with the remedy."""
    predictor = board.predictor(1)
    once = len(board.cuda.held)
    for number in (2, 3, 1):
        predictor.load(board.store.folder(number))
    assert len(board.cuda.held) == once
    predictor.close()
    predictor.close()
    assert not board.cuda.held
    with pytest.raises(EdgeclError, match=r"call load\(folder\) first"):
        predictor.infer(pictures(1))


@pytest.mark.parametrize("bad", [np.zeros((1, 32, 32, 3), np.float32), np.zeros((32, 32, 3), np.uint8), np.zeros((1, 3, 32, 32), np.uint8)])
def test_unfit_pictures_are_refused(board: Board, bad: Any) -> None:
    """The message says what came and what is expected."""
    with pytest.raises(BadInput, match=r"but it takes uint8 \[b, 32, 32, 3\] rgb"):
        board.predictor(1).infer(bad)


def test_a_folder_outside_the_store_is_refused(board: Board, tmp_path: Path) -> None:
    """Engines belong to a store; a symlink to one of its versions will do."""
    with pytest.raises(EngineUnusable, match="is no version of the store"):
        board.predictor(None).load(tmp_path)
    predictor = board.predictor(None)
    predictor.load(board.store.root / "current")
    assert predictor.serving is not None
    assert predictor.serving.version == board.store.current


def test_no_engine_yet_says_how_to_build_one(store: Store) -> None:
    """The very first run on a board."""
    with pytest.raises(EngineUnusable, match=r"version 1 has no TensorRT engine yet\. Build one with: edgecl export --trt"):
        board_of(store).predictor(1)


def test_an_execution_that_fails_is_an_error(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT's false at run time is not an answer."""
    board.cuda.captures = False
    predictor = board.predictor(1)
    assert predictor.serving is not None
    monkeypatch.setattr(type(predictor.serving.session._context), "execute_async_v3", lambda self, stream_handle: False)
    with pytest.raises(EngineUnusable, match="TensorRT reports that an inference failed"):
        predictor.infer(pictures(1))


def test_a_foreign_engine_is_refused(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine with other tensors, or one that takes several shapes, is not run."""
    kind = board.trt.ICudaEngine  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(kind, "get_tensor_name", lambda self, index: ("images", "features", "logits")[index])
        with pytest.raises(
            EngineUnusable, match=r"has the tensors \['features', 'images', 'logits'\], expected uint8 pictures and float32"
        ):
            board.predictor(1)
    shapes = [(1, 32, 32, 3), (1, 32, 32, 3), (8, 32, 32, 3)]
    monkeypatch.setattr(kind, "get_tensor_profile_shape", lambda self, name, profile_index: shapes)
    with pytest.raises(EngineUnusable, match="expected one fixed shape"):
        board.predictor(2)


def test_a_damaged_state_does_not_stop_it(board: Board) -> None:
    """What somebody wrote under `engines` in state.json is not ours; the engine still serves and failures are still recorded."""
    for odd in (7, {"failed": 3, "timings": []}, {"failed": ["x"]}):
        board.store.update_state(lambda state, odd=odd: {**state, "engines": odd})  # type: ignore[misc]
        board.predictor(1).close()
    board.trt.bugs = frozenset({"swaps_weights"})
    with pytest.raises(EngineUnusable, match="self-test failed"):
        board.predictor(2)
    assert board.store.state()["engines"]["failed"][0]["version"] == 2


def test_a_missing_tensorrt_is_named(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """The message says where it comes from and what works without."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtra, match=r"On a Jetson it comes with JetPack.*edgecl run --runtime ort"):
        import_tensorrt()
    with pytest.raises(MissingExtra):
        TrtPredictor(store)


@pytest.mark.gpu
@pytest.mark.tensorrt
def test_on_a_real_gpu(store: Store) -> None:
    """The real TensorRT and the real CUDA: build, refit three versions, answer as ONNX Runtime does. Has run nowhere yet."""
    trt = pytest.importorskip("tensorrt", reason="TensorRT is not installed")
    from edgecl.runtime.cudart import Cudart
    from edgecl.runtime.ort import OrtPredictor
    from edgecl_export.engine import export_engine

    try:
        cuda = Cudart()
    except MissingExtra as reason:
        pytest.skip(str(reason))
    for kind in ("refit", "frozen"):
        export_engine(store, 1, trt=trt, cuda=cuda, kind=kind)  # type: ignore[arg-type]
    predictor, reference = TrtPredictor(store, trt=trt, cuda=cuda), OrtPredictor(threads=1)
    for number in (1, 2, 3, 1):
        predictor.load(store.folder(number))
        reference.load(store.folder(number))
        rows = store.manifest(number).rows()
        expected = reference.infer(pictures(4))[0][:, rows]
        assert np.abs(predictor.infer(pictures(4))[0][:, rows] - expected).max() < 0.01 * max(np.ptp(expected), 1.0)
    predictor.close()
