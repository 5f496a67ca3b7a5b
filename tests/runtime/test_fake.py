"""The shipped fakes keep the seams' promises."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from edgecl.errors import StoreDamaged
from edgecl.runtime.base import Camera, Frame, Prediction, Predictor
from edgecl.runtime.fake import FakeCamera, FakeLiveView, FakePredictor
from edgecl.runtime.live import LiveView
from tests.runtime.tiny import COLOURS, plain


def test_they_are_a_camera_and_a_predictor() -> None:
    """The type checker and this test hold them against the Protocols."""
    camera: Camera = FakeCamera([])
    predictor: Predictor = FakePredictor()
    assert camera.read() is None
    predictor.close()


@pytest.mark.parametrize("colour", COLOURS)
def test_the_predictor_answers_with_the_colour(colour: str) -> None:
    """Rows 0, 1 and 2 stand for red, green and blue, the others are free; features are the mean rgb."""
    logits, features = FakePredictor().infer(plain(colour, 2, 255))
    assert logits.argmax(axis=1).tolist() == [COLOURS[colour]] * 2
    assert (logits[:, 3:] == -1e4).all()
    np.testing.assert_array_equal(features, np.eye(3, dtype=np.float32)[[COLOURS[colour]] * 2])
    assert (logits.dtype, features.dtype) == (np.float32, np.float32)


def test_the_predictor_can_answer_anything() -> None:
    """A function of the pictures replaces the colours."""
    logits, _ = FakePredictor(lambda pictures: np.arange(8.0)[None].repeat(len(pictures), 0)).infer(plain("red", 3))
    assert logits.shape == (3, 8)
    assert logits.dtype == np.float32


def test_the_predictor_records_and_fails_as_told(tmp_path: Path) -> None:
    """A failed load leaves no trace, a failed inference does."""
    predictor = FakePredictor()
    predictor.load(tmp_path)
    predictor.infer(plain("red", 4))
    predictor.fail_on_load = StoreDamaged("no load")
    predictor.fail_on_infer = StoreDamaged("no inference")
    with pytest.raises(StoreDamaged, match="no load"):
        predictor.load(tmp_path / "other")
    with pytest.raises(StoreDamaged, match="no inference"):
        predictor.infer(plain("red", 1))
    assert predictor.loads == [tmp_path]
    assert predictor.batches == [(4, 8, 8, 3), (1, 8, 8, 3)]


def test_the_camera_plays_its_frames_and_ends() -> None:
    """Arrays become frames with a made-up clock, frames pass as they are, exceptions are raised in their place."""
    picture = plain("red")[0]
    whole = Frame(picture, 5, "now", "elsewhere", 9)
    camera = FakeCamera([picture, ValueError("torn"), whole, picture])
    first = camera.read()
    assert first is not None
    assert (first.index, first.source, first.captured_ns) == (0, "fake", 0)
    with pytest.raises(ValueError, match="torn"):
        camera.read()
    assert camera.read() is whole
    last = camera.read()
    assert last is not None
    assert (last.index, last.captured_ns) == (3, 120_000_000)
    assert camera.read() is None
    assert camera.read() is None


def test_a_closed_camera_has_ended() -> None:
    """Closing twice is fine."""
    camera = FakeCamera([plain("red")[0]])
    camera.close()
    camera.close()
    assert camera.closed
    assert camera.read() is None


def shown(index: int, *, label: str = "red", unknown: bool = False, score: float = 0.9) -> tuple[Frame, Prediction]:
    """A frame of one pixel and its answer."""
    frame = Frame(np.zeros((1, 1, 3), np.uint8), 0, "2000-01-01T00:00:00+00:00", "bench", index)
    return frame, Prediction("bench", index, frame.wall_time, label, "id", score, unknown, ((label, score),), 3, 7.0)


class TestLiveView:
    def test_it_shows_what_it_is_given(self) -> None:
        """The newest answer of each camera; an unknown name has none."""
        view: LiveView = FakeLiveView(("bench", "door"))
        assert isinstance(view, FakeLiveView)
        view.show("bench", *shown(0))
        view.show("bench", *shown(1))
        assert view.cameras() == ("bench", "door")
        assert [(found and found[0].index) for found in map(view.latest, ("bench", "door", "roof"))] == [1, None, None]

    def test_waiting_ends_with_the_next_frame_or_in_time(self) -> None:
        """A frame of the same index is no news."""
        view = FakeLiveView(("bench",))
        view.show("bench", *shown(4))
        assert view.wait_newer("bench", 4, 0.01) is None
        later = threading.Timer(0.05, view.show, ("bench", *shown(5)))
        later.start()
        found = view.wait_newer("bench", 4, 10.0)
        later.join()
        assert found is not None
        assert found[0].index == 5

    def test_status_and_counts_are_json(self) -> None:
        """Unknown answers are counted, and are in no class."""
        view = FakeLiveView(("bench",))
        view.show("bench", *shown(0))
        view.show("bench", *shown(1, unknown=True, score=0.5))
        status = json.loads(json.dumps(view.status().to_json(), allow_nan=False))
        assert (status["version"], status["frames"], status["latency_p50_ms"]) == (3, 2, 7.0)
        assert status["cameras"]["bench"]["state"] == "running"
        (hour,) = view.recent()
        assert json.loads(json.dumps(hour.to_json()))["unknown_rate"] == 0.5
        assert (hour.mean_score, hour.classes) == (pytest.approx(0.7), {"red": 1})

    def test_ask_answers_as_it_was_told(self) -> None:
        """None stands for an engine without time."""
        view = FakeLiveView()
        picture = np.zeros((2, 2, 3), np.uint8)
        assert view.ask(picture, 0.0) is None
        view.answer_ask = lambda rgb: shown(0, label="asked")[1]
        answer = view.ask(picture, 0.0)
        assert answer is not None
        assert answer.label == "asked"
