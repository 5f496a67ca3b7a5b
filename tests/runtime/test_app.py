"""The app's loop."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecl.errors import BadInput, EdgeclError, StoreDamaged, UsageError
from edgecl.preprocess import Geometry, UnreadablePicture
from edgecl.runtime.app import App, CameraPlan, RunSummary
from edgecl.runtime.base import Prediction
from edgecl.runtime.fake import WALL_TIME, FakeCamera, FakePredictor
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.serving import FixedServing, Serving
from edgecl.runtime.sources import Source, parse_source
from tests.runtime.tiny import SIZE, manifest_of, plain

GEOMETRY = Geometry(size=SIZE, crop_pct=1.0, interpolation="bilinear")
RED, GREEN, BLUE = (plain(colour)[0] for colour in ("red", "green", "blue"))


def played(frames: list[Any], name: str = "fake", *, live: bool = False) -> Source:
    """A source that plays `frames` each time it is opened."""
    return Source(name, live, lambda: FakeCamera(frames, name))


def run(
    frames: list[Any], *, serving: Serving | None = None, stop: Any = lambda answers: False, **plan: Any
) -> tuple[list[Prediction], RunSummary]:
    """All answers and the summary of one source."""
    answers: list[Prediction] = []
    serving = serving or FixedServing(FakePredictor(), manifest_of())
    app = App([CameraPlan(source=played(frames), **plan)], serving, GEOMETRY)
    summary = app.run(lambda _, prediction: answers.append(prediction), stop=lambda: stop(answers))
    return answers, summary


def test_every_frame_is_answered_in_order() -> None:
    """Source, index and time come from the frame, the version from the manifest."""
    answers, summary = run([BLUE, RED, GREEN])
    assert [(each.label, each.index) for each in answers] == [("blue", 0), ("red", 1), ("green", 2)]
    assert {(each.source, each.time, each.version) for each in answers} == {("fake", WALL_TIME, 7)}
    assert (summary.frames, summary.answered, summary.skipped, summary.dropped) == (3, 3, 0, 0)


def test_no_frame_of_a_file_is_lost() -> None:
    """However slow the engine is."""

    def slow(pictures: Any) -> Any:
        time.sleep(0.005)
        return FakePredictor().infer(pictures)[0]

    answers, summary = run([RED] * 40, serving=FixedServing(FakePredictor(slow), manifest_of()))
    assert [each.index for each in answers] == list(range(40))
    assert summary.dropped == 0


def test_frames_of_any_size_reach_the_model_at_its_own() -> None:
    """One picture per inference."""
    predictor = FakePredictor()
    run([np.zeros((31, 47, 3), np.uint8), np.zeros((8, 5, 3), np.uint8)], serving=FixedServing(predictor, manifest_of()))
    assert predictor.batches == [(1, SIZE, SIZE, 3)] * 2


def test_latency_covers_preprocess_inference_and_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured per frame; the percentiles are those of the answers."""
    clock = iter([0.0, 0.010, 1.0, 1.020, 2.0, 2.030])
    monkeypatch.setattr("edgecl.runtime.app.perf_counter", lambda: next(clock))
    answers, summary = run([RED] * 3)
    assert [each.latency_ms for each in answers] == pytest.approx([10, 20, 30])
    assert summary.latency_p50_ms == pytest.approx(20)
    assert summary.latency_p95_ms == pytest.approx(29)


def test_an_unreadable_frame_is_skipped_and_told() -> None:
    """The run goes on, and the summary counts it."""
    told: list[str] = []
    answers: list[Prediction] = []
    source = played([UnreadablePicture("frame 0 is torn"), RED, UnreadablePicture("frame 2 is torn"), BLUE])
    app = App([CameraPlan(source=source)], FixedServing(FakePredictor(), manifest_of()), GEOMETRY, tell=told.append)
    summary = app.run(lambda _, prediction: answers.append(prediction))
    assert told == ["left out: frame 0 is torn", "left out: frame 2 is torn"]
    assert [each.index for each in answers] == [1, 3]
    assert (summary.frames, summary.answered, summary.skipped) == (4, 2, 2)


def test_a_source_without_one_readable_frame_is_bad_input() -> None:
    """The message counts and has the last reason."""
    with pytest.raises(BadInput, match=r"no picture that can be read \(2 tried\); the last: frame 1 is torn"):
        run([UnreadablePicture("frame 0 is torn"), UnreadablePicture("frame 1 is torn")])


def test_an_empty_source_has_no_latency() -> None:
    """There is nothing to take a percentile of."""
    _, summary = run([])
    assert (summary.frames, summary.latency_p50_ms, summary.latency_p95_ms) == (0, None, None)


def test_stop_is_asked_before_each_frame() -> None:
    """A frame that was taken is answered."""
    answers, summary = run([RED] * 100, stop=lambda answers: len(answers) >= 2)
    assert summary.answered == len(answers) == 2


def test_smoothing_is_a_part_of_the_loop() -> None:
    """One odd frame does not change the label; without smoothing it does."""
    assert [each.label for each in run([RED, RED, BLUE], smoothing=3)[0]] == ["red", "red", "red"]
    assert [each.label for each in run([RED, RED, BLUE])[0]] == ["red", "red", "blue"]


def test_each_camera_is_smoothed_alone() -> None:
    """What one camera sees does not colour another one's answers."""
    answers: dict[str, list[str]] = {"left": [], "right": []}
    plans = [CameraPlan(source=played([RED] * 6, "left"), smoothing=3), CameraPlan(source=played([BLUE] * 6, "right"), smoothing=3)]
    app = App(plans, FixedServing(FakePredictor(), manifest_of()), GEOMETRY)
    app.run(lambda camera, prediction: answers[camera].append(prediction.label))
    assert answers == {"left": ["red"] * 6, "right": ["blue"] * 6}


