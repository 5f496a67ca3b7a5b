"""What the page shows of the running app."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgecl.preprocess import decode
from edgecl.runtime.fake import FakeLiveView
from edgecl.runtime.live import HourCounts
from edgecl.store import Store
from edgecl.web import looking
from edgecl.web.alarms import PERSISTENT, Watch, drift_alarms
from edgecl.web.board import board
from edgecl.web.frames import REMEMBERED, Frames
from edgecl.web.server import PageServer
from tests.web.client import Client, frame, prediction, scene


def test_a_frame_comes_with_its_own_answer(client: Client) -> None:
    """The picture and the answer are of one frame, and the answer says whether it would be announced."""
    found = client.get("/api/cameras/0/frame")
    assert (found.status, found.headers["content-type"]) == (200, "image/jpeg")
    assert np.abs(decode(found.data).astype(int) - scene(0)).mean() < 40  # noise suffers most from a JPEG
    assert '"index": 0, "time": "2026-01-31T09:30:00.250+01:00", "label": "red"' in found.headers["x-edgecl-answer"]
    assert '"announced": true' in found.headers["x-edgecl-answer"]


def test_a_viewer_waits_for_another_frame(client: Client, view: FakeLiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `after`, the answer comes once there is another frame, and after a while without one it is empty."""
    threading.Timer(0.3, lambda: view.show("bench", frame(1), prediction(1))).start()
    began_s = time.monotonic()
    assert '"index": 1' in client.get("/api/cameras/0/frame?after=0").headers["x-edgecl-answer"]
    assert time.monotonic() - began_s > 0.25
    monkeypatch.setattr(looking, "FRAME_WAIT_S", 0.1)
    assert client.get("/api/cameras/0/frame?after=1").status == 204
    assert client.get("/api/cameras/1/frame").problem == "there is no camera 1; this app has 1, counted from 0."


def test_the_status_holds_everything_beside_the_picture(client: Client, store: Store) -> None:
    """App, cameras, machine, classes, whether one can teach here."""
    found = client.get("/api/status").json()
    assert (found["version"], found["current"], found["frames"]) == (store.current, store.current, 1)
    assert [camera["name"] for camera in found["cameras"]] == ["bench"]
    assert found["classes"] == ["blue", "green", "red", "violet", "white", "yellow"]
    assert found["teach"] == {"possible": True, "reason": ""}
    assert found["learning"] == "idle"
    assert found["board"]["disk_free_bytes"] > 0
    assert client.get("/api/drift").json()["hours"][0]["classes"] == {"red": 1}


