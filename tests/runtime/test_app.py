"""The app's loop."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecl.errors import BadInput, StoreDamaged
from edgecl.preprocess import Geometry, UnreadablePicture
from edgecl.runtime.app import run
from edgecl.runtime.base import Prediction
from edgecl.runtime.decide import Smoother
from edgecl.runtime.fake import WALL_TIME, FakeCamera, FakePredictor
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.sources import open_source
from tests.runtime.tiny import SIZE, manifest_of, plain

GEOMETRY = Geometry(size=SIZE, crop_pct=1.0, interpolation="bilinear")
RED, GREEN, BLUE = (plain(colour)[0] for colour in ("red", "green", "blue"))


def test_every_frame_is_answered_in_order() -> None:
    """Source, index and time come from the frame, the version from the manifest."""
    answers: list[Prediction] = []
    summary = run(FakeCamera([BLUE, RED, GREEN]), FakePredictor(), manifest_of(), GEOMETRY, on_prediction=answers.append)
    assert [(each.label, each.index) for each in answers] == [("blue", 0), ("red", 1), ("green", 2)]
    assert {(each.source, each.time, each.version) for each in answers} == {("fake", WALL_TIME, 7)}
    assert (summary.frames, summary.answered, summary.skipped) == (3, 3, 0)


def test_frames_of_any_size_reach_the_model_at_its_own() -> None:
    """One picture per inference."""
    predictor = FakePredictor()
    frames = [np.zeros((31, 47, 3), np.uint8), np.zeros((8, 5, 3), np.uint8)]
    run(FakeCamera(frames), predictor, manifest_of(), GEOMETRY, on_prediction=lambda _: None)
    assert predictor.batches == [(1, SIZE, SIZE, 3)] * 2


def test_latency_covers_preprocess_inference_and_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured per frame; the percentiles are those of the answers."""
    clock = iter([0.0, 0.010, 1.0, 1.020, 2.0, 2.030])
    monkeypatch.setattr("edgecl.runtime.app.perf_counter", lambda: next(clock))
    answers: list[Prediction] = []
    summary = run(FakeCamera([RED] * 3), FakePredictor(), manifest_of(), GEOMETRY, on_prediction=answers.append)
    assert [each.latency_ms for each in answers] == pytest.approx([10, 20, 30])
    assert summary.latency_p50_ms == pytest.approx(20)
    assert summary.latency_p95_ms == pytest.approx(29)


def test_an_unreadable_frame_is_skipped_and_told() -> None:
    """The run goes on, and the summary counts it."""
    answers: list[Prediction] = []
    told: list[str] = []
    camera = FakeCamera([UnreadablePicture("frame 0 is torn"), RED, UnreadablePicture("frame 2 is torn"), BLUE])
    summary = run(camera, FakePredictor(), manifest_of(), GEOMETRY, on_prediction=answers.append, on_skip=told.append)
    assert told == ["frame 0 is torn", "frame 2 is torn"]
    assert [each.index for each in answers] == [1, 3]
    assert (summary.frames, summary.answered, summary.skipped) == (4, 2, 2)


def test_a_source_without_one_readable_frame_is_bad_input() -> None:
    """The message counts and has the last reason."""
    camera = FakeCamera([UnreadablePicture("frame 0 is torn"), UnreadablePicture("frame 1 is torn")])
    with pytest.raises(BadInput, match=r"no picture that can be read \(2 tried\); the last: frame 1 is torn"):
        run(camera, FakePredictor(), manifest_of(), GEOMETRY, on_prediction=lambda _: None)


def test_an_empty_source_has_no_latency() -> None:
    """There is nothing to take a percentile of."""
    summary = run(FakeCamera([]), FakePredictor(), manifest_of(), GEOMETRY, on_prediction=lambda _: None)
    assert (summary.frames, summary.latency_p50_ms, summary.latency_p95_ms) == (0, None, None)


def test_stop_is_asked_before_each_frame() -> None:
    """A frame that was read is answered."""
    answers: list[Prediction] = []
    summary = run(
        FakeCamera([RED] * 100), FakePredictor(), manifest_of(), GEOMETRY, on_prediction=answers.append, stop=lambda: len(answers) >= 2
    )
    assert summary.answered == len(answers) == 2


def test_smoothing_is_a_part_of_the_loop() -> None:
    """One odd frame does not change the label."""
    answers: list[Prediction] = []
    camera = FakeCamera([RED, RED, BLUE])
    run(camera, FakePredictor(), manifest_of(), GEOMETRY, on_prediction=answers.append, smoother=Smoother(3))
    assert [each.label for each in answers] == ["red", "red", "red"]


@pytest.mark.parametrize("error", [StoreDamaged("engine gone"), BadInput("another size")])
def test_a_failing_model_ends_the_run(error: Exception) -> None:
    """It is never counted as a skipped frame."""
    predictor = FakePredictor()
    predictor.fail_on_infer = error
    with pytest.raises(type(error), match=str(error)):
        run(FakeCamera([RED]), predictor, manifest_of(), GEOMETRY, on_prediction=lambda _: None)


def test_neither_camera_nor_model_is_closed() -> None:
    """Who opened them closes them."""
    camera, predictor = FakeCamera([RED]), FakePredictor()
    run(camera, predictor, manifest_of(), GEOMETRY, on_prediction=lambda _: None)
    assert not camera.closed
    assert not predictor.closed


def test_a_folder_through_onnxruntime(version: Path, tmp_path: Path) -> None:
    """The real parts together: files, preprocess, graph, decision."""
    colours: dict[str, Any] = {"a": (230, 0, 0), "b": (0, 0, 230)}
    (tmp_path / "pictures").mkdir()
    for name, colour in colours.items():
        Image.new("RGB", (20, 12), colour).save(tmp_path / "pictures" / f"{name}.png")
    predictor = OrtPredictor(threads=1)
    predictor.load(version)
    answers: list[Prediction] = []
    run(open_source(str(tmp_path / "pictures")), predictor, manifest_of(), GEOMETRY, on_prediction=answers.append)
    assert [(Path(each.source).name, each.label) for each in answers] == [("a.png", "red"), ("b.png", "blue")]
