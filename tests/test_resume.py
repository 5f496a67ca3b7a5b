"""A learn that is stopped goes on where it was and ends in the same bytes."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import edgecl.begin
import edgecl.training
from edgecl.errors import Interrupted, NoSpace
from edgecl.guard import Guard
from edgecl.sensors import FakeSensors
from edgecl.settings import GuardSettings
from edgecl.store import Store
from edgecl.store.checkpoints import CHECKPOINT_FILE, read_checkpoint
from edgecl.store.history import rename, rollback
from edgecl.store.verify import verify
from tests.store.builders import snapshot
from tests.teaching import QUICK, draw_task, teach

SETTINGS = dataclasses.replace(QUICK, epochs=2)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A fourth task; eight pictures of black."""
    return draw_task(tmp_path / "fourth", "black")


@pytest.fixture(scope="module")
def undisturbed(learned: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Another copy of the store that has learned the same task in one go."""
    place = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(learned, place / "model", symlinks=True)
    store = Store.open(place / "model")
    teach(store, draw_task(place / "fourth", "black"), settings=SETTINGS)
    return store


def stopping(after: int) -> Guard:
    """A guard that hears SIGTERM after so many steps."""
    guard = Guard()
    look = guard.between_steps

    def count(done: int, total: int, save: Callable[[], None]) -> bool:
        if done == after:
            guard.stop("SIGTERM")
        return look(done, total, save)

    guard.between_steps = count  # type: ignore[method-assign]
    return guard


def interrupt(store: Store, task: Path, after: int, **options: object) -> None:
    """Learn until a step and be stopped there."""
    with pytest.raises(Interrupted):
        teach(store, task, settings=SETTINGS, guard=stopping(after), **options)


def same_version(one: Store, other: Store, number: int = 4) -> None:
    """Every file of the version but run.json, and every adapter and picture, byte for byte."""
    first, second = snapshot(one.root), snapshot(other.root)
    names = {name for name in first if "run.json" not in name and not name.startswith(("tmp/", "edgecl.json"))}
    assert names == {name for name in second if "run.json" not in name and not name.startswith(("tmp/", "edgecl.json"))}
    assert [name for name in sorted(names) if first[name] != second[name]] == []
    assert one.manifest(number).deterministic == other.manifest(number).deterministic


@pytest.mark.parametrize("after", [1, 4, 5])
def test_it_goes_on_and_ends_in_the_same_bytes(store: Store, undisturbed: Store, task: Path, after: int) -> None:
    """Stopped after the first, a middle and the last but one step; the checkpoint is gone in the end, and run.json tells the story."""
    interrupt(store, task, after)
    assert (store.numbers(), store.current) == ([0, 1, 2, 3], 3)
    checkpoint = read_checkpoint(store.root)
    assert checkpoint is not None
    assert (checkpoint.steps, checkpoint.parent, checkpoint.number) == (after, 3, 4)
    assert verify(store, deep=True) == []
    steps: list[int] = []
    result = teach(store, task, settings=SETTINGS, progress=lambda stage, done, total: stage == "training" and steps.append(done))
    assert steps == list(range(after + 1, steps[-1] + 1 if steps else after + 1))
    assert (result.version, result.state) == (4, "current")
    assert not (store.root / CHECKPOINT_FILE).exists()
    assert store.run_info(4)["incidents"] == [f"goes on after {after} steps of a learn that was interrupted"]
    same_version(store, undisturbed)


def test_it_may_be_stopped_again_and_again(store: Store, undisturbed: Store, task: Path) -> None:
    """Four runs, the same bytes."""
    for after in (1, 2, 5):
        interrupt(store, task, after)
    teach(store, task, settings=SETTINGS)
    assert len(store.run_info(4)["incidents"]) == 3
    same_version(store, undisturbed)


def test_a_stop_before_training_leaves_nothing(store: Store, task: Path) -> None:
    """While pictures are read there is nothing to keep yet."""
    guard, before = Guard(), snapshot(store.root)
    guard.stop("Ctrl-C")
    with pytest.raises(Interrupted, match=r"stopped: Ctrl-C. Nothing is lost. The same command goes on from there."):
        teach(store, task, guard=guard)
    assert snapshot(store.root) == before


@pytest.mark.parametrize(
    "change",
    [
        {"settings": dataclasses.replace(SETTINGS, seed=1)},
        {"max_drop": 0.5},
        {"name": "other"},
    ],
)
def test_a_checkpoint_of_another_lesson_is_never_taken(store: Store, task: Path, change: dict[str, object]) -> None:
    """Another setting or name begins from the start, and says so."""
    options = {"settings": SETTINGS, **change}
    interrupt(store, task, 4)
    steps: list[int] = []
    said: list[str] = []
    teach(store, task, guard=Guard(say=said.append), progress=lambda stage, done, _: stage == "training" and steps.append(done), **options)
    assert steps[0] == 1
    assert said == ["another learn was interrupted after 4 steps; this one begins from the start, and that one is given up"]
    assert not (store.root / CHECKPOINT_FILE).exists()


def test_another_picture_is_another_lesson(store: Store, task: Path) -> None:
    """A picture that came or went changes the lesson."""
    interrupt(store, task, 4)
    next((task / "black").iterdir()).unlink()
    said: list[str] = []
    teach(store, task, settings=SETTINGS, guard=Guard(say=said.append))
    assert "this one begins from the start" in said[0]


def test_what_happened_meanwhile_counts(store: Store, task: Path) -> None:
    """A rename took the number and is the parent now, so the learn begins anew from it."""
    interrupt(store, task, 4)
    rename(store, "red", "rot")
    said: list[str] = []
    result = teach(store, task, settings=SETTINGS, guard=Guard(say=said.append))
    assert (result.version, store.manifest(5).parent, store.current) == (5, 4, 5)
    assert said == ["another learn was interrupted after 4 steps; this one begins from the start, and that one is given up"]


def test_an_older_parent_is_no_start(store: Store, task: Path) -> None:
    """Two changes later the checkpoint is of the past; that is said, too."""
    interrupt(store, task, 4)
    rename(store, "red", "rot")
    rename(store, "rot", "rouge")
    said: list[str] = []
    result = teach(store, task, settings=SETTINGS, guard=Guard(say=said.append))
    assert (result.version, store.manifest(6).parent) == (6, 5)
    assert said == ["the learn that was interrupted started from version 3; this one begins from the start, from 5"]


def test_a_damaged_checkpoint_is_said_and_left(store: Store, undisturbed: Store, task: Path) -> None:
    """verify finds it, learning begins from the start and ends in the same bytes."""
    interrupt(store, task, 4)
    path = store.root / CHECKPOINT_FILE
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    [finding] = verify(store, deep=True)
    assert (finding.path, finding.damage) == (CHECKPOINT_FILE, False)
    assert "Delete it: the next learn then begins from the start." in finding.remedy
    said: list[str] = []
    teach(store, task, settings=SETTINGS, guard=Guard(say=said.append))
    assert said[0].startswith("an interrupted learn cannot be continued, so this one begins from the start (checkpoint.safetensors")
    same_version(store, undisturbed)


def test_a_version_that_was_written_but_not_served_is_found_again(
    store: Store, undisturbed: Store, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between writing and serving: the next learn does not learn again, it serves."""

    def killed(*arguments: object, **options: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(edgecl.learner, "serve", killed)
    with pytest.raises(KeyboardInterrupt):
        teach(store, task, settings=SETTINGS)
    monkeypatch.undo()
    assert (store.numbers()[-1], store.current) == (4, 3)
    steps: list[int] = []
    result = teach(store, task, settings=SETTINGS, progress=lambda stage, done, _: stage == "training" and steps.append(done))
    assert (steps, result.version, result.state) == ([], 4, "current")
    same_version(store, undisturbed)


def test_a_version_that_serves_already_is_not_learned_again(
    store: Store, undisturbed: Store, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after serving, before the checkpoint was removed."""
    monkeypatch.setattr(edgecl.learner, "remove_checkpoint", lambda root: None)
    first = teach(store, task, settings=SETTINGS)
    monkeypatch.undo()
    second = teach(store, task, settings=SETTINGS)
    assert dataclasses.replace(second, seconds=0, peak_memory_mib=0) == dataclasses.replace(first, seconds=0, peak_memory_mib=0)
    assert not (store.root / CHECKPOINT_FILE).exists()
    same_version(store, undisturbed)


NOTHING_TO_LEARN = (
    "version 4 was learned from the same pictures with the same settings, and nothing happened since, so there is nothing to learn. "
    "To learn them once more all the same, give another --seed"
)


def test_a_learn_whose_answer_was_lost_can_be_given_again(store: Store, undisturbed: Store, task: Path) -> None:
    """Killed between its last change and its answer, it has left no checkpoint; asked for again it changes nothing and answers the same."""
    first, before, said = teach(store, task, settings=SETTINGS), snapshot(store.root), []
    steps: list[int] = []
    guard = Guard(say=said.append)
    second = teach(store, task, settings=SETTINGS, guard=guard, progress=lambda stage, done, _: stage == "training" and steps.append(done))
    assert (steps, said) == ([], [NOTHING_TO_LEARN])
    assert dataclasses.replace(second, seconds=0, peak_memory_mib=0) == dataclasses.replace(first, seconds=0, peak_memory_mib=0)
    assert snapshot(store.root) == before
    same_version(store, undisturbed)


def test_what_was_only_staged_is_served_when_it_is_learned_again(store: Store, undisturbed: Store, task: Path) -> None:
    """With --stage nothing changes a second time, either; without it the version that waits is taken."""
    assert [teach(store, task, settings=SETTINGS, stage=True).state for _ in range(2)] == ["staged", "staged"]
    result = teach(store, task, settings=SETTINGS)
    assert (result.version, result.state, store.numbers()[-1]) == (4, "current", 4)
    same_version(store, undisturbed)


def learned_again(store: Store, task: Path, **options: object) -> int:
    """The version that the same learn gives when it trains once more."""
    steps: list[int] = []
    result = teach(
        store, task, **{"settings": SETTINGS, **options}, progress=lambda stage, done, _: stage == "training" and steps.append(done)
    )
    assert steps
    return result.version


def test_another_seed_or_picture_learns_the_task_once_more(store: Store, task: Path) -> None:
    """On top of itself, as any other task."""
    teach(store, task, settings=SETTINGS)
    assert learned_again(store, task, settings=dataclasses.replace(SETTINGS, seed=1)) == 5
    next((task / "black").iterdir()).unlink()
    assert learned_again(store, task) == 6
    assert store.manifest(6).parent == 5


def test_who_went_back_learns_the_task_anew(store: Store, task: Path) -> None:
    """After a rollback, or where something else happened since, the version is not taken again."""
    teach(store, task, settings=SETTINGS)
    assert rollback(store) == 3
    assert learned_again(store, task) == 5
    rename(store, "red", "rot")
    assert learned_again(store, task) == 7


@pytest.mark.parametrize(("stage", "damaged"), [(True, "000004/manifest.json"), (True, "000004/run.json"), (False, "000003/memory.json")])
def test_what_cannot_be_read_is_not_the_same(store: Store, task: Path, stage: bool, damaged: str) -> None:
    """Damage of a version that this learn does not start from, or of that one's parent, does not keep it from learning."""
    teach(store, task, settings=SETTINGS, stage=stage)
    path = store.root / "versions" / damaged
    path.write_bytes(path.read_bytes()[:-3])
    assert learned_again(store, task) == 5


def test_checkpoints_are_written_as_time_passes(store: Store, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only when somebody stops it: whoever is killed loses checkpoint_s of learning at most."""
    written: list[int] = []
    original = edgecl.learner.write_checkpoint
    monkeypatch.setattr(edgecl.learner, "write_checkpoint", lambda root, c: (written.append(c.steps), original(root, c)))
    now = iter(range(0, 100_000, 10))
    teach(store, task, settings=SETTINGS, guard=Guard(GuardSettings(checkpoint_s=60), clock=lambda: float(next(now))))
    assert written == [2, 4, 6, 6]  # every 60 s, of which a step takes 40 here, and at the end


def full_once(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> None:
    """The first forward passes of training meet `error`."""
    original, left = edgecl.training._loss, [times]

    def loss(*arguments: object) -> torch.Tensor:
        if left[0]:
            left[0] -= 1
            raise error
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(edgecl.training, "_loss", loss)


@pytest.mark.parametrize(
    "error", [RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), MemoryError(), torch.cuda.OutOfMemoryError("CUDA")]
)
def test_out_of_memory_gives_up_one_thing_after_the_other(
    store: Store, task: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """8 pictures at once, then 4, 2, 1, then gradient checkpointing: each said and recorded, and the task is learned."""
    full_once(monkeypatch, error, 4)
    said: list[str] = []
    result = teach(store, task, settings=SETTINGS, guard=Guard(say=said.append))
    assert said == [
        "the memory is full: 4 of 8 pictures at once, each batch in parts",
        "the memory is full: 2 of 4 pictures at once, each batch in parts",
        "the memory is full: 1 of 2 pictures at once, each batch in parts",
        "the memory is full: gradient checkpointing: slower, with less memory",
    ]
    assert result.state == "current"
    assert store.run_info(4)["incidents"] == said


def test_no_memory_for_anything_is_resumable(store: Store, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing left to give up learning stops, keeps what it has, and goes on later with what it had settled for."""
    full_once(monkeypatch, MemoryError(), 100)
    with pytest.raises(Interrupted, match=r"the memory is full, also with one picture at once and one block. End other programs"):
        teach(store, task, settings=SETTINGS)
    monkeypatch.undo()
    checkpoint = read_checkpoint(store.root)
    assert checkpoint is not None
    assert checkpoint.economy == {"at_once": 1, "recompute": 1, "train_from": 1}
    assert teach(store, task, settings=SETTINGS).state == "current"
    assert len(store.run_info(4)["incidents"]) == 5


def test_another_runtime_error_is_no_memory_problem(store: Store, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes out as it is."""
    full_once(monkeypatch, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), 1)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        teach(store, task, settings=SETTINGS)


def test_little_memory_makes_training_smaller(store: Store, task: Path) -> None:
    """The guard's sensors say so, and it is recorded."""
    guard = Guard(GuardSettings(patience_s=0), FakeSensors(memory=1), sleep=lambda seconds: None)
    teach(store, task, settings=SETTINGS, guard=guard)
    assert guard.incidents[1] == "little memory is left to others: 4 of 8 pictures at once, each batch in parts"


def test_a_full_disk_is_found_before_the_work(store: Store, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 7 with how much is needed and how much there is; not one step is made."""
    before = snapshot(store.root)

    def full(place: Path, needed_bytes: int, doing: str) -> None:
        assert needed_bytes > store.version_bytes(16)
        raise NoSpace(doing)

    monkeypatch.setattr(edgecl.begin, "require_space", full)
    with pytest.raises(NoSpace, match="learning this task"):
        teach(store, task, progress=lambda stage, done, total: pytest.fail(stage) if stage == "training" else None)
    assert snapshot(store.root) == before


def test_the_estimate_covers_what_learning_writes(store: Store, task: Path) -> None:
    """The room asked for is at least what the version, its adapter, the checkpoint and the pictures took, and not ten times it."""
    asked: list[int] = []
    original = edgecl.begin.require_space
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edgecl.begin, "require_space", lambda place, needed, doing: (asked.append(needed), original(place, needed, doing)))
        interrupt(store, task, 5)
        checkpoint = (store.root / CHECKPOINT_FILE).stat().st_size
        before = sum(len(content) for content in snapshot(store.root).values())
        teach(store, task, settings=SETTINGS)
    written = sum(len(content) for content in snapshot(store.root).values()) - before + 2 * checkpoint
    assert written <= asked[0] + 2**20
    assert asked[0] <= 10 * written
    assert json.loads((store.folder(4) / "run.json").read_text())["lesson"]
