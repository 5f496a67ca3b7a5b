"""Engines from the first build to the last doubt, on a fake TensorRT of three releases.

It proves what edgecl does with what TensorRT says; what a real TensorRT says is not proven here.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecl.errors import EngineUnusable, GpuFailed, StoreBusy, UsageError
from edgecl.layout import refittable_names, to_deployment
from edgecl.runtime.cudart import Gpu
from edgecl.runtime.engines import keep, listed, remove
from edgecl.runtime.fake_tensorrt import fake_tensorrt
from edgecl.runtime.fake_tensorrt.plan import Plan
from edgecl.runtime.findings import timing
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.selftest import read_canary, widened_canary
from edgecl.runtime.session import TrtSession
from edgecl.runtime.trt import TrtPredictor
from edgecl.store import Store, history
from edgecl.store.locks import exclusive
from edgecl_export.graph import write_graph
from edgecl_export.to_tensorrt import Road, road_of, surrogate
from tests.runtime.engine_board import Board as EngineBoard
from tests.runtime.engine_board import board_of as any_board

pytestmark = pytest.mark.usefixtures("no_waiting")
RELEASES = ("10.3", "10.16", "11.4")
every_release = pytest.mark.parametrize("release", RELEASES)
ORIN_AGX = Gpu("Orin (fake)", (8, 7), 16)
THOR = Gpu("Thor (fake)", (11, 0), 20)
WRONG_ANSWERS = ("swaps_weights", "drops_a_bias")
WRONG_REFITS = ("refit_stops_halfway", "lists_missing", "loses_a_weight", "refuses_a_weight")


class Board(EngineBoard):
    """With what the tests ask of it."""

    def answer(self, predictor: Any, number: int) -> Any:
        """Logits of the used rows for the canary of version `number`."""
        return predictor.infer(read_canary(self.store.folder(number) / "canary.safetensors").pictures)[0][
            :, self.store.manifest(number).rows()
        ]

    def agrees(self, predictor: TrtPredictor, number: int) -> bool:
        """Whether it answers as ONNX Runtime does with that version's own graph, within fp16's rounding."""
        reference = OrtPredictor(threads=1)
        reference.load(self.store.folder(number))
        expected = self.answer(reference, number)
        return bool(np.abs(self.answer(predictor, number) - expected).max() < 2e-3 * max(np.ptp(expected), 1.0))

    def failures(self) -> list[dict[str, Any]]:
        """What state.json says of engines that failed."""
        return list(self.store.state().get("engines", {}).get("failed", []))

    @property
    def plan_path(self) -> Path:
        """The one plan of the store."""
        (path,) = (self.store.root / "engines").glob("*.plan")
        return path


def board_of(store: Store, release: str = "10.16", **options: Any) -> Board:
    """A board without an engine yet; `options` are the fake's."""
    return Board(**vars(any_board(store, release, **options)))


@pytest.fixture
def board(store: Store, release: str) -> Board:
    """A board with this release of TensorRT and no engine yet."""
    return board_of(store, release)


# Build


@every_release
def test_build(board: Board, release: str) -> None:
    """One plan without a prefix, its JSON beside it, a timing cache; exactly the weights that learning changes can be changed."""
    exported = board.export(1)
    assert exported.built
    architecture, facts = board.store.facts.architecture, exported.facts
    assert listed(board.store.root) == [facts]
    opset = 18 if release == "10.3" else 20
    assert facts.name == f"{architecture.key()}-c16-w1-opset{opset}-trt{board.trt.__version__}-sm87x8-fp16-refit.plan"
    assert (facts.graph_precision, facts.refittable) == ("fp32" if release == "10.3" else "fp16", "individual")
    plan = Plan.from_bytes(board.plan_path.read_bytes())
    assert sorted(plan.refittable) == sorted(refittable_names(architecture))
    assert {path.suffix for path in (board.store.root / "engines").iterdir()} == {".plan", ".json", ".timing", ".lock", ""}
    assert plan.name == f"edgecl/1 {facts.graph} fp16"
    assert not board.cuda.held


