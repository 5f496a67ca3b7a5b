"""The comparison of continual learners: what its columns mean, that it resumes, and every row of it on a tiny model."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from continual import rows, running
from continual.measures import paired, right_by_task, summary
from continual.method import Method, run
from continual.registry import IN_SCENARIOS, METHODS
from continual.table import print_table


def test_the_columns_follow_their_definitions() -> None:
    """Three tasks by hand: A_T and the average come from the curve, forgetting from the best earlier accuracy, transfer from the first one."""
    nan = math.nan
    matrix = [[0.8, nan, nan], [0.9, 0.6, nan], [0.5, 0.7, 1.0]]
    found = summary(matrix, [0.8, 0.75, 0.7])
    assert found["a_t"] == 0.7
    assert found["average"] == pytest.approx((0.8 + 0.75 + 0.7) / 3)
    assert found["forgetting"] == pytest.approx(((0.9 - 0.5) + (0.6 - 0.7)) / 2)
    assert found["transfer"] == pytest.approx(((0.5 - 0.8) + (0.7 - 0.6)) / 2)


def test_accuracy_is_counted_by_task() -> None:
    """Tasks of unequal size each by their own pictures; a task without pictures has none."""
    labels, predicted = np.array([0, 0, 0, 5, 2]), np.array([0, 0, 2, 5, 0])
    found = right_by_task(predicted, labels, [(0,), (5, 2), (7,)])
    assert found[:2] == [pytest.approx(2 / 3), 0.5]
    assert math.isnan(found[2])


def test_differences_are_paired_by_order() -> None:
    """Only orders that both have count; the interval is Student's, and one order has none."""
    ours = {"0": 0.92, "1": 0.91, "2": 0.90}
    mean, half, n = paired(ours, {"0": 0.90, "2": 0.89, "5": 0.1})
    assert (mean, n) == (pytest.approx(0.015), 2)
    assert half == pytest.approx(12.706 * np.std([0.02, 0.01], ddof=1) / math.sqrt(2))
    assert paired(ours, {"0": 0.90, "1": 0.90, "2": 0.90})[1] == pytest.approx(4.303 * 0.01 / math.sqrt(3))
    assert math.isnan(paired(ours, {"1": 0.5})[1])


@pytest.mark.shared
def test_kept_photos_are_as_large_as_the_table_takes_them_to_be(shared: Path) -> None:
    """Within a tenth, by one photo of each class."""
    from continual.data import PICTURE_BYTES

    from edgecl.preprocess import decode, encode_jpeg, shrink

    folders = sorted((shared / "data" / "grocery" / "train").iterdir())
    sizes = [len(encode_jpeg(shrink(decode(min(folder.glob("*.jpg"))), 257))) for folder in folders]
    assert abs(np.mean(sizes) / PICTURE_BYTES - 1) < 0.1


FORGETFUL = ("sequential", "lwf", "agem", "ewc", "replay")


def _fields(**changed: Any) -> dict[str, Any]:
    return {
        "row": "ridge",
        "configuration": "c0",
        "split": "test",
        "order": 0,
        "seed": 0,
        "tasks": 2,
        "scenario": "",
        "a_t": 0.5,
        **changed,
    }


def test_a_finished_run_is_written_once(tmp_path: Path) -> None:
    """The same row, configuration, split, order, seed, number of tasks and scenario has one line; any other of these is another run."""
    path = tmp_path / "rows.csv"
    for fields in (_fields(), _fields(a_t=0.9), _fields(order=1), _fields(configuration="c1"), _fields(tasks=3), _fields(scenario="five")):
        rows.append(fields, path)
    assert [(row["a_t"], row["order"], row["configuration"], row["tasks"], row["scenario"]) for row in rows.read(path)] == [
        ("0.5000", "0", "c0", "2", ""), ("0.5000", "1", "c0", "2", ""), ("0.5000", "0", "c1", "2", ""), ("0.5000", "0", "c0", "3", ""),
        ("0.5000", "0", "c0", "2", "five"),
    ]  # fmt: skip


def test_lines_from_before_there_were_scenarios_are_of_the_standard_course(tmp_path: Path) -> None:
    """Under a first line with the column and without it; without it nothing is added, for the scenario would be lost."""
    path = tmp_path / "rows.csv"
    for header in (rows.FIELDS[:-1], rows.FIELDS):
        path.write_text(",".join(header) + "\n" + ",".join("1" for _ in rows.FIELDS[:-1]) + "\n")
        assert [(row["row"], row["matrix"], row["scenario"]) for row in rows.read(path)] == [("1", "1", "")]
        if header == rows.FIELDS:
            rows.append(_fields(scenario="near"), path)
            assert [row["scenario"] for row in rows.read(path)] == ["", "near"]
        else:
            with pytest.raises(SystemExit, match="correct its first line, its other lines may stay"):
                rows.append(_fields(scenario="near"), path)


