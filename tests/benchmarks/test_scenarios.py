"""Other courses than nine equal tasks: what each of them is, and that their rows stay apart from the standard ones."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from continual import closed, ours, rows, running, scenarios
from continual.data import Bench, Course, Pictures
from continual.registry import EDGECL, IN_SCENARIOS, METHODS
from continual.scenarios import SCENARIOS, SHOTS, TILES, course_of, near_pairs
from continual.table import print_scenario

from edgecl.backbone import random_state
from tests.teaching import TINY

CLASSES, EACH = 81, 17


def _pictures(split: str, each: int) -> Pictures:
    """Of 81 classes, whose features tell them apart; nothing looks at their tokens."""
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(CLASSES), each)
    means = random.normal(size=(CLASSES, TINY.width))
    features = (means[labels] + random.normal(0, 0.1, (len(labels), TINY.width))).astype(np.float32)
    paths = np.array([f"{label:02d}/{split}-{i}.png" for i, label in enumerate(labels)])
    return Pictures(labels, features, paths, np.zeros((len(labels), 1, 1, 1), np.float16), np.arange(len(labels)))


@pytest.fixture(scope="module")
def bench() -> Bench:
    """As many classes, in as many tasks, as the Grocery photos have."""
    order = np.random.default_rng(0).permutation(CLASSES).reshape(9, 9)
    orders = {0: tuple(tuple(task) for task in order.tolist())}
    names = tuple(f"{c:02d}" for c in range(CLASSES))
    splits = (_pictures("train", EACH), _pictures("val", 3), _pictures("test", 5))
    return Bench(TINY, {}, 1, names, orders, *splits, Path("photos"), Path("work"))


def _course(name: str, bench: Bench) -> Course:
    return course_of(name, bench, seed=0)


def _counts(course: Course) -> list[int]:
    return [len(course.taught(task)) for task in range(len(course.tasks))]


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("27x3", [3] * 27),
        ("one-by-one", [9] * 8 + [1] * 9),
        ("five", [9] * 9),
        ("near", [9] * 9),
        ("unequal", [1, 2, 3, 5, 8, 13, 20, 29]),
    ],
)  # fmt: skip
def test_every_class_comes_once(name: str, sizes: list[int], bench: Bench) -> None:
    """In tasks of the sizes that the name says; all of them are asked about, and only in `near` the order is another than the standard one."""
    course = _course(name, bench)
    assert [len(task) for task in course.tasks] == sizes
    assert sorted(course.classes) == list(range(CLASSES))
    assert len(course.classes) == sum(sizes)
    assert (course.classes == tuple(c for task in bench.orders[0] for c in task)) == (name != "near")
    assert course.asked is bench.test
    each = SHOTS if name == "five" else EACH
    assert _counts(course) == [each * size for size in sizes]
    assert len(course.bench.val) == (0 if name == "five" else len(bench.val))


def test_five_pictures_of_each_class(bench: Bench) -> None:
    """Of the training pictures, not simply the first ones, and the same ones each time."""
    course = _course("five", bench)
    assert np.bincount(course.everything.labels).tolist() == [SHOTS] * CLASSES
    assert set(course.everything.paths) < set(bench.train.paths)
    assert {int(path[3:-4].split("-")[1]) % EACH for path in course.everything.paths.tolist()} == set(range(EACH))
    assert np.array_equal(course.everything.paths, _course("five", bench).everything.paths)


def test_more_pictures_of_known_classes(bench: Bench) -> None:
    """Half of 27 classes' pictures, then the other half in one task, then two tasks whole: no picture twice, none of 45 classes left out."""
    course = _course("more", bench)
    first, again, later = course.tasks[:3], course.tasks[3], course.tasks[4:]
    assert (*first, *later) == bench.orders[0][:5]
    assert again == tuple(c for task in first for c in task)
    assert len(course.classes) == 45
    assert _counts(course) == [9 * 9, 9 * 9, 9 * 9, 27 * 8, 9 * EACH, 9 * EACH]
    for task in range(6):
        assert set(course.taught(task).labels.tolist()) == set(course.tasks[task])
    taught = np.concatenate([course.lesson(task) for task in range(6)])
    assert len(np.unique(taught)) == len(taught) == len(course.everything) == 45 * EACH
    assert course.everything.paths.tolist() == bench.train.of(course.classes).paths.tolist()


def test_every_later_class_of_near_is_near_to_an_earlier_one(bench: Bench) -> None:
    """Forty disjoint pairs; no pair of what was left when one was chosen is nearer than it; the second of each comes in a later task than the first."""
    pairs = near_pairs(bench)
    assert len(pairs) == 40
    assert len({c for pair in pairs for c in pair}) == 80
    means = np.stack([bench.train.of([c]).features.mean(axis=0) for c in range(CLASSES)]).astype(np.float64)
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    cosine = unit @ unit.T - 3 * np.eye(CLASSES)
    for a, b in pairs:
        assert a < b
        assert cosine[a, b] == pytest.approx(cosine.max(), abs=1e-6)
        cosine[[a, b], :] = cosine[:, [a, b]] = -2
    when = {c: task for task, classes in enumerate(_course("near", bench).tasks) for c in classes}
    assert all(when[b] - when[a] >= 4 for a, b in pairs)