@every_release
def test_a_plan_holds_nothing_that_was_learned(board: Board) -> None:
    """Built for version 1 or for version 3, a refit plan has the same bytes: noise where the head is, the bare backbone elsewhere."""
    board.export(1)
    first = board.plan_path.read_bytes()
    remove(board.store.root, listed(board.store.root)[0])
    board.export(3)
    same = board.plan_path.read_bytes() == first  # asserted apart: pytest would take minutes to describe how two plans differ
    assert same
    weights = Plan.from_bytes(first).weights
    base = board.store.base()
    for name in refittable_names(board.store.facts.architecture):
        assert np.ptp(weights[name]) > 0
    np.testing.assert_allclose(weights["blocks.1.mlp.fc1.weight_t"], base["blocks.1.mlp.fc1.weight"].T, atol=1e-3)


@every_release
def test_stand_ins_have_variety(board: Board) -> None:
    """Constant tensors, tensors of equal values and the head become noise where they can be changed, each its own; all others stay."""
    architecture, road = board.store.facts.architecture, road_of(board.trt)
    empty = np.zeros((16, architecture.width), np.float32), np.zeros(16, np.float32)
    arrays = to_deployment(board.store.base(), *empty, architecture)
    constant, first, second = "blocks.0.mlp.fc1.weight_t", "blocks.0.attn.qkv.weight_t", "blocks.1.attn.qkv.weight_t"
    arrays[constant], arrays[second] = np.ones_like(arrays[constant]), arrays[first].copy()
    made = surrogate(arrays, architecture, road)
    changed = {name for name in arrays if not np.array_equal(made[name], arrays[name])}
    assert changed == {constant, second, "head.weight_t", "head.bias"}
    assert len({made[name].tobytes() for name in refittable_names(architecture)}) == len(refittable_names(architecture))
    assert all(np.ptp(made[name]) > 0 for name in refittable_names(architecture))
    assert 0 < np.abs(made[constant]).max() < 0.2


@pytest.mark.parametrize(
    ("version", "without", "expected"),
    [
        ("10.0.1", ("BuilderFlag.REFIT_INDIVIDUAL",), Road(False, 18, "all")),
        ("10.3.0", (), Road(False, 18, "individual")),
        ("10.11.0", (), Road(False, 18, "individual")),
        ("10.12.0", (), Road(True, 20, "individual")),
        ("10.8.0", ("BuilderFlag.FP16",), Road(True, 20, "individual")),
        ("11.0.0", ("BuilderFlag.FP16",), Road(True, 20, "individual")),
        ("10.12.0", ("NetworkDefinitionCreationFlag.STRONGLY_TYPED",), Road(False, 18, "individual")),
    ],
)
def test_the_road_follows_the_flags(version: str, without: tuple[str, ...], expected: Road) -> None:
    """A flag that is not there is not used, whatever the version; where both roads are open, 10.12 is the border."""
    trt = fake_tensorrt("10.3", without=without)
    trt.__version__ = version
    assert road_of(trt) == expected


def test_tensorrt_8_is_sent_to_trtexec() -> None:
    """With the command that prints the line."""
    trt = fake_tensorrt("10.3")
    trt.__version__ = "8.5.2.2"
    with pytest.raises(EngineUnusable, match=r"TensorRT 8\.5\.2\.2 is older than 10\. Export for it with: edgecl export --onnx --opset 16"):
        road_of(trt)


@every_release
def test_a_build_that_fails_leaves_nothing(board: Board) -> None:
    """TensorRT's own words are in the message; no plan, no JSON."""
    board.trt.bugs = frozenset({"never_builds"})
    with pytest.raises(EngineUnusable, match=r"could not build the refit engine \(TensorRT: .*Could not find any implementation"):
        board.export(1, workspace_mib=512)
    assert listed(board.store.root) == []
    assert list((board.store.root / "engines").glob("*.plan")) == []


# Refit


@every_release
def test_refit(board: Board) -> None:
    """One plan serves every version, there and back, each answering as its own graph does; the plan on disk never changes."""
    board.export(1)
    before = board.plan_path.read_bytes()
    predictor = board.predictor(None)
    for number in (1, 2, 3, 1):
        predictor.load(board.store.folder(number))
        assert board.agrees(predictor, number)
        assert predictor.serving is not None
        assert predictor.serving.version == number
    assert board.plan_path.read_bytes() == before
    predictor.close()
    assert not board.cuda.held