def test_cameras_take_turns() -> None:
    """When all have a frame ready, none is asked twice before the others."""
    order: list[str] = []

    def note(camera: str, _: Prediction) -> None:
        order.append(camera)
        time.sleep(0.02)  # time enough for each reader to bring its next frame

    plans = [CameraPlan(source=played([RED] * 10, name)) for name in ("a", "b", "c")]
    App(plans, FixedServing(FakePredictor(), manifest_of()), GEOMETRY).run(note)
    middle = order[6:24]
    assert all(sorted(middle[i : i + 3]) == ["a", "b", "c"] for i in range(0, 18, 3))


def test_only_the_region_is_answered() -> None:
    """Left, top, width and height as parts of the frame; the frame that others see is cut, too."""
    frame = np.concatenate([plain("red")[0], plain("blue")[0]], axis=1)
    app = App([CameraPlan(source=played([frame]), region=(0.5, 0.0, 0.5, 1.0))], FixedServing(FakePredictor(), manifest_of()), GEOMETRY)
    app.run(lambda _, prediction: None)
    latest = app.view.latest("fake")
    assert latest is not None
    assert (latest[0].rgb.shape, latest[1].label) == ((SIZE, SIZE, 3), "blue")


def test_the_frame_rate_can_be_capped() -> None:
    """A file waits for its turn: 10 frames at 50 per second last 0.18 s."""
    start_s = time.monotonic()
    assert len(run([RED] * 10, max_fps=50.0)[0]) == 10
    assert time.monotonic() - start_s >= 0.17


def test_a_looped_source_begins_anew() -> None:
    """The index counts on."""
    answers, _ = run([RED, BLUE], loop=True, stop=lambda answers: len(answers) >= 5)
    assert [(each.label, each.index) for each in answers[:5]] == [("red", 0), ("blue", 1), ("red", 2), ("blue", 3), ("red", 4)]


@pytest.mark.parametrize("error", [StoreDamaged("engine gone"), BadInput("another size")])
def test_a_failing_model_ends_the_run(error: Exception) -> None:
    """It is never counted as a skipped frame."""
    predictor = FakePredictor()
    predictor.fail_on_infer = error
    with pytest.raises(type(error), match=str(error)):
        run([RED], serving=FixedServing(predictor, manifest_of()))


def test_a_camera_is_closed_and_the_model_is_not() -> None:
    """Who opened something closes it."""
    camera, predictor = FakeCamera([RED]), FakePredictor()
    app = App([CameraPlan(source=Source("one", False, lambda: camera))], FixedServing(predictor, manifest_of()), GEOMETRY)
    app.run(lambda _, prediction: None)
    assert camera.closed
    assert not predictor.closed


def test_two_cameras_of_one_name_are_refused() -> None:
    """Nobody could tell their answers apart."""
    with pytest.raises(UsageError, match="'fake' is given twice"):
        App([CameraPlan(source=played([]))] * 2, FixedServing(FakePredictor(), manifest_of()), GEOMETRY)


class TestAsk:
    """A picture that came from elsewhere."""

    def asked(self, predictor: FakePredictor, picture: Any) -> Any:
        """What `ask` returns or raises while the app runs."""
        app = App([CameraPlan(source=played([RED]), loop=True, max_fps=5)], FixedServing(predictor, manifest_of()), GEOMETRY)
        done = threading.Event()
        loop = threading.Thread(target=app.run, args=(lambda _, prediction: None,), kwargs={"stop": done.is_set})
        loop.start()
        try:
            return app.view.ask(picture, 5.0), app.view.status().frames
        finally:
            done.set()
            loop.join()

    def test_is_answered_between_two_frames(self) -> None:
        """It is not counted."""
        answer, frames = self.asked(FakePredictor(), BLUE)
        assert (answer.label, answer.source, answer.index, answer.version) == ("blue", "ask", 0, 7)
        assert frames <= 2

    def test_hears_what_the_engine_says(self) -> None:
        """The error reaches whoever asked, and the app goes on."""

        def picky(pictures: Any) -> Any:
            if pictures.mean() > 150:
                raise EdgeclError("too bright")
            return FakePredictor().infer(pictures)[0]

        with pytest.raises(EdgeclError, match="too bright"):
            self.asked(FakePredictor(picky), np.full_like(RED, 255))

    def test_is_not_answered_without_an_app(self) -> None:
        """None after the time."""
        app = App([CameraPlan(source=played([RED]))], FixedServing(FakePredictor(), manifest_of()), GEOMETRY)
        assert app.view.ask(RED, 0.01) is None


def test_a_folder_through_onnxruntime(version: Path, tmp_path: Path) -> None:
    """The real parts together: files, preprocess, graph, decision."""
    colours: dict[str, Any] = {"a": (230, 0, 0), "b": (0, 0, 230)}
    (tmp_path / "pictures").mkdir()
    for name, colour in colours.items():
        Image.new("RGB", (20, 12), colour).save(tmp_path / "pictures" / f"{name}.png")
    predictor = OrtPredictor(threads=1)
    predictor.load(version)
    answers: list[Prediction] = []
    app = App([CameraPlan(source=parse_source(str(tmp_path / "pictures")))], FixedServing(predictor, manifest_of()), GEOMETRY)
    app.run(lambda _, prediction: answers.append(prediction))
    assert [(Path(each.source).name, each.label) for each in answers] == [("a.png", "red"), ("b.png", "blue")]
