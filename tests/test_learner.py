"""Learning a task, end to end on a tiny backbone."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgecl import hardware
from edgecl.device import detect
from edgecl.errors import BadInput, BadPictures, MissingExtra, ParityFailed, StoreBusy
from edgecl.evaluate import evaluate
from edgecl.merge import merge
from edgecl.pictures import find
from edgecl.preprocess import geometry_of
from edgecl.profile import profile_names
from edgecl.runtime.fake import FakePredictor
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.selftest import self_test
from edgecl.store import Store
from tests.export.models import KINDS
from tests.teaching import QUICK, draw, draw_task, made_to_hurt, new_classifier, new_store, teach


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file of a store but its locks."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.suffix != ".lock"}


def accuracy(store: Store, folder: Path) -> float:
    """Of the current version on class folders, through ONNX Runtime."""
    predictor = OrtPredictor(threads=1)
    assert store.current is not None
    predictor.load(store.folder(store.current))
    pictures = find(folder, geometry_of(store.facts.architecture)).pictures
    return evaluate(predictor, [(p.class_name, p.input) for p in pictures], store.manifest(store.current)).accuracy


def test_three_tasks_are_all_known_through_the_exported_graph(store: Store, tmp_path: Path) -> None:
    """New pictures of old and new classes are told apart by the ONNX graph of the third version."""
    folder = draw_task(tmp_path / "new", "red", "green", "blue", "yellow", "violet", "white", seed=9)
    assert accuracy(store, folder) >= 0.9


def test_the_answer_has_the_agreed_fields(tmp_path: Path) -> None:
    """`edgecl.learn/1` is one JSON object."""
    store = new_store(tmp_path / "model")
    folder = draw_task(tmp_path / "cans", "red", "green")
    (folder / "red" / "notes.txt").write_text("no picture")
    fields = json.loads(json.dumps(teach(store, folder).to_json()))
    assert (fields["format"], fields["version"], fields["state"], fields["task"]) == ("edgecl.learn/1", 1, "current", "t0001-cans")
    assert (fields["classes_added"], fields["classes_extended"]) == (["green", "red"], [])
    assert fields["coefficient"] in QUICK.coefficients
    assert set(fields["accuracy"]) == {"validation", "holdout_before", "holdout_after"}
    assert fields["rejected"] == [{"path": "red/notes.txt", "reason": "not a picture (jpg, png, webp or bmp)"}]
    assert fields["seconds"] > 0
    assert fields["peak_memory_mib"] > 0


def test_the_graph_is_the_same_file_in_every_version(store: Store) -> None:
    """New classes change values, never the graph."""
    graphs = {(store.folder(number) / "model.onnx").read_bytes() for number in store.numbers()}
    assert len(store.numbers()) == 4
    assert len(graphs) == 1


def test_weights_are_a_function_of_base_and_recipe(store: Store) -> None:
    """Version 2 is the base plus both adapters times their coefficients, merged anew from disk."""
    manifest = store.manifest(2)
    assert [step.task for step in manifest.recipe.steps] == ["t0001-first", "t0002-second"]
    expected = merge(store.base(), store.adapters(manifest.recipe))
    state = store.merged_state(manifest.recipe)
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value)


def test_equal_learns_give_equal_versions(tmp_path: Path) -> None:
    """Same seed and threads: same adapter, weights, labels, memory and deterministic hash; another seed differs."""
    folder = draw_task(tmp_path / "task", "red", "green")
    manifests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        store = new_store(tmp_path / name)
        teach(store, folder, settings=dataclasses.replace(QUICK, seed=seed))
        manifests.append(store.manifest(1))
    assert manifests[0] == manifests[1]
    assert manifests[0].deterministic != manifests[2].deterministic


def test_holdout_pictures_are_never_trained_on(store: Store, tmp_path: Path) -> None:
    """The first task's folder once more: its holdout pictures are left out, with a warning, and stay holdout."""
    before = {p.hash for p in store.memory(3) if p.role == "holdout"}
    folder = draw_task(tmp_path / "first", "red", "green")
    result = teach(store, folder, settings=dataclasses.replace(QUICK, seed=3))  # another seed: another part of the folder validates
    assert any("held out for checking since an earlier task" in warning for warning in result.warnings)
    after = {p.hash for p in store.memory(4) if p.role == "holdout"}
    assert before <= after
    held = {p.source for p in store.memory(4) if p.role == "holdout"}
    assert not held & {p.source for p in store.memory(4) if p.role == "replay"}