def test_ready_means_of_use(client: Client, page: PageServer, view: FakeLiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/healthz` only asks for a sign of life; `/readyz` wants each camera to show something new, and the version to be whole."""
    assert client.get("/readyz").json() == {"format": "edgecl.health/1", "healthy": True, "problems": []}
    (page.site.store.folder(page.site.store.current or 0) / "manifest.json").write_text("{}")
    damaged = client.get("/readyz")
    assert damaged.status == 503
    assert "has the format None" in damaged.json()["problems"][0]
    empty = FakeLiveView(("bench", "belt"))
    monkeypatch.setattr(view, "status", empty.status)
    found = client.get("/readyz")
    assert found.status == 503
    assert "the camera belt gives no picture (it was never there)" in found.json()["problems"]
    assert client.get("/healthz").status == 200


def test_frames_are_remembered_for_a_while_only() -> None:
    """The last frames that a viewer saw can be spoken of, older ones are gone, and the memory is bounded."""
    frames = Frames(keep_short=40)
    for index in range(REMEMBERED + 1):
        frames.jpeg("bench", frame(index), prediction(index))
    assert frames.recall("bench", 1).rgb.shape == (40, 53, 3)
    assert frames.recall("bench", 1).captured.isoformat() == "2026-01-31T09:30:00.250000+01:00"
    for camera, index in (("bench", 0), ("bench", 999), ("belt", 1)):
        with pytest.raises(looking.EdgeclError, match="was not shown lately"):
            frames.recall(camera, index)


def test_viewers_share_one_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second viewer of the same frame costs no second JPEG."""
    frames = Frames(keep_short=40)
    first = frames.jpeg("bench", frame(1), prediction(1))
    monkeypatch.setattr("edgecl.web.frames.encode_jpeg", lambda *_: pytest.fail("encoded again"))
    assert frames.jpeg("bench", frame(1), prediction(1)) is first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rgb: rgb // 16, "The picture is dark: is the light on, is the lens free?"),
        (lambda rgb: 255 - rgb // 16, "The picture is too bright: does something shine into the lens?"),
        (lambda rgb: np.full_like(rgb, 128), "The picture is blurred: is the lens clean, is it in focus?"),
    ],
)
def test_darkness_and_blur_raise_an_alarm_when_they_last(change: object, words: str) -> None:
    """A camera that goes dark, bright or blurred is told after some looks, not at the first, and no more once it is over."""
    view = FakeLiveView(("bench",))
    watch = Watch(view)

    def shown(count: int, start: int, change: object = lambda rgb: rgb) -> list[str]:
        for index in range(start, start + count):
            picture = frame(index)
            view.show("bench", type(picture)(change(picture.rgb), 0, picture.wall_time, "bench", index), prediction(index))  # type: ignore[operator]
            watch.look()
        return watch.alarms("bench")

    assert shown(PERSISTENT - 1, 0, change) == []
    assert shown(PERSISTENT, 50) == []
    assert shown(PERSISTENT - 1, 100, change) == []
    assert shown(1, 200, change) == [words]
    assert shown(1, 300) == []


def test_a_camera_is_compared_with_its_own_sharpness() -> None:
    """A picture that is sharp for others but has lost most of this camera's usual sharpness is blurred."""
    view = FakeLiveView(("bench",))
    watch = Watch(view)
    faint = np.clip(128 + (scene(0).astype(int) - 128) // 12, 0, 255).astype(np.uint8)
    for index in range(PERSISTENT + 1):
        picture = scene(0) if index == 0 else faint
        view.show("bench", type(frame(0))(picture, 0, frame(0).wall_time, "bench", index), prediction(index))
        watch.look()
    assert watch.alarms("bench") == ["The picture is blurred: is the lens clean, is it in focus?"]


def test_the_same_frame_is_looked_at_once() -> None:
    """A camera that stands still at its last frame raises no alarm by that."""
    view = FakeLiveView(("bench",))
    view.show("bench", type(frame(0))(scene(0) // 16, 0, frame(0).wall_time, "bench", 0), prediction(0))
    watch = Watch(view)
    for _ in range(2 * PERSISTENT):
        watch.look()
    assert watch.alarms("bench") == []


def hour(hours_ago: int, answers: int, unknown: int) -> HourCounts:
    """One hour of a camera."""
    return HourCounts(camera="bench", hours_ago=hours_ago, begun="", answers=answers, unknown=unknown, mean_score=0.9, classes={})


@pytest.mark.parametrize(
    ("hours", "alarmed"),
    [
        ([], False),
        ([hour(0, 100, 90)], False),
        ([hour(1, 1000, 50), hour(0, 100, 30)], True),
        ([hour(0, 100, 30), hour(1, 1000, 50)], True),
        ([hour(1, 1000, 50), hour(0, 100, 24)], False),
        ([hour(1, 1000, 50), hour(0, 49, 49)], False),
        ([hour(2, 1000, 50), hour(1, 49, 49), hour(0, 100, 30)], True),
    ],
)
def test_more_unknown_answers_than_before_raise_an_alarm(hours: list[HourCounts], alarmed: bool) -> None:
    """A rise of twenty points in the newest hour with enough answers, against all hours before it."""
    found = drift_alarms(hours)
    assert bool(found) is alarmed
    if alarmed:
        assert found == ["30% of the answers are unknown, before it were 5%: does the camera see something new?"]


def test_the_machine_is_read_from_linux_files(tmp_path: Path) -> None:
    """The hottest plausible zone, memory in bytes; what is not told is None."""

    folder = tmp_path
    for number, text in enumerate(("45500", "-256000", "61250", "broken")):
        (folder / f"thermal_zone{number}").mkdir()
        (folder / f"thermal_zone{number}" / "temp").write_text(text)
    (folder / "meminfo").write_text("MemTotal:  4000 kB\nMemFree: 1 kB\nMemAvailable: 1000 kB\n")
    (folder / "statm").write_text("9 3 1")
    found = board(folder, zones=folder, memory=folder / "meminfo", process=folder / "statm")
    assert (found.temperature_c, found.memory_total_bytes, found.memory_available_bytes) == (61.25, 4_096_000, 1_024_000)
    assert found.process_bytes == 3 * 4096
    nothing = board(folder / "absent", zones=folder / "absent", memory=folder / "absent", process=folder / "absent")
    assert set(vars(nothing).values()) == {None}
