"""Forgetting a task or a class."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgecl.errors import UsageError
from edgecl.evaluate import evaluate
from edgecl.forget import forget_class, forget_task
from edgecl.gaussians import transported
from edgecl.layout import FREE_BIAS
from edgecl.pictures import find
from edgecl.preprocess import geometry_of
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.selftest import read_canary
from edgecl.search import fit_calibrated
from edgecl.sight import features_of, prepared
from edgecl.store import Store
from tests.teaching import draw_task, teach


def ort() -> OrtPredictor:
    """One thread, as everywhere in the tests."""
    return OrtPredictor(threads=1)


def accuracy(store: Store, folder: Path) -> float:
    """Of the current version."""
    predictor = ort()
    assert store.current is not None
    predictor.load(store.folder(store.current))
    pictures = find(folder, geometry_of(store.facts.architecture)).pictures
    return evaluate(predictor, [(p.class_name, p.input) for p in pictures], store.manifest(store.current)).accuracy


def same_files(store: Store, one: int, other: int) -> list[str]:
    """Names of the files that two versions have byte-equal."""
    a, b = store.folder(one), store.folder(other)
    return sorted(path.name for path in a.iterdir() if path.is_file() and path.read_bytes() == (b / path.name).read_bytes())


def test_forgetting_the_last_task_restores_the_parent_byte_for_byte(store: Store) -> None:
    """Weights, head, labels, memory index, canary and graph are those of the version before."""
    result = forget_task(store, "t0003-third", make_predictor=ort)
    assert (result.version, result.state, result.restored, store.current) == (4, "current", 2, 4)
    assert result.classes_removed == ("violet", "white")
    expected = [f"{name}.safetensors" for name in ("canary", "head", "statistics", "weights")] + ["labels.txt", "memory.json", "model.onnx"]
    assert same_files(store, 4, 2) == sorted(expected)


def test_forgetting_a_middle_task_takes_its_vector_and_leaves_the_rest(store: Store, tmp_path: Path) -> None:
    """Recipe, classes and memory are without it; the other classes are still told apart."""
    result = forget_task(store, "t0002-second", make_predictor=ort)
    manifest = store.manifest(result.version)
    assert [step.task for step in manifest.recipe.steps] == ["t0001-first", "t0003-third"]
    assert sorted(entry.name for entry in manifest.classes) == ["green", "red", "violet", "white"]
    assert not [picture for picture in store.memory(result.version) if picture.task == "t0002-second"]
    assert accuracy(store, draw_task(tmp_path / "new", "red", "green", "violet", "white", seed=9)) >= 0.9


def test_the_spread_within_classes_follows_and_the_head_is_fitted_by_it(store: Store) -> None:
    """It is known of more pictures than those that are kept; they only say how the backbone moved."""
    version = forget_task(store, "t0002-second", make_predictor=ort).version
    manifest, geometry = store.manifest(version), geometry_of(store.facts.architecture)
    sight = prepared(store.memory(version), store.picture, {entry.id: entry.row for entry in manifest.classes}, geometry)
    before, after = (
        features_of(store, number, store.merged_state(store.manifest(number).recipe), ort, sight.inputs)[0] for number in (3, version)
    )
    known, left = store.statistics(3), store.statistics(version)
    assert known is not None
    assert left is not None
    expected = transported(known, before[sight.fit], after[sight.fit])
    np.testing.assert_allclose(left.covariance, expected.covariance, rtol=1e-4, atol=1e-6)
    assert not np.allclose(left.covariance, known.covariance, rtol=1e-3)
    split = {"fit": sight.fit, "judge": sight.judge, "capacity": manifest.capacity}
    heads = [fit_calibrated(after, sight.rows, covariance=covariance, **split)[0] for covariance in (left.covariance, None)]
    rows, found = manifest.rows(), store.head(version)[0].astype(np.float32)
    differ = [float(np.abs(found[rows] - head.weight[rows].astype(np.float32)).max()) for head in heads]
    assert differ[0] < 1e-2 * np.abs(found).max() < differ[1]


def test_its_rows_are_free_and_not_reused_yet(store: Store, tmp_path: Path) -> None:
    """A PLC that reads row numbers never sees another class under an old number while others are left."""
    rows = {store.manifest(3).class_by_name(name).row for name in ("blue", "yellow")}  # type: ignore[union-attr]
    version = forget_task(store, "t0002-second", make_predictor=ort).version
    weight, bias = store.head(version)
    for row in rows:
        assert (weight[row] == 0).all()
        assert bias[row] == np.float16(FREE_BIAS)
    teach(store, draw_task(tmp_path / "fourth", "black"))
    assert store.manifest(5).class_by_name("black").row == 6  # type: ignore[union-attr]


def test_no_picture_of_it_travels_on_in_the_canary(store: Store) -> None:
    """The canary is drawn from what remains."""
    old = {picture.tobytes() for picture in read_canary(store.folder(3) / "canary.safetensors").pictures}
    version = forget_task(store, "t0002-second", make_predictor=ort).version
    geometry = geometry_of(store.facts.architecture)
    from edgecl.preprocess import decode, to_input

    allowed = {to_input(decode(store.picture(kept.hash)), geometry).tobytes() for kept in store.memory(version)}
    new = {picture.tobytes() for picture in read_canary(store.folder(version) / "canary.safetensors").pictures}
    assert new
    assert new <= allowed
    assert not new & (old - allowed)


def test_a_class_that_another_task_taught_too_stays(store: Store, tmp_path: Path) -> None:
    """Its pictures of the forgotten task go, its row stays."""
    teach(store, draw_task(tmp_path / "more", "red", "black", seed=5))
    result = forget_task(store, "t0004-more", make_predictor=ort)
    entry = store.manifest(result.version).class_by_name("red")
    assert result.classes_removed == ("black",)
    assert entry is not None
    assert entry.tasks == ("t0001-first",)


def test_a_class_crowded_out_by_the_forgotten_task_gets_its_pictures_back(store: Store, tmp_path: Path) -> None:
    """The memory held only the new task's pictures of red; after forgetting it there are old ones again."""
    teach(store, draw_task(tmp_path / "more", "red", count=40, seed=5))
    teach(store, draw_task(tmp_path / "fifth", "black"))
    version = forget_task(store, "t0004-more", make_predictor=ort).version
    red = store.manifest(version).class_by_name("red")
    assert red is not None
    kept = [picture for picture in store.memory(version) if picture.class_id == red.id and picture.role == "replay"]
    assert kept
    assert all(picture.task == "t0001-first" for picture in kept)