@every_release
def test_every_weight_is_set(board: Board) -> None:
    """The full state, never a delta: a plan whose stand-ins are all zero answers as the version does, there and back."""
    facts = board.export(1).facts
    plan = Plan.from_bytes(board.plan_path.read_bytes())
    zeros = {name: np.zeros_like(value) if name in plan.refittable else value for name, value in plan.weights.items()}
    keep(board.store.root, facts, replace(plan, weights=zeros).to_bytes())
    predictor = board.predictor(None)
    for number in (1, 3, 1):
        predictor.load(board.store.folder(number))
        assert board.agrees(predictor, number)


@every_release
def test_a_second_task_builds_nothing(board: Board) -> None:
    """`export --trt` of the next version takes the engine that is there."""
    board.export(1)
    board.trt.bugs = frozenset({"never_builds"})
    exported = board.export(2)
    assert (exported.built, exported.facts.version, exported.version) == (False, 1, 2)
    assert exported.test.passed


@every_release
def test_old_releases_mark_everything(store: Store, release: str) -> None:
    """Before 10.3 nothing can be marked: every weight is refittable, every one is set, and the graph's own constants are left."""
    board = board_of(store, release, without=("BuilderFlag.REFIT_INDIVIDUAL", "INetworkDefinition.mark_weights_refittable"))
    exported = board.export(1)
    assert exported.facts.refittable == "all"
    assert len(Plan.from_bytes(board.plan_path.read_bytes()).refittable) > len(refittable_names(store.facts.architecture))
    assert board.agrees(board.predictor(2), 2)


# Self-test failure


@every_release
@pytest.mark.parametrize("bug", WRONG_ANSWERS)
def test_selftest_failure(board: Board, bug: str) -> None:
    """An engine that TensorRT calls refitted but that answers otherwise is found by the canary, recorded, and never tried again."""
    board.export(1)
    board.trt.bugs = frozenset({bug})
    predictor = board.predictor(None)
    with pytest.raises(EngineUnusable, match=r"cannot serve version 2: its self-test failed: .*Build it anew with: edgecl export --trt"):
        predictor.load(board.store.folder(2))
    (failed,) = board.failures()
    assert (failed["version"], failed["engine"]) == (2, board.plan_path.name)
    assert predictor.serving is None
    board.trt.bugs = frozenset()
    with pytest.raises(EngineUnusable, match="failed with version 2 before: its self-test failed"):
        predictor.load(board.store.folder(2))
    predictor.load(board.store.folder(3))  # nothing was said against that
    predictor.close()
    assert not board.cuda.held


@every_release
def test_a_build_that_answers_wrongly_is_not_kept(board: Board) -> None:
    """With the documented bug of a dropped bias `--engine refit` fails and keeps nothing; the reason stands in state.json."""
    board.trt.bugs = frozenset({"drops_a_bias"})
    with pytest.raises(EngineUnusable, match="self-test failed"):
        board.export(1)
    assert listed(board.store.root) == []
    assert "self-test failed" in board.failures()[0]["reason"]


# Fallback


@every_release
@pytest.mark.parametrize("bug", [*WRONG_ANSWERS, *WRONG_REFITS])
def test_fallback(board: Board, bug: str) -> None:
    """Whatever goes wrong with the next version, the old one goes on answering, the reason is a sentence, and the copy's memory is freed."""
    board.export(1)
    predictor = board.predictor(1)
    before, held = board.answer(predictor, 1), len(board.cuda.held)
    board.trt.bugs = frozenset({bug})
    with pytest.raises(EngineUnusable, match=r"cannot serve version 2: .*Version 1 goes on serving"):
        predictor.load(board.store.folder(2))
    board.trt.bugs = frozenset()
    np.testing.assert_array_equal(board.answer(predictor, 1), before)
    assert len(board.cuda.held) == held
    assert board.failures()[0]["version"] == 2


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        ("refit_stops_halfway", "the refit failed, so some weights are new and some are not"),
        ("lists_missing", r"still misses weights after all were given: blocks\.0\.attn\.qkv\.bias"),
        ("loses_a_weight", r"cannot change blocks\.0\.attn\.proj\.weight_t, which learning changes"),
        ("refuses_a_weight", r"refuses new values for head\.bias"),
        ("swaps_weights", "self-test failed"),
        ("drops_a_bias", "self-test failed"),
    ],
)
def test_each_doubt_has_its_sentence(store: Store, bug: str, words: str) -> None:
    """The message says which doubt it was."""
    board = board_of(store)
    board.export(1)
    board.trt.bugs = frozenset({bug})
    with pytest.raises(EngineUnusable, match=words):
        board.predictor(2)


