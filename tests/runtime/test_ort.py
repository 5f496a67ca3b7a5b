"""ONNX Runtime as predictor."""

import builtins
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecl.architecture import state_shapes
from edgecl.errors import BadInput, EdgeclError, MissingExtra, StoreDamaged
from edgecl.layout import FREE_BIAS, safetensors_bytes, to_deployment
from edgecl.runtime.ort import BATCH_LIMIT, OrtPredictor
from edgecl_export.graph import write_graph
from tests.runtime.tiny import CAPACITY, COLOURS, SIZE, colour_weights, plain, reference, write_version
from tests.store.builders import TINY


@pytest.fixture
def loaded(version: Path) -> OrtPredictor:
    """A predictor that has the tiny version loaded."""
    predictor = OrtPredictor(threads=1)
    predictor.load(version)
    return predictor


def test_answers_with_the_graphs_numbers(loaded: OrtPredictor) -> None:
    """Logits and features are float32 and equal the graph's definition in numpy."""
    pictures = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.uint8)
    logits, features = loaded.infer(pictures)
    expected_logits, expected_features = reference(pictures, colour_weights())
    assert (logits.dtype, features.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(features, expected_features, rtol=1e-5)


@pytest.mark.parametrize("count", [0, 1, BATCH_LIMIT, BATCH_LIMIT + 1, 2 * BATCH_LIMIT + 3])
def test_any_batch_size_is_answered_in_order(loaded: OrtPredictor, count: int) -> None:
    """A batch above the limit is split, and each picture keeps its place; an empty batch has an empty answer."""
    pictures = np.concatenate([np.zeros((0, SIZE, SIZE, 3), np.uint8), *(plain("red", 1, value) for value in range(count))])
    logits, features = loaded.infer(pictures)
    assert logits.shape == (count, CAPACITY)
    np.testing.assert_allclose(features[:, 0], np.arange(count) / 255, atol=1e-6)


def test_is_deterministic(loaded: OrtPredictor, version: Path) -> None:
    """The same batch gives the same bytes, in this session and in a new one."""
    pictures = np.random.default_rng(1).integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.uint8)
    other = OrtPredictor(threads=1)
    other.load(version)
    first = [array.tobytes() for array in loaded.infer(pictures)]
    assert first == [array.tobytes() for array in loaded.infer(pictures)]
    assert first == [array.tobytes() for array in other.infer(pictures)]


def test_takes_pictures_that_are_not_contiguous(loaded: OrtPredictor) -> None:
    """A mirrored view is answered like its copy."""
    pictures = np.random.default_rng(2).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.uint8)[..., ::-1]
    np.testing.assert_array_equal(loaded.infer(pictures)[0], loaded.infer(pictures.copy())[0])


def test_loads_through_a_symlink_to_the_folder(version: Path) -> None:
    """`current` is such a link."""
    link = version.parent / "current"
    link.symlink_to(version.name)
    predictor = OrtPredictor(threads=1)
    predictor.load(link)
    assert predictor.infer(plain("green"))[0][0].argmax() == COLOURS["green"]


def test_a_new_version_replaces_the_old(loaded: OrtPredictor, tmp_path: Path) -> None:
    """After a second load the second version answers."""
    loaded.load(write_version(tmp_path / "000008", rows=(5, 6, 7)))
    assert loaded.infer(plain("blue"))[0][0].argmax() == 7


@pytest.mark.parametrize("fault", ["no folder", "no weights", "foreign graph"])
def test_a_failed_load_leaves_the_old_version_serving(loaded: OrtPredictor, tmp_path: Path, fault: str) -> None:
    """What cannot be loaded changes nothing, however far the load came."""
    before = loaded.infer(plain("red"))[0]
    folder = tmp_path / "000008"
    if fault != "no folder":
        write_version(folder, rows=(5, 6, 7))
    if fault == "no weights":
        (folder / "weights.safetensors").unlink()
    if fault == "foreign graph":
        (folder / "model.onnx").write_bytes(_foreign_graph(TensorProto.FLOAT, ["b", 8, 8, 3], ["logits", "features"]))
    with pytest.raises(StoreDamaged):
        loaded.load(folder)
    np.testing.assert_array_equal(loaded.infer(plain("red"))[0], before)


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise"])
def test_a_damaged_file_is_named_with_the_remedy(version: Path, name: str, damage: str) -> None:
    """Whatever happened to graph or weights, it is StoreDamaged, the message has the path, and says what to run."""
    content = (version / name).read_bytes()
    if damage == "missing":
        (version / name).unlink()
    else:
        changed = {"empty": b"", "cut": content[: len(content) - 20], "noise": b"\xff" * len(content)}[damage]
        (version / name).write_bytes(changed)
    with pytest.raises(StoreDamaged, match=r"edgecl verify --deep") as raised:
        OrtPredictor(threads=1).load(version)
    assert name in str(raised.value)
    assert str(version) in str(raised.value)


