"""The parts of the demo that depend on what is installed and on how it goes."""

from pathlib import Path

import pytest

import edgecl.demo.walk as walking
from edgecl.demo.render import THINGS
from edgecl.errors import MissingExtra
from edgecl.runtime.base import Camera


def frames(camera: Camera) -> int:
    """How many it gives."""
    return sum(1 for _ in iter(camera.read, None))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two frames of each thing."""
    monkeypatch.setattr(walking, "FPS", 2)
    monkeypatch.setattr(walking, "SECONDS", 1)


@pytest.mark.usefixtures("short")
def test_the_video_shows_every_thing(tmp_path: Path) -> None:
    """Two frames of each, in their order, in a file that OpenCV reads."""
    pytest.importorskip("cv2")
    said: list[str] = []
    source, shown = walking._video(tmp_path, said.append)
    assert shown == [thing for thing in THINGS for _ in range(2)]
    assert frames(source.open()) == len(shown)
    assert said == [f"run: {tmp_path / 'things.mjpeg'}, 18 frames"]


@pytest.mark.usefixtures("short")
def test_without_opencv_the_frames_come_as_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the demo says what would have to be installed."""

    def missing(what: str) -> None:
        raise MissingExtra.of("cv2", "camera", what)

    monkeypatch.setattr("edgecl.runtime.files.import_cv2", missing)
    said: list[str] = []
    source, shown = walking._video(tmp_path, said.append)
    assert (source.name, frames(source.open())) == (str(tmp_path / "frames"), len(shown))
    assert "as pictures" in said[0]
    assert "camera" in said[0]


def test_the_verdict_is_the_figures() -> None:
    """Up to five points are not called forgetting; more are named."""
    assert walking._verdict([0.97, 0.95, 0.93]) == "It was not forgotten."
    assert walking._verdict([0.97, 0.95, 0.77]) == "It lost 20 points."