@every_release
def test_a_grown_capacity_needs_a_new_engine(board: Board) -> None:
    """The engine of 16 rows goes on serving; the version with 24 has none, and the sentence says how many rows each has."""
    board.export(3)
    predictor = board.predictor(3)
    graph = write_graph(board.store.facts.architecture, 24)
    grown = history.grow(board.store, 24, graph, lambda content: widened_canary(content, 24)).number
    with pytest.raises(
        EngineUnusable, match=r"has 16 rows, but the version has 24\. Build one with: edgecl export --trt\. Version 3 goes on serving"
    ):
        predictor.load(board.store.folder(grown))
    assert board.agrees(predictor, 3)
    exported = board.export(grown)
    assert (exported.built, exported.facts.capacity) == (True, 24)


# Corrupted plan


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@every_release
@pytest.mark.parametrize("damage", [_flip, lambda path: path.write_bytes(path.read_bytes()[:100]), Path.unlink], ids=["bit", "cut", "gone"])
def test_corrupted_plan(board: Board, damage: Callable[[Path], Any]) -> None:
    """A plan that is not the one that was built never reaches TensorRT; what serves goes on; the next export builds it anew."""
    board.export(1)
    predictor = board.predictor(1)
    damage(board.plan_path)
    with pytest.raises(EngineUnusable, match=r"(was changed or cut short|cannot be read).*edgecl export --trt.*Version 1 goes on serving"):
        predictor.load(board.store.folder(2))
    assert board.agrees(predictor, 1)
    again = board.export(2)
    assert again.built
    assert "It is built anew" in again.notes[0]
    assert board.agrees(board.predictor(2), 2)


@every_release
def test_a_plan_that_tensorrt_does_not_take(board: Board) -> None:
    """Bytes that match their JSON and are still no plan: TensorRT's own words are in the sentence."""
    facts = board.export(1).facts
    keep(board.store.root, facts, b"no plan")
    with pytest.raises(EngineUnusable, match=r"does not take the plan \(TensorRT: .*Magic tag does not match\)"):
        board.predictor(1)


@every_release
def test_a_plan_under_another_name(board: Board) -> None:
    """A plan that calls itself otherwise than its JSON does is not served, whatever its hash."""
    exported = board.export(1)
    plan = Plan.from_bytes(board.plan_path.read_bytes())
    keep(board.store.root, exported.facts, replace(plan, name="edgecl/1 something else fp16").to_bytes())
    with pytest.raises(EngineUnusable, match="the plan calls itself 'edgecl/1 something else fp16'"):
        board.predictor(1)


# Wrong GPU, other TensorRT


@every_release
@pytest.mark.parametrize("other", [ORIN_AGX, THOR], ids=["more multiprocessors", "another capability"])
def test_wrong_gpu(board: Board, other: Gpu) -> None:
    """A store copied to another board: its engine is named with the GPU it was built on, and is not tried."""
    board.export(1)
    board.cuda.gpu = other
    with pytest.raises(EngineUnusable, match=rf"was built on Orin \(fake\) \(sm87x8\), but this is .* \({other.key}\)\. Build one"):
        board.predictor(1)
    assert board.failures() == []
    exported = board.export(1)
    assert exported.built
    assert other.key in exported.facts.name
    assert board.agrees(board.predictor(2), 2)


@every_release
def test_wrong_gpu_behind_a_forged_description(board: Board) -> None:
    """Where the JSON says this GPU and the plan another, TensorRT refuses and its words are passed on."""
    facts = board.export(1).facts
    plan = board.plan_path.read_bytes()
    board.cuda.gpu = THOR
    keep(board.store.root, replace(facts, gpu=THOR), plan)
    with pytest.raises(EngineUnusable, match=r"does not take the plan \(TensorRT: .*incompatible device"):
        board.predictor(1)


@pytest.mark.parametrize(("built_with", "installed"), [("10.3", "10.16"), ("10.16", "11.4"), ("11.4", "10.3")])
def test_another_tensorrt(store: Store, built_with: str, installed: str) -> None:
    """After an upgrade, or a step back, the sentence has both versions; the next export builds one more engine beside the old."""
    board_of(store, built_with).export(1)
    board = board_of(store, installed)
    with pytest.raises(EngineUnusable, match=r"was built with TensorRT 1\d\.\S+, but 1\d\.\S+ is installed"):
        board.predictor(1)
    assert board.export(1).built
    assert len(listed(store.root)) == 2
    assert board.agrees(board.predictor(3), 3)