def test_forgetting_a_class_removes_row_and_pictures_and_keeps_the_recipe(store: Store, tmp_path: Path) -> None:
    """The backbone is untouched, and so are the other rows."""
    red = store.manifest(3).class_by_name("red")
    assert red is not None
    result = forget_class(store, "red", make_predictor=ort)
    manifest = store.manifest(result.version)
    assert (result.classes_removed, manifest.recipe) == (("red",), store.manifest(3).recipe)
    assert not [picture for picture in store.memory(result.version) if picture.class_id == red.id]
    others = [entry.row for entry in manifest.classes]
    for old, new in zip(store.head(3), store.head(result.version), strict=True):
        np.testing.assert_array_equal(old[others], new[others])
    assert accuracy(store, draw_task(tmp_path / "new", "green", "blue", seed=9)) >= 0.9


def test_forgetting_everything_leaves_the_backbone_as_it_came(store: Store) -> None:
    """Task by task, from the first; the weights are version 0's in the end."""
    for task in ("t0001-first", "t0002-second", "t0003-third"):
        result = forget_task(store, task, make_predictor=ort)
    assert store.manifest(result.version).classes == ()
    assert "weights.safetensors" in same_files(store, result.version, 0)


def test_unknown_tasks_and_classes_are_named_with_what_there_is(store: Store) -> None:
    """The message lists what could have been meant."""
    with pytest.raises(UsageError, match=r"version 3 was not taught 't0009-x'; it was taught t0001-first, t0002-second, t0003-third"):
        forget_task(store, "t0009-x", make_predictor=ort)
    with pytest.raises(UsageError, match="version 3 has no class 'pink'; it has blue, green, red, violet, white, yellow"):
        forget_class(store, "pink", make_predictor=ort)


def test_a_collected_ancestor_is_no_obstacle(store: Store) -> None:
    """Without the version before, the head is refitted instead of restored."""
    shutil.rmtree(store.folder(2))
    result = forget_task(store, "t0003-third", make_predictor=ort)
    assert result.restored is None
    assert sorted(entry.name for entry in store.manifest(result.version).classes) == ["blue", "green", "red", "yellow"]


def test_it_needs_no_torch() -> None:
    """A camera forgets with numpy and ONNX Runtime alone."""
    code = "import sys, edgecl.forget, edgecl.runtime.ort; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