def test_weights_of_another_size_are_refused(version: Path, tmp_path: Path) -> None:
    """A whole safetensors file that is too short for the graph's offsets is not served."""
    from safetensors.numpy import save_file

    save_file({"head.bias": np.zeros(2, np.float32)}, version / "weights.safetensors")
    with pytest.raises(StoreDamaged, match=r"ONNX Runtime cannot open .*model\.onnx"):
        OrtPredictor(threads=1).load(version)


def _foreign_graph(dtype: int, shape: list[Any], outputs: list[str]) -> bytes:
    nodes = [helper.make_node("Identity", ["x"], [name]) for name in outputs]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(name, dtype, shape) for name in outputs],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString())


@pytest.mark.parametrize(
    ("dtype", "shape", "outputs"),
    [
        (TensorProto.FLOAT, ["b", 8, 8, 3], ["logits", "features"]),
        (TensorProto.UINT8, ["b", 3, 8, 8], ["logits", "features"]),
        (TensorProto.UINT8, ["b", "h", "w", 3], ["logits", "features"]),
        (TensorProto.UINT8, ["b", 8, 8, 3], ["logits"]),
        (TensorProto.UINT8, ["b", 8, 8, 3], ["logits", "features"]),
    ],
    ids=["float input", "channels first", "no fixed size", "no features", "outputs of rank 4"],
)
def test_a_foreign_graph_is_refused(version: Path, dtype: int, shape: list[Any], outputs: list[str]) -> None:
    """A valid ONNX file with other inputs or outputs is not one of ours; the message shows what it has."""
    (version / "model.onnx").write_bytes(_foreign_graph(dtype, shape, outputs))
    onnx.checker.check_model(str(version / "model.onnx"))
    with pytest.raises(StoreDamaged, match=r"is not a graph of edgecl: it has .*expected one uint8 input \[b, h, w, 3\]"):
        OrtPredictor(threads=1).load(version)


@pytest.mark.parametrize(
    ("pictures", "met"),
    [
        (np.zeros((1, SIZE, SIZE, 3), np.float32), r"float32 \[1, 8, 8, 3\]"),
        (np.zeros((SIZE, SIZE, 3), np.uint8), r"uint8 \[8, 8, 3\]"),
        (np.zeros((2, SIZE, SIZE + 1, 3), np.uint8), r"uint8 \[2, 8, 9, 3\]"),
        (np.zeros((1, 3, SIZE, SIZE), np.uint8), r"uint8 \[1, 3, 8, 8\]"),
    ],
    ids=["dtype", "rank", "size", "channels first"],
)
def test_unfit_pictures_are_refused(loaded: OrtPredictor, pictures: Any, met: str) -> None:
    """The message says what came and what is expected."""
    with pytest.raises(BadInput, match=rf"{met}, but it takes uint8 \[b, 8, 8, 3\]"):
        loaded.infer(pictures)


def test_a_version_as_the_graph_writer_makes_it(tmp_path: Path) -> None:
    """A small ViT in deployment layout: shapes come from the architecture, the free rows stay free, and the pictures differ."""
    random = np.random.default_rng(3)
    state = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in state_shapes(TINY).items()}
    weight, bias = np.zeros((CAPACITY, 32), np.float32), np.full(CAPACITY, FREE_BIAS, np.float32)
    weight[:3], bias[:3] = random.normal(0, 1, (3, 32)), 0
    (tmp_path / "model.onnx").write_bytes(write_graph(TINY, CAPACITY))
    (tmp_path / "weights.safetensors").write_bytes(safetensors_bytes(to_deployment(state, weight, bias, TINY)))
    predictor = OrtPredictor(threads=1)
    predictor.load(tmp_path)
    logits, features = predictor.infer(random.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8))
    np.testing.assert_allclose(logits, features @ weight.T + bias, rtol=1e-5, atol=1e-4)
    assert (logits[:, 3:] == FREE_BIAS).all()
    assert not np.allclose(features[0], features[1])


def test_infer_needs_a_loaded_version(loaded: OrtPredictor) -> None:
    """Before load and after close there is nothing to ask; closing twice is fine."""
    for predictor in (OrtPredictor(), loaded):
        predictor.close()
        predictor.close()
        with pytest.raises(EdgeclError, match=r"call load\(folder\) first"):
            predictor.infer(plain("red"))


def test_is_quiet(version: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither a load nor a failure writes to the terminal."""
    predictor = OrtPredictor(threads=1)
    predictor.load(version)
    predictor.infer(plain("red"))
    broken = Path(shutil.copytree(version, tmp_path / "broken"))
    (broken / "model.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(StoreDamaged):
        predictor.load(broken)
    assert capfd.readouterr() == ("", "")


def test_a_missing_onnxruntime_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the install line is part of the message."""
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("onnxruntime"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'edgecl\[run\]'"):
        OrtPredictor()


def test_its_threads_do_not_spin_between_two_frames(version: Path) -> None:
    """A core that waits in a circle is one that a learner on the same board cannot have."""
    predictor = OrtPredictor(threads=2)
    predictor.load(version)
    assert predictor._loaded is not None
    options = predictor._loaded.session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