def test_another_backbone(store: Store) -> None:
    """An engine that was copied from a store with other base weights has other norms and biases inside, and is not taken."""
    board = board_of(store)
    facts = board.export(1).facts
    keep(store.root, replace(facts, base="0" * 64), board.plan_path.read_bytes())
    with pytest.raises(EngineUnusable, match="was built from another backbone"):
        board.predictor(1)


# Which kind


def _times(refit_ms: float, frozen_ms: float) -> Callable[[TrtSession], float]:
    values = iter((refit_ms, frozen_ms))
    return lambda session: next(values)


@every_release
def test_auto_times_both_kinds_once(board: Board) -> None:
    """Refitting that costs 9 % is taken: one plan stays, the ratio stands in state.json, and the next version builds nothing."""
    exported = board.export(1, kind="auto", measure=_times(10.9, 10.0))
    assert (exported.facts.kind, exported.built, exported.ratio) == ("refit", True, 1.09)
    assert [facts.kind for facts in listed(board.store.root)] == ["refit"]
    assert timing(board.store, exported.facts.family) == {"refit_ms": 10.9, "frozen_ms": 10.0, "ratio": 1.09}
    again = board.export(2, kind="auto", measure=_times(99.0, 1.0))
    assert (again.facts.kind, again.built) == ("refit", False)


@every_release
def test_auto_takes_a_frozen_engine_where_refitting_is_slow(board: Board) -> None:
    """At 11 % the frozen engine is chosen; the one to refit stays, to serve the next version until that has its own."""
    exported = board.export(1, kind="auto", measure=_times(11.1, 10.0))
    assert (exported.facts.kind, exported.ratio) == ("frozen", 1.11)
    assert sorted(facts.kind for facts in listed(board.store.root)) == ["frozen", "refit"]
    predictor = board.predictor(1)
    assert predictor.serving is not None
    assert predictor.serving.facts.kind == "frozen"
    predictor.load(board.store.folder(2))
    assert predictor.serving.facts.kind == "refit"
    assert board.agrees(predictor, 2)
    second = board.export(2, kind="auto")
    assert (second.facts.kind, second.built) == ("frozen", True)
    assert second.facts.name.endswith(f"-frozen-{board.store.manifest(2).files['weights.safetensors'].sha256[:16]}.plan")
    predictor.load(board.store.folder(2))
    assert predictor.serving.facts.kind == "frozen"
    assert board.agrees(predictor, 2)


def test_the_slowness_of_a_refittable_engine_is_measured(store: Store) -> None:
    """With the real stopwatch an engine that is slow when refittable loses."""
    board = board_of(store, bugs={"slow_when_refittable"})
    exported = board.export(1, kind="auto")
    assert exported.facts.kind == "frozen"
    assert (exported.ratio or 0) > 1.1


@every_release
def test_auto_freezes_where_a_refit_answers_wrongly(board: Board) -> None:
    """The dropped bias spoils engines that can be refitted only: the frozen one is built instead, and the note says why."""
    board.trt.bugs = frozenset({"drops_a_bias"})
    exported = board.export(1, kind="auto")
    assert exported.facts.kind == "frozen"
    assert "self-test failed" in exported.notes[0]
    assert "A frozen one is built for each version instead" in exported.notes[0]
    assert board.agrees(board.predictor(1), 1)


def test_the_next_best_engine_serves_where_the_best_fails(store: Store) -> None:
    """A frozen engine that was damaged gives way to the one that can be refitted, at once; the failure is recorded."""
    board = board_of(store)
    board.export(1, kind="refit")
    frozen = board.export(1, kind="frozen").facts
    _flip(store.root / "engines" / frozen.name)
    predictor = board.predictor(1)
    assert predictor.serving is not None
    assert predictor.serving.facts.kind == "refit"
    assert [entry["engine"] for entry in board.failures()] == [frozen.name]