def test_a_known_class_gets_more_pictures(store: Store, tmp_path: Path) -> None:
    """Same id, same row, one more task; nothing is added."""
    old = store.manifest(3).class_by_name("red")
    result = teach(store, draw_task(tmp_path / "more", "red", seed=5))
    entry = store.manifest(4).class_by_name("red")
    assert (result.classes_added, result.classes_extended) == ((), ("red",))
    assert old is not None
    assert entry is not None
    assert (entry.id, entry.row) == (old.id, old.row)
    assert entry.tasks == ("t0001-first", "t0004-more")
    assert any(picture.task == "t0004-more" for picture in store.memory(4))


def test_one_class_alone_and_one_picture_alone(tmp_path: Path) -> None:
    """Both work; each comes with a warning."""
    store = new_store(tmp_path / "model")
    alone = teach(store, draw_task(tmp_path / "one", "red"))
    assert alone.state == "current"
    assert alone.warnings[-1].startswith("red is the only class, so every picture is called that")
    folder = tmp_path / "single"
    draw(folder, "green", count=1)
    result = teach(store, folder)
    assert result.state == "current"
    assert "the class 'green' has a single picture" in result.warnings[0]
    assert not any("only class" in warning for warning in result.warnings)
    assert accuracy(store, draw_task(tmp_path / "new", "red", "green", seed=7)) >= 0.8


def test_background_is_a_class_like_any_other(store: Store, tmp_path: Path) -> None:
    """`_background/` gets a row and stays in the memory."""
    result = teach(store, draw_task(tmp_path / "empty-belt", "_background"))
    assert result.classes_added == ("_background",)
    assert any(picture.class_id == store.manifest(4).class_by_name("_background").id for picture in store.memory(4))  # type: ignore[union-attr]


def test_validation_folder_is_used_and_not_trained_on(tmp_path: Path) -> None:
    """With --val every other picture is trained on; holdout comes from the validation folder."""
    store = new_store(tmp_path / "model")
    task, val = draw_task(tmp_path / "task", "red", "green"), draw_task(tmp_path / "val", "red", "green", count=3, seed=4)
    result = teach(store, task, val=val)
    assert result.accuracy["validation"] is not None
    assert store.run_info(1)["pictures"] == {"new": 16, "validation": 6, "replay": 0, "holdout": 0}
    from_val = {p.sha256 for p in find(val, geometry_of(store.facts.architecture)).pictures}
    assert {p.source for p in store.memory(1) if p.role == "holdout"} <= from_val


def test_validation_classes_must_be_taught(tmp_path: Path) -> None:
    """A validation folder with other classes is a mistake."""
    store = new_store(tmp_path / "model")
    task, val = draw_task(tmp_path / "task", "red"), draw_task(tmp_path / "val", "green")
    with pytest.raises(BadInput, match=r"the validation folder has classes that the task does not have: \['green'\]"):
        teach(store, task, val=val)


def test_stage_writes_a_version_that_does_not_serve(store: Store, tmp_path: Path) -> None:
    """`current` stays."""
    result = teach(store, draw_task(tmp_path / "fourth", "black"), stage=True)
    assert (result.version, result.state, store.current) == (4, "staged", 3)


def test_a_task_made_to_hurt_is_refused_by_the_gate(tmp_path: Path) -> None:
    """Old classes' looks under new names: the version is written, not served, the reasons are words, and each class's loss is counted."""
    store, hurt = made_to_hurt(tmp_path)
    result = teach(store, hurt)
    assert (result.state, store.current, result.gate.passed) == ("staged", 1, False)
    assert any("held-out pictures of old classes fell from" in reason for reason in result.gate.reasons)
    classes, old = store.manifest(2).checks["classes"], [entry.name for entry in store.manifest(1).classes]
    assert set(classes) == {*old, *(f"thing {index}" for index in range(len(old)))}

    def share(count: str, *, new: bool) -> float:
        counted = [each for each in classes.values() if (each["before"] is None) is new]
        return sum(each[count] for each in counted) / sum(each["pictures"] for each in counted)

    assert (share("before", new=False), share("after", new=False)) == pytest.approx((result.gate.before, result.gate.after))
    assert share("after", new=True) == pytest.approx(result.accuracy["validation"])
    assert [classes[name]["before"] for name in old] != [classes[name]["after"] for name in old]


