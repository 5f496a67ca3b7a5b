"""Nine tasks, one graph: what makes it possible to build an engine once."""

import hashlib
import json
from pathlib import Path

import pytest

from edgecl.runtime.engines import listed
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from edgecl_export.graph import IR_VERSIONS, Precision
from edgecl_export.prove import prove_and_export
from tests.runtime.engine_board import board_of
from tests.teaching import COLOURS, draw_task, new_store, teach

pytestmark = pytest.mark.usefixtures("no_waiting")
TASKS = 9


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that was taught nine tasks of one class each."""
    place = tmp_path_factory.mktemp("nine")
    store = new_store(place / "model")
    for index, colour in enumerate(COLOURS):
        teach(store, draw_task(place / str(index), colour, count=6))
    assert store.numbers() == list(range(TASKS + 1))
    return store


@pytest.mark.parametrize("opset", IR_VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_one_key_and_one_hash_across_nine_tasks(nine: Store, tmp_path: Path, opset: int, precision: Precision) -> None:
    """Every export of every version has the same graph, byte for byte, and the same key; its weights differ each time."""
    graphs, keys, weights = set(), set(), set()
    for number in nine.numbers():
        out = tmp_path / str(number)
        prove_and_export(nine, number, opset=opset, precision=precision, out=out, limit=4, make_predictor=lambda: OrtPredictor(threads=1))
        graphs.add(hashlib.sha256((out / "model.onnx").read_bytes()).hexdigest())
        weights.add(hashlib.sha256((out / "weights.safetensors").read_bytes()).hexdigest())
        keys.add(json.loads((out / "export.json").read_text())["graph"])
    assert (len(graphs), len(keys), len(weights)) == (1, 1, TASKS + 1)


def test_the_stores_own_graphs_are_one(nine: Store) -> None:
    """`model.onnx` of all ten versions has one sha256, as the manifests say, too."""
    manifests = [nine.manifest(number) for number in nine.numbers()]
    assert len({manifest.files["model.onnx"].sha256 for manifest in manifests}) == 1
    assert len({hashlib.sha256((nine.folder(number) / "model.onnx").read_bytes()).hexdigest() for number in nine.numbers()}) == 1


@pytest.mark.parametrize("release", ["10.3", "10.16", "11.4"])
def test_one_engine_serves_nine_tasks(nine: Store, release: str) -> None:
    """On the fake TensorRT one plan is built and then refitted for every version, in order and back; each passes its self-test."""
    board = board_of(nine, release)
    numbers = nine.numbers()
    built = [board.export(number).built for number in [*numbers, *reversed(numbers)]]
    assert built == [True] + [False] * (2 * len(numbers) - 1)
    assert len([facts for facts in listed(nine.root) if facts.tensorrt == board.trt.__version__]) == 1