def test_a_refit_engine_that_never_serves_is_not_built_again(store: Store) -> None:
    """`auto` found out once; the next version gets its frozen engine without a try, and state.json has no ratio."""
    board = board_of(store, bugs={"drops_a_bias"})
    first = board.export(1, kind="auto")
    assert timing(store, first.facts.family) == {"refit_ms": None, "frozen_ms": pytest.approx(0, abs=60), "ratio": None}
    second = board.export(2, kind="auto")
    assert (second.facts.kind, second.built, second.ratio, second.notes) == ("frozen", True, None, ())


def test_frozen_engines_of_old_versions_go(store: Store) -> None:
    """Only those of the version itself, of current and of good stay."""
    board = board_of(store)
    for number in (1, 2, 3, 2):
        board.export(number, kind="frozen")
    assert sorted(facts.version for facts in listed(store.root)) == [2, 3]


# Around it


@every_release
def test_fp32_means_fp32(board: Board, release: str) -> None:
    """An fp32 engine is a plan of its own, and TF32 is switched off for it."""
    exported = board.export(1, precision="fp32")
    assert exported.facts.name.endswith("-fp32-refit.plan")
    assert exported.facts.graph_precision == "fp32"
    assert "IBuilderConfig.clear_flag" in board.trt.touched
    board.export(1)
    assert sorted(facts.precision for facts in listed(board.store.root)) == ["fp16", "fp32"]
    predictor = board.predictor(1)
    assert predictor.serving is not None
    assert predictor.serving.facts.precision == "fp16"
    asked = TrtPredictor(board.store, precision="fp32", trt=board.trt, cuda=board.cuda)
    asked.load(board.store.folder(1))
    assert asked.serving is not None
    assert asked.serving.facts.precision == "fp32"


def test_norms_and_softmax_stay_in_fp32_on_the_weakly_typed_road(store: Store) -> None:
    """Only there layers are pinned."""
    weak, typed = board_of(store, "10.3"), board_of(store, "10.16")
    weak.export(1)
    typed.export(1)
    assert {"ILayer.precision", "ILayer.set_output_type"} <= weak.trt.touched
    assert not {"ILayer.precision", "ILayer.set_output_type"} & typed.trt.touched


def test_a_timing_cache_of_another_gpu_is_begun_anew(store: Store) -> None:
    """It is not an error; the note says so, and the cache is replaced."""
    board = board_of(store)
    board.export(1)
    (cache,) = (store.root / "engines").glob("*.timing")
    assert b"tactics" in cache.read_bytes()
    cache.write_bytes(b"timing cache of something else")
    exported = board.export(1, kind="frozen")
    assert "is from another GPU or TensorRT and is begun anew" in exported.notes[0]
    assert b"10.16" in cache.read_bytes()


def test_one_build_at_a_time(store: Store) -> None:
    """A second export of the same store is told who builds."""
    board = board_of(store)
    board.export(1)
    with exclusive(store.root / "engines" / "build.lock", wait_s=0), pytest.raises(StoreBusy, match="is being changed by process"):
        board.export(1)


def test_an_unknown_kind_or_precision_is_refused(store: Store) -> None:
    """The message has the choice."""
    board = board_of(store)
    with pytest.raises(UsageError, match="'warm' is not built; choose refit, frozen or auto with --engine"):
        board.export(1, kind="warm")
    with pytest.raises(UsageError, match=r"'int8' is not written; choose one of \['fp32', 'fp16'\]"):
        board.export(1, precision="int8")


def test_a_short_memory_is_not_held_against_an_engine(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU's own errors are not recorded: the same engine may serve a minute later."""
    board = board_of(store)
    board.export(1)
    with monkeypatch.context() as patch:

        def short(size_bytes: int) -> int:
            raise GpuFailed("taking 150528 bytes of GPU memory failed: CUDA says 'out of memory' (2)")

        patch.setattr(board.cuda, "malloc", short)
        with pytest.raises(GpuFailed, match="out of memory"):
            board.predictor(1)
    assert board.failures() == []
    assert board.agrees(board.predictor(1), 1)


def test_a_moved_store_keeps_its_engines(store: Store, tmp_path: Path) -> None:
    """Nothing in engines/ names a place."""
    board_of(store).export(1)
    moved = Store.open(Path(shutil.move(store.root, tmp_path / "elsewhere")))
    assert board_of(moved).agrees(board_of(moved).predictor(2), 2)
    (path,) = (moved.root / "engines").glob("*.json")
    assert str(tmp_path) not in path.read_text()
    assert json.loads(path.read_text())["format"] == "edgecl.engine/1"