def test_kept_pictures_of_another_class_teach_nothing_and_are_named(store: Store, tmp_path: Path) -> None:
    """The very files that were learned as red come as crimson: those that the memory keeps are left out, the warning names both."""
    shutil.copytree(draw(tmp_path / "again", "red", count=8), tmp_path / "task" / "crimson")
    draw(tmp_path / "task", "crimson", count=6, seed=5, colour="red")
    kept = {p.source for p in store.memory(3)}
    result = teach(store, tmp_path / "task")
    left_out = [path for path, reason in result.rejected if reason == "kept as a picture of 'red'"]
    assert len(left_out) == 8
    assert any(
        "8 pictures of 'crimson' are kept as pictures of 'red' and were left out" in warning and "forget --class 'red'" in warning
        for warning in result.warnings
    )
    assert kept & {p.source for p in store.memory(4) if p.task == result.task} == set()


def test_nothing_but_kept_pictures_of_another_class_is_refused(store: Store, tmp_path: Path) -> None:
    """There is nothing left to learn, and nothing changes."""
    shutil.copytree(draw(tmp_path / "again", "red", count=8), tmp_path / "task" / "crimson")
    with pytest.raises(BadPictures, match=r"no picture in .* 8 pictures of 'crimson' are kept as pictures of 'red'"):
        teach(store, tmp_path / "task")
    assert store.numbers() == [0, 1, 2, 3]


def test_a_name_that_differs_by_case_is_refused_and_nothing_changes(store: Store, tmp_path: Path) -> None:
    """The store is byte for byte what it was."""
    before = snapshot(store.root)
    draw(tmp_path / "task", "Red", count=4, colour="red")
    with pytest.raises(BadInput, match="the class 'Red' differs from the known 'red' only by case"):
        teach(store, tmp_path / "task")
    assert snapshot(store.root) == before


def test_more_classes_than_rows_are_announced_before_learning(store: Store, tmp_path: Path) -> None:
    """The message says how many rows are left and how to get more."""
    for index in range(13):
        draw(tmp_path / "task", f"class{index:02d}", count=1, seed=index, colour="grey")
    with pytest.raises(BadInput, match=r"13 new classes do not fit: 10 of 16 rows are left.*edgecl grow --capacity"):
        teach(store, tmp_path / "task")


def test_only_duplicates_of_holdout_pictures_cannot_be_learned(store: Store, tmp_path: Path) -> None:
    """A folder of nothing but held-out pictures is refused with the reason."""
    held = {p.source for p in store.memory(3) if p.role == "holdout"}
    first = draw_task(tmp_path / "first", "red", "green")
    for picture in find(first, geometry_of(store.facts.architecture)).pictures:
        if picture.sha256 not in held:
            picture.path.unlink()
    with pytest.raises(BadPictures, match="is one of the pictures that are held out for checking"):
        teach(store, first)


def test_two_learners_do_not_meet(store: Store, tmp_path: Path) -> None:
    """The second is told that the store is busy."""
    with Store.open(store.root).learning_lock(), pytest.raises(StoreBusy):
        teach(store, draw_task(tmp_path / "fourth", "black"))


def test_a_graph_that_answers_otherwise_is_never_served(store: Store, tmp_path: Path) -> None:
    """The canary goes through the predictor before `current` moves."""
    with pytest.raises(ParityFailed, match="version 4 does not answer as it was made to"):
        teach(store, draw_task(tmp_path / "fourth", "black"), make_predictor=lambda: FakePredictor(capacity=16))
    assert store.current == 3