def test_no_tile_of_cifar_is_both_learned_and_asked_about() -> None:
    """Of each class 25 to learn from, 4 for val, 20 to be asked about, of parts that have so many."""
    numbers = {split: set(list(scenarios.PARTS[part])[:count]) for split, (part, count) in TILES.items()}
    assert {split: len(own) for split, own in numbers.items()} == {"train": 25, "val": 4, "test": 20}
    assert len(set.union(*numbers.values())) == 49
    assert all(f"{min(numbers[split])} to {max(numbers[split])}" in " ".join(str(SCENARIOS["cifar"].__doc__).split()) for split in numbers)


@pytest.mark.shared
def test_cifar_is_written_as_files_once(shared: Path, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiles with the documented numbers, lossless, of a hundred classes in ten tasks of ten; what is there is not written again."""
    from PIL import Image

    monkeypatch.setattr(scenarios, "TILES", {"train": ("fit", 2), "val": ("validate", 1), "test": ("test", 1)})
    own = replace(bench, state=random_state(TINY, 0), work=tmp_path)
    course = _course("cifar", own)
    assert [len(task) for task in course.tasks] == [10] * 10
    assert (len(course.classes), len(course.everything), len(course.asked)) == (100, 200, 100)
    assert course.bench.classes[course.tasks[0][0]] == "cloud"
    file = tmp_path / "cifar" / "train" / "cloud" / "351.png"
    with Image.open(shared / "data" / "cifar100" / "train" / "cloud.jpg") as mosaic, Image.open(file) as tile:
        y, x = 32 * (351 // 25), 32 * (351 % 25)
        assert np.array_equal(np.asarray(tile), np.asarray(mosaic.convert("RGB"))[y : y + 32, x : x + 32])
    written = file.stat().st_mtime_ns
    _course("cifar", own)
    assert file.stat().st_mtime_ns == written


def test_a_scenario_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """`five` has nine tasks in order 0, too: its rows are not the standard ones, nor the other way round, and nothing is chosen for it."""
    choice = {"split": "val", "order": 0, "seed": 0, "tasks": 3}
    known = [{**running.key_of(METHODS["ridge"], one, **choice), "a_t": i == 2} for i, one in enumerate(METHODS["ridge"].choices)]
    known = [{name: str(float(value)) if name == "a_t" else str(value) for name, value in row.items()} for row in known]
    settings = METHODS["ridge"].choices[2]
    standard = {"split": "test", "order": 0, "seed": 0, "tasks": 9, "scenario": ""}
    row = {name: str(value) for name, value in running.key_of(METHODS["ridge"], settings, **standard).items()}
    place = {"split": "test", "order": 0, "seed": 0, "scenario": "five"}
    assert running.unfinished(METHODS["ridge"], [settings], [row], **place) == [2]
    assert running.unfinished(METHODS["ridge"], [settings], [{**row, "scenario": "five"}], **place) == []
    assert running.unfinished(METHODS["ridge"], [settings], [{**row, "scenario": "five"}], **standard) == [2]
    performed: list[Any] = []
    monkeypatch.setattr(rows, "committed", lambda: known)
    monkeypatch.setattr(running, "_perform", lambda method, choices, work, **place: performed.append((method, choices, place)))
    running.measure_scenario(METHODS["ridge"], "five", Path("work"), seed=0)
    assert performed == [(METHODS["ridge"], [settings], place)]


def test_edgecl_learns_scenarios_by_its_frozen_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hash is in the row's; where it is not the committed one, nothing is run."""
    from grocery import configuration_hash

    assert EDGECL.choices == [{"configuration": configuration_hash()}]
    monkeypatch.setattr("grocery.configuration_hash", lambda *backbone: "another")
    monkeypatch.setattr(rows, "committed", list)
    monkeypatch.setattr(running, "_perform", lambda *given, **place: pytest.fail("ran"))
    with pytest.raises(SystemExit, match="the configuration another is not the committed one; run --freeze and commit it first"):
        running.measure_scenario(EDGECL, "near", Path("work"), seed=0)


def test_what_does_not_go_together_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """edgecl without a scenario, a row that scenarios do not have, choices for a scenario; each message says what there is."""
    file = Path(running.SCRIPT)
    spec = importlib.util.spec_from_file_location("continual_script", file)
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for given, message in (
        ("--run edgecl", "edgecl's row of the standard course is read from results/grocery.csv; run benchmarks/grocery.py --split test"),
        ("--run slda --scenario near", "slda: not a row of scenarios; those are edgecl, joint-full-ours, replay-ours, ridge"),
        ("--choose ridge --scenario near", "leave out --choose and --order"),
        ("--run ridge --scenario near --order 1", "leave out --choose and --order"),
    ):
        with pytest.raises(SystemExit):
            script.parsed(given.split())
        assert message in capsys.readouterr().err
    assert script.parsed(["--run", "edgecl", "ridge", "--scenario", "near"]).run == ["edgecl", "ridge"]


def test_the_table_of_a_scenario(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its own rows, each by its present configuration; the gap is to joint; one at a time is compared with one task."""

    def known(row: str, configuration: str, a_t: float, scenario: str) -> dict[str, str]:
        return {**dict.fromkeys(rows.FIELDS, "1"), "row": row, "configuration": configuration, "split": "test", "order": "0", "seed": "0",
                "a_t": str(a_t), "scenario": scenario}  # fmt: skip

    now, joint, ridge = (
        running.key_of(method, method.choices[0], split="test")["configuration"]
        for method in (EDGECL, METHODS["joint-full-ours"], METHODS["ridge"])
    )
    there = [
        known("edgecl", now, 0.85, "one-by-one"), known("edgecl", "older", 0.1, "one-by-one"), known("edgecl", now, 0.2, "near"),
        known("joint-full-ours", joint, 0.9, "one-by-one"), known("joint-full-ours", "other head", 0.95, "one-by-one"),
        known("ridge", ridge, 0.7, ""),
    ]  # fmt: skip
    monkeypatch.setattr(rows, "read", lambda *path: there)
    monkeypatch.setattr(ours, "rows", lambda: [known("edgecl", "frozen", 0.88, ""), {**known("edgecl", "frozen", 0.1, ""), "order": "1"}])
    print_scenario("one-by-one", IN_SCENARIOS, seed=0)
    printed = capsys.readouterr().out
    lines = {line[:58].strip(): line[58:].split() for line in printed.splitlines()}
    assert "one-by-one: the first eight tasks of order 0" in printed
    assert (lines["edgecl"][0], lines["edgecl"][-1]) == ("85.0", "5.0")
    assert lines[METHODS["joint-full-ours"].title][-1] == "0.0"
    assert lines["ridge regression"] == ["not", "measured"]
    assert "edgecl, the last nine classes as one task minus one at a time, A_T: +3.0 points" in printed
    assert "*" not in printed
    there[:] = [row for row in there if row["configuration"] != joint]
    print_scenario("one-by-one", IN_SCENARIOS, seed=0, earlier=True)
    printed = capsys.readouterr().out
    lines = {line[:58].strip(): line[58:].split() for line in printed.splitlines()}
    assert (lines["edgecl"][0], lines[f"{METHODS['joint-full-ours'].title} *"][0]) == ("85.0", "95.0")
    assert "*: before edgecl or its head was changed" in printed


@pytest.mark.parametrize(
    ("learn", "settings"), [(closed.class_means, {}), (closed.ridge, {"ridge": 0.1}), (closed.slda, {"shrinkage": 0.1})]
)
def test_closed_forms_add_up_what_comes_again(bench: Bench, learn: Any, settings: Any) -> None:
    """After classes came twice, answers to anything are as if all of their pictures had come at once, and not as if only the last ones had."""
    random = np.random.default_rng(2)
    probes = replace(bench.test, features=random.normal(size=bench.test.features.shape).astype(np.float32))
    noisy = replace(bench.train, features=random.normal(size=bench.train.features.shape).astype(np.float32))
    course = _course("more", replace(bench, train=noisy))

    def answers(tasks: Any, lessons: Any) -> list[int]:
        return list(list(learn(replace(course, tasks=tasks, lessons=lessons), settings))[-1].answer(probes).tolist())

    assert course.lessons
    twice = answers(course.tasks[:4], course.lessons[:4])
    assert twice == answers(course.tasks[3:4], (np.sort(np.concatenate(course.lessons[:4])),))
    assert twice != answers(course.tasks[3:4], course.lessons[3:4])


def test_a_picture_that_is_taught_twice_is_one_picture(bench: Bench) -> None:
    """Joint learning sees it once."""
    course = replace(_course("more", bench), tasks=((0,), (0,)), lessons=(np.arange(9), np.arange(3, EACH)))
    assert course.everything.paths.tolist() == bench.train.of([0]).paths.tolist()


@pytest.mark.slow
def test_avalanche_gets_the_standard_course_as_from_its_own_generator(bench: Bench) -> None:
    """Where every class comes once in tasks of one size, the experiences are those of `nc_benchmark`, picture by picture."""
    pytest.importorskip("avalanche", reason="the extra bench is not installed")
    from avalanche.benchmarks import nc_benchmark
    from continual import peers

    course = bench.course(0, split="test", tasks=9, seed=0)
    tokens = peers.Tokens(course, augmented=False)
    with mock.patch.object(peers.Tokens, "__getitem__", lambda self, index: (index, self.targets[index])):
        order = {"n_experiences": 9, "task_labels": False, "fixed_class_order": list(range(CLASSES)), "shuffle": False}
        theirs = nc_benchmark(tokens, tokens, **order).train_stream
        for own, other in zip(peers.stream_of(course, tokens), theirs, strict=True):
            assert [own.dataset[i] for i in range(len(own.dataset))] == [other.dataset[i] for i in range(len(other.dataset))]
