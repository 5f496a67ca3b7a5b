"""The hops of an export on a version that was really learned."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecl.errors import MissingExtra, ParityFailed, StoreDamaged, UsageError
from edgecl.manifest import Recipe
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from edgecl_export.prove import prove_and_export
from tests.teaching import draw_task, new_store, teach


def predictor() -> OrtPredictor:
    """One thread, so that the figures are the same in each run."""
    return OrtPredictor(threads=1)


class Wrong(OrtPredictor):
    """ONNX Runtime with a fault in what it answers."""

    def __init__(self, fault: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        super().__init__(threads=1)
        self._fault = fault

    def infer(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The answer, changed."""
        logits, features = super().infer(pictures)
        return self._fault(logits), self._fault(features)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 0 without a class, 1 and 2 with two classes each; taught once and copied."""
    folder = tmp_path_factory.mktemp("export")
    store = new_store(folder / "model")
    teach(store, draw_task(folder / "first", "red", "green", count=6), stage=False)
    teach(store, draw_task(folder / "second", "blue", "white", count=6), stage=False)
    return store.root


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Store:
    """A copy of the template."""
    shutil.copytree(template, tmp_path / "model", symlinks=True)
    return Store.open(tmp_path / "model")


@pytest.mark.parametrize(("opset", "precision"), [(16, "fp32"), (17, "fp16"), (18, "fp32"), (20, "fp16")])
def test_each_hop_is_compared_on_the_memory(store: Store, opset: int, precision: Any) -> None:
    """Two hops on the version's own pictures, both within their limits and written into export.json; the folder has its default place."""
    exported = prove_and_export(store, 2, opset=opset, precision=precision, make_predictor=predictor)
    assert exported.folder == store.root / "exports" / "000002" / f"onnx-opset{opset}-{precision}"
    assert [hop.name for hop in exported.hops] == ["live adapters -> merged weights", "merged weights -> ONNX Runtime"]
    assert [hop.precision for hop in exported.hops] == ["fp32", precision]
    assert all(hop.pictures == "memory" and hop.compared == "logits" for hop in exported.hops)
    assert all(hop.parity.n == len(store.memory(2)) and hop.parity.spread > 0 for hop in exported.hops)
    fields = json.loads((exported.folder / "export.json").read_text())
    assert fields["parity"] == [hop.to_json() for hop in exported.hops]
    assert exported.trtexec.startswith(f"trtexec --onnx={exported.folder}/model.onnx ")


def test_fp32_is_the_version_itself(store: Store) -> None:
    """Graph, weights and labels of an opset 18 fp32 export are the version's, byte for byte."""
    exported = prove_and_export(store, 2, make_predictor=predictor)
    for name in ("model.onnx", "weights.safetensors", "labels.txt"):
        assert (exported.folder / name).read_bytes() == (store.folder(2) / name).read_bytes()


def test_a_version_without_classes_is_compared_by_its_features(store: Store) -> None:
    """Version 0 remembers no picture: its canary and its features stand in."""
    exported = prove_and_export(store, 0, make_predictor=predictor)
    assert [(hop.compared, hop.pictures, hop.parity.n) for hop in exported.hops] == [("features", "canary", 8)] * 2
    with pytest.raises(ParityFailed, match="merged weights -> ONNX Runtime"):
        prove_and_export(store, 0, make_predictor=lambda: Wrong(lambda answer: answer * np.float32(1.01)))


