"""What DeepStream gets: nvinfer's input and output, its files, and answers that are the version's."""

import configparser
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecl.errors import BadInput, ParityFailed
from edgecl.preprocess import decode, geometry_of, to_input
from edgecl.runtime.decide import softmax
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store, history
from edgecl_export import deepstream
from edgecl_export.deepstream import nvinfer_graph, prove_probabilities
from edgecl_export.graph import IR_VERSIONS, Precision, build_graph
from edgecl_export.prove import prove_and_export
from tests.export.models import CAPACITY, KINDS, ROWS, TINY, random_head, random_state, scenes, write

pytestmark = pytest.mark.usefixtures("no_waiting")


def predictor() -> OrtPredictor:
    """One thread."""
    return OrtPredictor(threads=1)


def exported(store: Store, **options: Any) -> Any:
    """Version 3 for DeepStream."""
    return prove_and_export(store, 3, form="deepstream", make_predictor=predictor, **options)


@pytest.mark.parametrize("kind", ["plain", "everything"])
@pytest.mark.parametrize("opset", IR_VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_graph_answers_with_the_softmax_of_the_apps(tmp_path: Path, kind: str, opset: int, precision: Precision) -> None:
    """Float planes in, probabilities out: over used rows those of the app's own graph, nothing on free rows; onnx's full check passes."""
    import onnxruntime

    architecture = KINDS[kind]
    folder = write(tmp_path / "version", architecture, random_state(architecture), random_head(architecture.width), opset, precision)
    app = OrtPredictor(threads=1)
    app.load(folder)
    pictures = scenes(32, 5)
    expected = softmax(app.infer(pictures)[0], ROWS)
    (folder / "model.onnx").write_bytes(nvinfer_graph((folder / "model.onnx").read_bytes()))
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    (entry,), (leaving,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.type, entry.shape) == ("pictures", "tensor(float)", ["b", 3, 32, 32])
    assert (leaving.name, leaving.type, leaving.shape) == ("probabilities", "tensor(float)", ["b", CAPACITY])
    found = session.run(None, {"pictures": np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)})[0]
    np.testing.assert_allclose(found[:, ROWS], expected, atol=1e-5 if precision == "fp32" else 2e-3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert np.delete(found, ROWS, axis=1).max() == 0


def test_the_weights_and_every_name_stay() -> None:
    """The initializers are untouched, so one weights file serves both graphs; no node of the app's beginning and end is left."""
    before = onnx.load_from_string(build_graph(TINY, capacity=CAPACITY))
    after = onnx.load_from_string(nvinfer_graph(before.SerializeToString()))
    assert list(after.graph.initializer) == list(before.graph.initializer)
    names = {node.name for node in after.graph.node}
    assert not {"input.float", "input.nchw", "features.cast"} & names
    made = {name for node in after.graph.node for name in node.output}
    used = {name for node in after.graph.node for name in node.input}
    assert used - made - {tensor.name for tensor in after.graph.initializer} == {"pictures"}


def test_another_graph_is_refused() -> None:
    """Only what edgecl wrote is changed."""
    graph = helper.make_graph([], "x", [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, [1])], [])
    with pytest.raises(ValueError, match=r"the graph has no node features\.cast"):
        nvinfer_graph(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_it_is_proven_on_the_memorys_pictures(store: Store, precision: Precision) -> None:
    """The last hop compares probabilities with the merged model's, and stands in export.json; so does the key of another graph."""
    result = exported(store, precision=precision)
    assert result.folder == store.root / "exports" / "000003" / f"deepstream-opset18-{precision}"
    first, last = result.hops
    assert (first.compared, last.compared, last.pictures, last.precision) == ("logits", "probabilities", "memory", precision)
    assert last.parity.n > 10
    assert 0 <= last.parity.max_abs < (1e-5 if precision == "fp32" else 5e-3)
    fields = json.loads((result.folder / "export.json").read_text())
    assert fields["parity"][-1] == last.to_json()
    assert fields["graph"].endswith(f"-opset18-{precision}-deepstream")
    assert set(fields["files"]) == {"model.onnx", "weights.safetensors", "labels.txt", "nvinfer.txt", "nvinfer-labels.txt"}
    assert "--shapes=pictures:1x3x32x32" in result.trtexec


def test_the_files_are_nvinfers(store: Store) -> None:
    """A classifier whose files lie beside it, rgb, no scaling, the version's own limit; labels by row on one line."""
    folder = exported(store, precision="fp16").folder
    reader = configparser.ConfigParser()
    reader.read(folder / "nvinfer.txt")
    values = dict(reader["property"])
    assert {"network-type": "1", "network-mode": "2", "model-color-format": "0", "net-scale-factor": "1.0"}.items() <= values.items()
    assert (values["output-blob-names"], values["infer-dims"], values["batch-size"]) == ("probabilities", "3;32;32", "1")
    assert (folder / values["onnx-file"]).is_file()
    assert (folder / values["labelfile-path"]).is_file()
    assert float(values["classifier-threshold"]) == pytest.approx(1 - store.manifest(3).thresholds.unknown_above, abs=1e-4)
    (line,) = (folder / "nvinfer-labels.txt").read_text().splitlines()
    labels = line.split(";")
    assert len(labels) == store.manifest(3).capacity
    assert {entry.row: entry.name for entry in store.manifest(3).classes} == {row: name for row, name in enumerate(labels) if name != "-"}


def test_an_earlier_export_is_replaced(store: Store, tmp_path: Path) -> None:
    """With the engine that nvinfer built from it."""
    folder = exported(store, out=tmp_path / "out").folder
    (folder / "model.plan").write_bytes(b"engine")
    exported(store, out=tmp_path / "out")
    assert not (folder / "model.plan").exists()


def test_a_graph_that_answers_otherwise_is_not_exported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A swapped channel order is found; nothing is left."""
    real = deepstream._run
    monkeypatch.setattr(deepstream, "_run", lambda folder, pictures: real(folder, pictures[..., ::-1]))
    with pytest.raises(
        ParityFailed, match=r"merged weights -> ONNX Runtime \(fp32, \d+ pictures\): probabilities differ by .*allowed 1e-04"
    ):
        exported(store)
    assert not (store.root / "exports").exists() or not list((store.root / "exports").rglob("model.onnx"))


def test_a_free_row_may_not_answer(tmp_path: Path) -> None:
    """A probability on a row without a class fails, however small the difference elsewhere."""
    state, head = random_state(TINY), random_head(TINY.width)
    head[1][3] = 0.0  # a free row that answers
    folder = write(tmp_path / "version", TINY, state, head, 18, "fp32")
    (folder / "model.onnx").write_bytes(nvinfer_graph((folder / "model.onnx").read_bytes()))
    pictures = scenes(32, 2)
    app = OrtPredictor(threads=1)
    app.load(write(tmp_path / "app", TINY, state, head, 18, "fp32"))
    with pytest.raises(ParityFailed, match="a row without a class has a probability"):
        prove_probabilities(folder, pictures, app.infer(pictures)[0], ROWS, "fp32", "a -> b")


def test_what_a_label_file_cannot_hold(store: Store) -> None:
    """A semicolon in a name, or no class at all, is exit code 4 with the remedy."""
    with pytest.raises(BadInput, match=r"version 0 has no class that DeepStream could name"):
        prove_and_export(store, 0, form="deepstream", make_predictor=predictor)
    renamed = history.rename(store, "red", "red;ish").number
    with pytest.raises(BadInput, match=r"the class 'red;ish' has a semicolon.*edgecl rename"):
        prove_and_export(store, renamed, form="deepstream", make_predictor=predictor)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_real_weights_on_real_photos(tmp_path: Path, shared: Path, precision: Precision) -> None:
    """32 Grocery photos through the real ViT-Tiny: PyTorch's softmax within the precision's limit, all 1000 rows used."""
    from edgecl.backbone import load_pretrained
    from edgecl.runtime.eager import EagerPredictor

    pretrained = load_pretrained("vit_tiny_patch16_224", next((shared / "weights").glob("vit_tiny_patch16_224*.safetensors")))
    assert pretrained.head_weight is not None
    assert pretrained.head_bias is not None
    photos = sorted((shared / "data" / "grocery" / "train").glob("*/*.jpg"))
    pictures = np.stack([to_input(decode(photo), geometry_of(pretrained.architecture)) for photo in photos[:: len(photos) // 32][:32]])
    head = (pretrained.head_weight, pretrained.head_bias)
    eager = EagerPredictor(pretrained.architecture)
    eager.use(pretrained.state, *head)
    folder = write(tmp_path / "version", pretrained.architecture, dict(pretrained.state), head, 18, precision)
    (folder / "model.onnx").write_bytes(nvinfer_graph((folder / "model.onnx").read_bytes()))
    parity = prove_probabilities(folder, pictures, eager.infer(pictures)[0], range(1000), precision, "PyTorch -> ONNX Runtime")
    assert parity.n == 32
