"""A course in which classes come again, some pictures at a time, in each row that scenarios have; six colours and a tiny ViT."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from continual import joint, product
from continual.data import KEPT, PICTURE_BYTES, Bench, Course, bench_of
from continual.method import run
from continual.registry import EDGECL, IN_SCENARIOS, METHODS

from edgecl.backbone import random_state
from tests.teaching import TINY, draw_task

COLOURS = ("red", "green", "blue", "yellow", "violet", "white")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Six colours for an untrained tiny ViT."""
    place = tmp_path_factory.mktemp("colours")
    for seed, split in enumerate(("train", "val", "test")):
        draw_task(place / split, *COLOURS, count=12 if split == "train" else 6, seed=seed)
    tasks = [COLOURS[:2], COLOURS[2:4], COLOURS[4:]]
    return bench_of(place, {0: tasks}, TINY, random_state(TINY, 0), first_block=1, work=place / "work")


def _again(colours: Bench) -> Course:
    """One class, three classes, the other half of the first two tasks' pictures, two classes."""
    number = colours.classes.index
    first, second, last = (number("red"),), tuple(number(name) for name in COLOURS[1:4]), tuple(number(name) for name in COLOURS[4:])
    tasks = (first, second, first + second, last)
    own = [np.flatnonzero(np.isin(colours.train.labels, task)) for task in tasks]
    lessons = (own[0][::2], own[1][::2], own[2][1::2], own[3])
    return Course(colours, 0, tasks, colours.test, "test", 0, lessons)


def test_each_picture_knows_its_file(colours: Bench) -> None:
    """Also after a selection, and where an earlier run has left tokens without paths; tokens of other pictures are refused."""
    assert len(colours.train.paths) == 72
    for pictures in (colours.train, colours.train.of([2, 4]), colours.val):
        assert [colours.classes.index(path.split("/")[0]) for path in pictures.paths.tolist()] == pictures.labels.tolist()
    kept = next(colours.work.glob("tokens-*"))
    before = (kept / "train-tokens.npy").stat().st_mtime_ns
    (kept / "train-paths.npy").unlink()
    orders = {0: [[colours.classes[c] for c in task] for task in colours.orders[0]]}
    like = {"first_block": 1, "work": colours.work}
    assert bench_of(colours.folder, orders, TINY, colours.state, **like).train.paths.tolist() == colours.train.paths.tolist()
    assert (kept / "train-tokens.npy").stat().st_mtime_ns == before
    (kept / "train-paths.npy").unlink()
    other = colours.folder / "train" / "red" / "one-more.png"
    other.write_bytes((colours.folder / "test" / "red" / "2-000.png").read_bytes())
    with pytest.raises(SystemExit, match=r"has other pictures than .*tokens-.* was made of; remove .* and run again"):
        bench_of(colours.folder, orders, TINY, colours.state, **like)
    other.unlink()
    bench_of(colours.folder, orders, TINY, colours.state, **like)


def test_what_a_task_brings_again_is_no_forgetting_of_it_before_it_came(colours: Bench) -> None:
    """The matrix is empty above its diagonal also where a later task's classes were seen; every class counts once."""
    found = run(METHODS["ridge"], _again(colours), {"ridge": 0.1})
    assert np.isnan(np.array(found["matrix"])[np.triu_indices(4, k=1)]).all()
    assert not np.isnan(np.array(found["matrix"])[np.tril_indices(4)]).any()
    assert (found["classes"], found["pictures"]) == (6, 36)


@pytest.mark.slow
def test_joint_learns_everything_that_was_taught_once(colours: Bench) -> None:
    """Both halves of the classes that come again, and no more than was taught."""
    course = _again(colours)
    settings = IN_SCENARIOS["joint-full-ours"].choices[0]
    assert next(iter(joint.full(course, settings))).kept_bytes == 72 * PICTURE_BYTES
    halved = replace(course, tasks=course.tasks[:2], lessons=course.lessons[:2] if course.lessons else None)
    assert next(iter(joint.full(halved, settings))).kept_bytes == 24 * PICTURE_BYTES
    found = run(IN_SCENARIOS["joint-full-ours"], course, settings)
    assert np.isnan(np.array(found["matrix"])[np.triu_indices(4, k=1)]).all()


@pytest.mark.slow
def test_replay_learns_classes_again(colours: Bench) -> None:
    """The head sees each picture once: the new half, and of the earlier one what the buffer still holds; ten of each class are kept."""
    pytest.importorskip("avalanche", reason="the extra bench is not installed")
    from continual import peers

    course, seen = _again(colours), []
    fitted = peers.fit_head

    def counted(features: Any, labels: Any, **options: Any) -> Any:
        seen.append((np.bincount(labels).tolist(), len(np.unique(features.round(4), axis=0))))
        return fitted(features, labels, **options)

    with mock.patch("continual.peers.fit_head", counted):
        learned = list(IN_SCENARIOS["replay-ours"].learn(course, {"learning_rate": 1e-3, "epochs": 1}))
    assert seen[0] == ([6], 6)
    assert seen[1] == ([6] * 4, 24)
    assert sum(seen[2][0]) == seen[2][1]
    assert all(KEPT <= count <= 12 for count in seen[2][0])
    assert sorted(seen[3][0]) == [KEPT] * 4 + [12] * 2
    assert len(learned) == 4


@pytest.mark.slow
def test_edgecl_gets_exactly_what_a_task_brings(colours: Bench) -> None:
    """Classes that come again, a first task of one class, and val only of the task's classes; the answers know all colours."""
    course, got = _again(colours), []
    learn = product.learn

    def recorded(store: Any, folder: Path, *, val: Path | None, **options: Any) -> Any:
        got.append([sorted(str(file.relative_to(place)) for file in place.glob("*/*")) if place else None for place in (folder, val)])
        return learn(store, folder, val=val, **options)

    with mock.patch("continual.product.learn", recorded):
        found = run(EDGECL, course, EDGECL.choices[0])
    assert [own[0] for own in got] == [sorted(course.taught(task).paths.tolist()) for task in range(4)]
    assert [own[1] for own in got] == [sorted(colours.val.of(task).paths.tolist()) for task in course.tasks]
    assert found["a_t"] > 0.6
    assert not list(colours.work.glob("store-*"))


@pytest.mark.slow
def test_edgecl_learns_without_val(colours: Bench) -> None:
    """Then it divides five pictures of each class itself."""
    few = np.sort(np.concatenate([np.flatnonzero(colours.train.labels == c)[:5] for c in range(6)]))
    own = replace(colours, train=colours.train.at(few), val=colours.val.at(np.zeros(0, np.intp)))
    course, got = own.course(0, split="test", tasks=3, seed=0), []
    learn = product.learn

    def recorded(*given: Any, val: Path | None, **options: Any) -> Any:
        got.append(val)
        return learn(*given, val=val, **options)

    with mock.patch("continual.product.learn", recorded):
        assert len(list(product.by_default(course, {}))) == 3
    assert got == [None] * 3