def test_progress_names_its_stages_and_reaches_the_end(store: Store, tmp_path: Path) -> None:
    """Each stage ends at its total."""
    seen: dict[str, tuple[int, int]] = {}
    teach(store, draw_task(tmp_path / "fourth", "black"), progress=lambda stage, done, total: seen.update({stage: (done, total)}))
    assert list(seen) == ["reading pictures", "looking at pictures", "training", "choosing the coefficient"]
    assert all(done == total for done, total in seen.values())


def test_every_version_passes_its_own_canary(store: Store) -> None:
    """What travels with a version describes it."""
    for number in store.numbers():
        predictor = OrtPredictor(threads=1)
        predictor.load(store.folder(number))
        assert self_test(predictor, store.folder(number), store.manifest(number).rows()).passed


def test_a_classifier_without_pictures_keeps_its_rows(tmp_path: Path) -> None:
    """Classes that came with the weights are not touched where nothing could check them: only the head learns, and it says so."""
    store = new_classifier(tmp_path / "model", "alpha", "beta")
    result = teach(store, draw_task(tmp_path / "task", "red", "green"))
    assert result.coefficient == 0.0
    assert any("2 classes (alpha, beta) have no picture in the memory" in warning for warning in result.warnings)
    for old, new in zip(store.head(0), store.head(1), strict=True):
        np.testing.assert_array_equal(new[:2], old[:2])
    assert accuracy(store, draw_task(tmp_path / "new", "red", "green", seed=4)) >= 0.8


@pytest.mark.parametrize("kind", ["deit3", "everything"])
def test_other_kinds_of_backbone_learn_and_forget_nothing_on_the_way(kind: str, tmp_path: Path) -> None:
    """Registers, positions of patches alone, average pooling, no bias of qkv: two tasks, read back from disk, and served by the graph."""
    teach(new_store(tmp_path / "model", architecture=KINDS[kind]), draw_task(tmp_path / "first", "red", "green"))
    store = Store.open(tmp_path / "model")
    result = teach(store, draw_task(tmp_path / "second", "blue", "yellow"))
    assert (result.state, store.facts.architecture) == ("current", KINDS[kind])
    assert accuracy(store, tmp_path / "first") > 0.7
    assert accuracy(store, tmp_path / "second") > 0.7


def record(store: Store, number: int) -> dict[str, Any]:
    """`run.json` of a version."""
    return dict(json.loads((store.folder(number) / "run.json").read_text()))


def test_the_record_says_what_it_ran_on(store: Store) -> None:
    """Device, type and threads stand in run.json, outside the deterministic part; a batch that was kept is not mentioned."""
    run = record(store, 1)
    assert (run["device"], run["threads"], run["settings"]["batch"]) == ("cpu", 1, 8)
    assert run["training_type"] in ("float32", "bfloat16")
    assert run["profile"] in profile_names()
    assert "batch_changed" not in run


def test_a_batch_that_does_not_fit_goes_in_parts_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hardly any memory free: the batch goes through in parts, with a warning and a line in run.json; the version serves."""
    monkeypatch.setattr(hardware, "KEPT_BYTES", 2**30)
    store = new_store(tmp_path / "model")
    result = teach(store, draw_task(tmp_path / "task", "red", "green", count=4))
    run = record(store, 1)
    assert result.state == "current"
    assert run["settings"]["batch"] == QUICK.batch
    assert run["batch_changed"] in result.warnings
    assert re.match(r"\d instead of 8 pictures are trained on at a time: \d+ MiB are free", run["batch_changed"])


def test_a_gpu_that_torch_does_not_see_stops_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Orin with a PyTorch for the CPU: exit code 8, the lines that install the right one, and a way round."""
    board = detect(Path(__file__).parent / "boards" / "orin-nano-8-jetpack-6.2")
    monkeypatch.setattr("edgecl.learner.detect", lambda: board)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    store = new_store(tmp_path / "model")
    task, before = draw_task(tmp_path / "task", "red", "green", count=4), snapshot(store.root)
    with pytest.raises(MissingExtra, match=r"does not see.*pip install --index-url https://pypi\.jetson-ai-lab\.io/jp6/cu126 torch"):
        teach(store, task, device="auto")
    assert snapshot(store.root) == before
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert teach(store, task, device="auto").state == "current"