def test_a_row_keeps_the_whole_matrix(tmp_path: Path) -> None:
    """What was not seen yet is null, everything else a number, so any definition can be computed from the file."""
    path = tmp_path / "rows.csv"
    rows.append(_fields(matrix=[[0.75, math.nan], [0.5, 1.0]], curve=[0.75, 0.7]), path)
    assert (rows.read(path)[0]["matrix"], rows.read(path)[0]["curve"]) == ("[[0.75,null],[0.5,1.0]]", "[0.75,0.7]")


def test_every_setting_is_in_the_hash() -> None:
    """The row's name, its own settings and the shared ones."""
    found = {
        rows.configuration_hash(name, settings, shared)
        for name, settings, shared in (
            ("a", {"x": 1}, {"y": 1}),
            ("b", {"x": 1}, {"y": 1}),
            ("a", {"x": 2}, {"y": 1}),
            ("a", {"x": 1}, {"y": 2}),
        )
    }
    assert len(found) == 4


def test_the_table_says_what_is_not_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Means over the orders that are there; a row without any is not measured; the gap is to the best joint row."""
    shown = {name: METHODS[name] for name in ("ridge", "joint-probe", "slda")}
    now = {name: running.key_of(method, method.choices[0], split="test")["configuration"] for name, method in shown.items()}
    known = [
        {**dict.fromkeys(rows.FIELDS, "1"), **{k: str(v) for k, v in _fields(row=row, order=order, a_t=a_t, configuration=now[row]).items()}}
        for row, order, a_t in (("ridge", 0, 0.5), ("ridge", 1, 0.7), ("joint-probe", 0, 0.9))
    ]  # fmt: skip
    known += [{**row, "scenario": "near", "a_t": "0.1"} for row in known]
    monkeypatch.setattr(rows, "read", lambda *path: known if not path else [])
    print_table(shown, seed=0)
    lines = {line[:58].strip(): line[58:].split() for line in capsys.readouterr().out.splitlines()}
    assert lines["ridge regression"][:2] == ["0,1", "60.0"]
    assert lines["ridge regression"][5] == "30.0"
    assert lines["joint linear probe"][5] == "0.0"
    assert " ".join(lines["SLDA"]) == "not measured"


def _choosing(*a_t: float) -> tuple[Any, list[dict[str, str]]]:
    """A method with one configuration per figure, and the rows of their runs on val."""
    method = Method("ridge", "ridge", lambda course, settings: iter(()), [{"ridge": number} for number in range(len(a_t))])
    place = {"split": "val", "order": 0, "seed": 0, "tasks": 3}
    known = [{**running.key_of(method, one, **place), "a_t": value} for one, value in zip(method.choices, a_t, strict=True)]
    return method, [{name: str(value) for name, value in row.items()} for row in known]


def test_the_best_configuration_on_val_is_chosen() -> None:
    """The first of equal ones; a row of test, of another order or another number of tasks does not count."""
    method, known = _choosing(0.5, 0.8, 0.8, 0.6)
    others = [{**known[3], "a_t": "0.99", name: value} for name, value in (("split", "test"), ("order", "1"), ("tasks", "9"))]
    assert running.chosen(method, [*others, *known], seed=0) == {"ridge": 1}


def test_no_row_is_measured_before_its_choices_are_committed() -> None:
    """One missing configuration is enough, and the message says what to do."""
    method, known = _choosing(0.5, 0.8)
    with pytest.raises(SystemExit, match=r"ridge: \{'ridge': 1\} has no committed row; run --choose ridge and commit continual.csv first"):
        running.chosen(method, known[:1], seed=0)


def test_what_is_finished_is_not_run_again() -> None:
    """Only configurations without a row of the same place are left."""
    method, known = _choosing(0.5, 0.8, 0.7)
    place = {"split": "val", "order": 0, "seed": 0, "tasks": 3}
    assert running.unfinished(method, method.choices, [known[1]], **place) == [0, 2]
    assert running.unfinished(method, method.choices[:2], known[1:], **place) == [0]
    assert running.unfinished(method, method.choices, known, **{**place, "split": "test"}) == [0, 1, 2]


def test_a_row_with_edgecls_head_is_another_one_when_the_head_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On test only: what it chose on val it keeps. Rows with the head of before are not of today, and are run again."""
    place = {"order": 0, "seed": 0, "tasks": 9, "scenario": ""}
    keys = []
    for shrinkage in (0.9, 0.5):
        monkeypatch.setattr(running, "HEAD", {"shrinkage": shrinkage})
        keys.append({(name, split): running.key_of(METHODS[name], METHODS[name].choices[0], split=split, **place)
                     for name in ("replay-ours", "replay") for split in ("val", "test")})  # fmt: skip
    before, now = keys
    assert {key for key in now if before[key] != now[key]} == {("replay-ours", "test")}
    known = [{name: str(value) for name, value in key["replay-ours", "test"].items()} for key in keys]
    assert running.of_today(METHODS["replay-ours"], known) == known[1:]
    assert 0 in running.unfinished(METHODS["replay-ours"], METHODS["replay-ours"].choices, known[:1], split="test", **place)