def test_pictures_are_limited_and_spread_over_the_classes(store: Store) -> None:
    """Four pictures of four classes."""
    reads: list[tuple[str, int, int]] = []
    exported = prove_and_export(store, 2, limit=4, make_predictor=predictor, progress=lambda *step: reads.append(step))
    assert [hop.parity.n for hop in exported.hops] == [4, 4]
    assert [step for step in reads if step[0] == "reading pictures"] == [("reading pictures", done, 4) for done in range(5)]
    assert [step for step in reads if step[0] == "comparing"] == [("comparing", done, 3) for done in range(4)]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda answer: answer * np.float32(1.001), r"merged weights -> ONNX Runtime \(fp32, \d+ pictures\): logits differ by"),
        (lambda answer: -answer, "a picture gets another best class"),
        (lambda answer: answer * np.float32(np.nan), "logits differ by inf"),
        (lambda answer: np.where(answer < -9e3, np.float32(0), answer), "a free row of the head"),
    ],
)
def test_a_runtime_that_answers_otherwise_exports_nothing(store: Store, fault: Any, message: str) -> None:
    """Exit 3, the hop by name, and no folder: not even `exports/`."""
    with pytest.raises(ParityFailed, match=message) as caught:
        prove_and_export(store, 2, make_predictor=lambda: Wrong(fault))
    assert caught.value.exit_code == 3
    assert not list(store.root.glob("exports/*"))


def test_a_wrong_merge_is_found_at_its_own_hop(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that leaves alpha / rank out differs from the live adapters, and the message says so."""
    right, base, shape = Store.merged_state, store.base(), store.facts.adapter
    assert any(step.coefficients["*"] for step in store.manifest(2).recipe.steps)

    def unscaled(self: Store, recipe: Recipe) -> dict[str, NDArray[Any]]:
        return {name: base[name] + (value - base[name]) * (shape.rank / shape.alpha) for name, value in right(self, recipe).items()}

    monkeypatch.setattr(Store, "merged_state", unscaled)
    with pytest.raises(ParityFailed, match="live adapters -> merged weights"):
        prove_and_export(store, 2, make_predictor=predictor)
    assert not list(store.root.glob("exports/*"))


def test_coefficients_may_differ_per_target(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that names targets is held live as it is merged; a swap of two coefficients is found."""
    from edgecl import merge

    steps = [
        (adapter, {"*": 0.5, adapter.targets[0]: 1.5, adapter.targets[1]: -1.0}) for adapter, _ in store.adapters(store.manifest(2).recipe)
    ]
    assert len(steps) == 2
    monkeypatch.setattr(Store, "adapters", lambda self, recipe: steps)
    merged = merge.merge(store.base(), steps)
    monkeypatch.setattr(Store, "merged_state", lambda self, recipe: merged)
    prove_and_export(store, 2, make_predictor=predictor)
    swapped = [(adapter, {"*": 0.5, adapter.targets[1]: 1.5, adapter.targets[0]: -1.0}) for adapter, _ in steps]
    monkeypatch.setattr(Store, "adapters", lambda self, recipe: swapped)
    with pytest.raises(ParityFailed, match="live adapters -> merged weights"):
        prove_and_export(store, 2, make_predictor=predictor)


def test_a_graph_that_cannot_be_run_exports_nothing(store: Store) -> None:
    """ONNX Runtime's refusal of a fresh graph is a failed parity, not a damaged store."""

    class Refusing(OrtPredictor):
        def load(self, folder: Path) -> None:
            raise StoreDamaged("ONNX Runtime cannot open model.onnx (no kernel).")

    with pytest.raises(ParityFailed, match=r"the written graph cannot be run: .*no kernel.* Nothing was exported\. Try another --opset"):
        prove_and_export(store, 2, make_predictor=Refusing)


def test_a_lost_picture_is_the_stores_damage(store: Store) -> None:
    """What the memory's index names must be there."""
    for path in (store.root / "memory").glob("*.jpg"):
        path.unlink()
    with pytest.raises(StoreDamaged):
        prove_and_export(store, 2, make_predictor=predictor)


def test_a_version_that_does_not_exist_is_refused(store: Store) -> None:
    """The message lists those that do."""
    with pytest.raises(UsageError, match=r"there is no version 9; there are \[0, 1, 2\]"):
        prove_and_export(store, 9, make_predictor=predictor)


def test_a_missing_torch_is_named_with_its_extra(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export is compared with the trained model, which needs torch."""
    monkeypatch.setitem(sys.modules, "edgecl.runtime.eager", None)
    with pytest.raises(MissingExtra, match=r"the package 'torch', which is not installed\. Install it with: pip install 'edgecl\[learn\]'"):
        prove_and_export(store, 2, make_predictor=predictor)
