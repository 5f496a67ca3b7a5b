"""A bundle becomes a version."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecl.bundle.apply import Applied, apply_bundle
from edgecl.bundle.keys import generate
from edgecl.bundle.pack import pack
from edgecl.errors import BadInput
from edgecl.evaluate import evaluate
from edgecl.forget import forget_class, forget_task
from edgecl.manifest import Manifest, Thresholds
from edgecl.pictures import find
from edgecl.preprocess import geometry_of
from edgecl.runtime.eager import EagerPredictor
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from edgecl.store.history import grow, rename, rollback, successor
from edgecl.store.verify import verify
from tests.store.builders import snapshot
from tests.teaching import draw_task, teach

Board = Callable[[str], Store]


def apply(store: Store, path: Path, **options: Any) -> Applied:
    """With ONNX Runtime."""
    return apply_bundle(store, path, make_predictor=OrtPredictor, **options)


def current(store: Store) -> Manifest:
    """The manifest of what serves."""
    assert store.current is not None
    return store.manifest(store.current)


def accuracy(store: Store, folder: Path, *names: str) -> float:
    """Of the current version on pictures that nobody has seen."""
    pictures = find(draw_task(folder, *names, count=8, seed=77), geometry_of(store.facts.architecture)).pictures
    predictor = OrtPredictor()
    with store.use() as place:
        predictor.load(place)
        return evaluate(predictor, [(p.class_name, p.input) for p in pictures], current(store)).accuracy


@pytest.mark.parametrize("kind", ["one", "one-pictures"])
def test_on_an_equal_parent_it_is_the_packed_version(board: Board, boards: Path, kind: str) -> None:
    """The same weights, byte by byte, the same rows, scores and thresholds; the packed head is taken."""
    store, packed = board("parent"), Store.open(boards / "one").manifest(2)
    done = apply(store, boards / f"{kind}.edgecl")
    made = current(store)
    assert (done.head, done.state, done.classes_added, done.tasks) == ("taken", "current", ("blue", "yellow"), ("t0004-second",))
    for name in ("weights.safetensors", "head.safetensors", "labels.txt", "model.onnx"):
        assert made.files[name] == packed.files[name], name
    assert (made.thresholds, made.temperature, made.next_row) == (packed.thresholds, packed.temperature, packed.next_row)
    assert made.operation == "apply"
    assert made.checks["bundle"]["deterministic"] == packed.deterministic
    spreads = [those.statistics(number) for those, number in ((store, made.number), (Store.open(boards / "one"), packed.number))]
    assert np.array_equal(*(spread.covariance for spread in spreads if spread is not None))
    assert [(step.adapter, step.coefficients) for step in made.recipe.steps] == [(s.adapter, s.coefficients) for s in packed.recipe.steps]
    assert not [finding for finding in verify(store, deep=True) if finding.damage]


def test_elsewhere_the_logits_agree(board: Board, boards: Path) -> None:
    """What the applied version answers is within 1e-5 of what the packed one answers in PyTorch, as a part of the logits' spread."""
    store, packed = board("parent"), Store.open(boards / "one")
    apply(store, boards / "one.edgecl")
    pictures = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), dtype=np.uint8)
    eager = EagerPredictor(store.facts.architecture)
    eager.use(packed.merged_state(packed.manifest(2).recipe), *packed.head(2))
    with store.use() as folder:
        here = OrtPredictor()
        here.load(folder)
        rows = current(store).rows()
        found, expected = here.infer(pictures)[0][:, rows], eager.infer(pictures)[0][:, rows]
    assert np.abs(found - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("pictures", [False, True])
def test_boards_apply_each_other_s_bundles(board: Board, boards: Path, tmp_path: Path, pictures: bool) -> None:
    """Both boards end with all six classes and tell them apart; their own rows stay, and the recipes differ in order alone."""
    kind = "-pictures" if pictures else ""
    recipes = []
    for name, other in (("one", "two"), ("two", "one")):
        store = board(name)
        rows = {entry.name: entry.row for entry in current(store).classes}
        done = apply(store, boards / f"{other}{kind}.edgecl")
        assert (done.head, done.state, done.pictures > 0) == ("refitted", "current", pictures)
        assert {entry.name: entry.row for entry in current(store).classes}.items() >= rows.items()
        names = ("red", "green", "blue", "yellow", "grey", "black")
        assert accuracy(store, tmp_path / f"new-{name}", *names) >= 0.9
        recipes.append({step.adapter for step in current(store).recipe.steps})
        statistics = store.statistics(current(store).number)
        assert statistics is not None
        assert (not statistics.means) == pictures
        assert (done.accuracy["validation"] is None) != pictures
    assert recipes[0] == recipes[1]


def test_statistics_follow_from_bundle_to_bundle(board: Board, boards: Path, learned: Path, tmp_path: Path) -> None:
    """Two bundles without pictures, one after the other: the first one's classes are still known after the backbone moved again."""
    bundle = tmp_path / "third.edgecl"
    pack(Store.open(learned), 3, bundle, make_predictor=OrtPredictor, since=2)
    store = board("two")
    apply(store, boards / "one.edgecl")
    done = apply(store, bundle)
    statistics = store.statistics(done.version)
    names = {entry.id: entry.name for entry in current(store).classes}
    assert statistics is not None
    assert {names[id] for id in statistics.means} == {"blue", "yellow", "violet", "white"}
    assert accuracy(store, tmp_path / "new", "red", "green", "grey", "black", "blue", "yellow", "violet", "white") >= 0.8


def test_a_second_time_nothing_changes(board: Board, boards: Path) -> None:
    """Not a byte, whatever was said about its classes the first time."""
    store = board("two")
    apply(store, boards / "one.edgecl", rename={"blue": "navy"})
    before = snapshot(store.root)
    done = apply(store, boards / "one.edgecl", rename={"blue": "navy"})
    assert (done.applied, done.version, done.state) == (False, 5, "current")
    assert snapshot(store.root) == before


def test_what_it_was_learned_on_must_be_there(board: Board, boards: Path) -> None:
    """Without the parent's task the adapter would be merged into another backbone than it was learned on."""
    store = board("parent")
    assert store.promote(0, expected=1)
    with pytest.raises(BadInput, match=r"learned on top of t0001-first, which version 0.*edgecl pack 2 --since 0"):
        apply(store, boards / "one.edgecl")


def test_every_task_at_once(board: Board, boards: Path, tmp_path: Path) -> None:
    """With --since 0 an empty board becomes the packed version."""
    packed = pack(Store.open(boards / "one"), 2, tmp_path / "all.edgecl", make_predictor=OrtPredictor, since=0)
    assert (packed.tasks, packed.needs) == (("t0001-first", "t0002-second"), ())
    store = board("parent")
    assert store.promote(0, expected=1)
    done = apply(store, tmp_path / "all.edgecl")
    assert done.tasks == ("t0004-first", "t0004-second")
    assert current(store).files["weights.safetensors"] == Store.open(boards / "one").manifest(2).files["weights.safetensors"]
    assert {entry.name: entry.tasks for entry in current(store).classes}["red"] == ("t0004-first",)


def test_it_is_taken_back_bit_by_bit(board: Board, boards: Path) -> None:
    """By rollback, and by forgetting its task under the name that it has here."""
    store = board("two")
    before = current(store)
    apply(store, boards / "one-pictures.edgecl")
    forgotten = forget_task(store, "t0005-second", make_predictor=OrtPredictor)
    assert set(forgotten.classes_removed) == {"blue", "yellow"}
    assert current(store).files["weights.safetensors"] == before.files["weights.safetensors"]
    assert rollback(store) == 5


def test_other_capacity_other_rows(board: Board, boards: Path) -> None:
    """A board that has grown takes the bundle in, with a head of its own."""
    from edgecl.runtime.selftest import widened_canary
    from edgecl_export.graph import write_graph

    store = board("parent")
    grow(store, 24, write_graph(store.facts.architecture, 24), lambda canary: widened_canary(canary, 24))
    assert apply(store, boards / "one.edgecl").head == "refitted"
    assert current(store).capacity == 24


def test_pictures_come_into_the_memory_once(board: Board, boards: Path) -> None:
    """With their roles, under the task's name here; what is kept or held out here already does not come again."""
    store = board("two")
    apply(store, boards / "one-pictures.edgecl")
    kept = [picture for picture in store.memory(5) if picture.task == "t0005-second"]
    sent = [picture for picture in Store.open(boards / "one").memory(2) if picture.task == "t0002-second"]
    assert {(p.hash, p.role) for p in kept} == {(p.hash, p.role) for p in sent}
    assert all(store.picture(picture.hash) for picture in kept)


def test_a_renamed_class_keeps_its_name_here(board: Board, boards: Path) -> None:
    """Classes are known by their id: another name for one of them is no clash, and is said."""
    store = board("parent")
    rename(store, "red", "crimson")
    done = apply(store, boards / "one.edgecl")
    assert done.head == "taken"
    assert {entry.name for entry in current(store).classes} == {"crimson", "green", "blue", "yellow"}


def test_one_name_for_two_classes(board: Board, boards: Path, tmp_path: Path) -> None:
    """Stops; as one class it gets both tasks and both kinds of pictures; under another name it is a class of its own."""
    store = board("two")
    rename(store, "grey", "Blue")
    with pytest.raises(
        BadInput, match=r"'blue' and this store's 'Blue' have one name and two ids.*--same-class 'blue'.*--rename 'blue'=ANOTHER"
    ):
        apply(store, boards / "one.edgecl")
    shutil.copytree(store.root, tmp_path / "copy", symlinks=True)
    apart, joined = Store.open(tmp_path / "copy"), store
    assert apply(apart, boards / "one.edgecl", rename={"blue": "navy"}).classes_added == ("navy", "yellow")
    done = apply(joined, boards / "one-pictures.edgecl", same=["blue"])
    assert (done.classes_added, done.classes_extended) == (("yellow",), ("Blue",))
    entry = current(joined).class_by_name("Blue")
    assert entry is not None
    assert entry.tasks == ("t0004-task", "t0006-second")
    assert {picture.task for picture in joined.memory(6) if picture.class_id == entry.id} == {"t0004-task", "t0006-second"}


def test_statistics_of_a_class_that_has_pictures_here_count_half(board: Board, boards: Path, tmp_path: Path) -> None:
    """Joined without pictures, the class is known by what either board showed of it."""
    store = board("two")
    rename(store, "grey", "blue")
    apply(store, boards / "one.edgecl", same=["blue"])
    assert accuracy(store, tmp_path / "new", "blue") >= 0.7
    statistics = store.statistics(6)
    assert statistics is not None
    assert len(statistics.means) == 1  # of yellow: blue has pictures


def test_what_nothing_can_check_is_not_served(board: Board, boards: Path) -> None:
    """A class without pictures and statistics could be lost unseen when the backbone moves, so the version stays staged."""
    store = board("two")
    gone = current(store).class_by_name("red")
    assert gone is not None
    left = tuple(kept for kept in store.memory(4) if kept.class_id != gone.id)
    manifest = store.commit(replace(successor(store, 4, "rename"), memory=left))
    assert store.promote(manifest.number, expected=4)
    done = apply(store, boards / "one.edgecl")
    assert done.gate is not None
    assert done.state == "staged"
    assert store.current == manifest.number
    assert done.gate.reasons == ("the bundle moves the backbone, and of 1 classes (red) no picture is here to check them by",)
    rows = [gone.row]
    np.testing.assert_array_equal(store.head(done.version)[0][rows], store.head(4)[0][rows])


def test_without_pictures_to_measure_by_nothing_is_called_unknown(board: Board, boards: Path) -> None:
    """The bundle's limit holds for the packed head alone; that there is none now is said."""
    store = board("two")
    left = tuple(kept for kept in store.memory(4) if kept.role == "replay")
    manifest = store.commit(replace(successor(store, 4, "rename"), memory=left))
    assert store.promote(manifest.number, expected=4)
    done = apply(store, boards / "one.edgecl")
    assert (done.head, current(store).thresholds) == ("refitted", Thresholds())
    assert (
        "0 pictures are held out here, fewer than the 8 that a limit for unknown is measured with: nothing is called unknown until there are more"
        in done.warnings
    )


def test_staged_on_request(board: Board, boards: Path) -> None:
    """Written, not served."""
    store = board("parent")
    assert apply(store, boards / "one.edgecl", stage=True).state == "staged"
    assert store.current == 1


def test_a_signature_by_a_trusted_key(board: Board, boards: Path, tmp_path: Path) -> None:
    """Is checked and told; without it the same bundle is refused."""
    store, out = board("parent"), tmp_path / "signed.edgecl"
    public = generate(tmp_path / "fleet.key")
    (store.root / "settings.toml").write_text(f'[bundles]\ntrusted_keys = ["{public}"]\n')
    packed = pack(Store.open(boards / "one"), 2, out, make_predictor=OrtPredictor, key=tmp_path / "fleet.key")
    with pytest.raises(BadInput, match="is not signed"):
        apply(store, boards / "one.edgecl")
    done = apply(store, out)
    assert done.signed_by == packed.signed_by == public
    assert current(store).checks["bundle"]["signed_by"] == public


def test_learning_goes_on_beside_classes_without_pictures(board: Board, boards: Path, tmp_path: Path) -> None:
    """The backbone stays as it is, so that what is known of them stays true; it goes with the class, too."""
    store = board("two")
    apply(store, boards / "one.edgecl")
    assert teach(store, draw_task(tmp_path / "more", "violet")).coefficient == 0
    before, after = store.statistics(5), store.statistics(6)
    assert before is not None
    assert after is not None
    assert {id: mean.tobytes() for id, mean in after.means.items()} == {id: mean.tobytes() for id, mean in before.means.items()}
    forget_class(store, "blue", make_predictor=OrtPredictor)
    left = store.statistics(7)
    assert left is not None
    assert len(left.means) == len(after.means) - 1


@pytest.mark.slow
def test_a_camera_needs_neither_torch_nor_onnx(board: Board, boards: Path) -> None:
    """The command works where torch, timm, onnx and cryptography cannot be imported."""
    store = board("two")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'timm', 'onnx', 'cryptography'])); from edgecl.cli import main; "
        f"sys.exit(main(['apply', {str(boards / 'one.edgecl')!r}, '--store', {str(store.root)!r}, '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"state": "current"' in done.stdout