def test_no_row_has_more_than_eight_configurations() -> None:
    """And each trained one has eight; every method of the closed forms, the peers and the ceilings is measured as many times as it must be."""
    several = {name: len(method.choices) for name, method in {**METHODS, **IN_SCENARIOS}.items() if len(method.choices) != 8}
    assert several == {"class-means": 1, "edgecl": 1}
    everywhere = {"joint-probe", "joint-lora", "joint-full", "replay", "ranpac-2000", "ranpac-5000", "paper"}
    assert {name for name, method in METHODS.items() if method.orders == (0, 1, 2)} >= everywhere


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Six colours as three tasks, for an untrained tiny ViT; as with the photos, val has none of one class."""
    from continual.data import bench_of

    from edgecl.backbone import random_state
    from tests.teaching import TINY, draw_task

    place = tmp_path_factory.mktemp("bench")
    names = ("red", "green", "blue", "yellow", "violet", "white")
    for seed, split in enumerate(("train", "val", "test")):
        draw_task(place / split, *(name for name in names if (split, name) != ("val", "green")), count=12, seed=seed)
    tasks = [names[:2], names[2:4], names[4:]]
    return bench_of(place, {0: tasks}, TINY, random_state(TINY, 0), first_block=1, work=place / "work")


def test_edgecls_head_has_the_covariance_of_every_picture_so_far(bench: Any) -> None:
    """With a backbone that does not move, the head after three tasks with two kept pictures of each class is what all pictures give."""
    from continual.edgecls_head import EdgeclsHead
    from continual.upper import features

    from edgecl.gaussians import within
    from edgecl.head import fit_head

    course, vit = bench.course(0, split="test", tasks=3, seed=0), bench.vit()
    head = EdgeclsHead(bench, vit)
    kept = bench.train.at(np.zeros(0, np.intp))
    for task in range(3):
        head.before(course.taught(task), list(kept.tokens()), kept.labels)
        answer = head.after()
        labels, taught = np.concatenate([course.taught(task).labels, kept.labels]), course.taught(task)
        fitted_on = np.concatenate([features(vit, bench, taught), features(vit, bench, kept)])
        places = [np.flatnonzero(bench.train.labels == c)[:2] for c in course.seen(task)]
        kept = bench.train.at(np.concatenate(places))
    covariance = within(features(vit, bench, bench.train), bench.train.labels)
    noise = np.random.default_rng(0).normal(size=bench.test.file.shape).astype(np.float16)
    asked = replace(bench.test, file=noise)  # that is like no class, so that the answers hang on the covariance
    seen = features(vit, bench, asked)
    expected = fit_head(fitted_on, labels, capacity=6, covariance=covariance).logits(seen).argmax(axis=1)
    assert (answer(asked) == expected).all()
    assert (fit_head(fitted_on, labels, capacity=6).logits(seen).argmax(axis=1) != expected).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_row_can_be_run(bench: Any, name: str, tmp_path: Path) -> None:
    """On two of three tasks with its first configuration, as when it is chosen, and on all with its last; every column of the table has a value.

    Six colours are easy: what is not known to forget knows them.
    """
    method = METHODS[name]
    if name in ("sequential", "replay", "replay-ours", "lwf", "icarl", "agem", "ewc"):
        pytest.importorskip("avalanche", reason="the extra bench is not installed")
    if name.startswith("peft"):
        pytest.importorskip("peft", reason="PEFT is not installed")
    for settings, tasks in ((method.choices[0], 2), (method.choices[-1], 3)):
        found = run(method, bench.course(0, split="val", tasks=tasks, seed=0), settings)
        assert 0 <= found["a_t"] <= 1
        assert len(found["matrix"]) == tasks
        rows.append(_fields(**found), tmp_path / f"{name}.csv")
    assert found["a_t"] > 0.6 or name in FORGETFUL
    filled = {column for row in rows.read(tmp_path / f"{name}.csv") for column, value in row.items() if value}
    assert filled >= set(rows.FIELDS) - {"settings", "scenario"}
