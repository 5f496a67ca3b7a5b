"""A real RTSP server and a real MQTT broker, killed and started again while the app runs. Debian's packages bring them."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgecl.preprocess import Geometry
from edgecl.runtime import capture
from edgecl.runtime import reader as reading
from edgecl.runtime.app import App, CameraPlan
from edgecl.runtime.base import Prediction
from edgecl.runtime.fake import FakePredictor
from edgecl.runtime.outputs.announce import Announcer
from edgecl.runtime.outputs.mqtt import MqttPublisher
from edgecl.runtime.serving import FixedServing
from edgecl.runtime.sources import parse_source
from edgecl.settings import AnnounceSettings
from tests.runtime.servers import (
    MQTT_PACKAGES,
    RTSP_PACKAGES,
    MjpegServer,
    MqttBroker,
    RtspServer,
    free_port,
    has_rtsp,
    installed,
    jpeg,
    mosquitto,
)
from tests.runtime.tiny import SIZE, manifest_of
from tests.runtime.waiting import until

PATIENCE_S = 60.0  # an RTSP server on a busy machine
GEOMETRY = Geometry(size=SIZE, crop_pct=1.0, interpolation="bilinear")


@contextmanager
def running(*urls: str, told: list[str] | None = None) -> Iterator[tuple[App, list[Prediction]]]:
    """An app on these sources, in a thread of its own, with all its answers."""
    answers: list[Prediction] = []
    done = threading.Event()
    plans = [CameraPlan(source=parse_source(url)) for url in urls]
    app = App(plans, FixedServing(FakePredictor(), manifest_of()), GEOMETRY, tell=([] if told is None else told).append)
    loop = threading.Thread(target=app.run, args=(lambda camera, prediction: answers.append(prediction),), kwargs={"stop": done.is_set})
    loop.start()
    try:
        yield app, answers
    finally:
        done.set()
        loop.join()


@pytest.fixture
def _rtsp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's packages are there, and the app is impatient."""
    pytest.importorskip("cv2")
    installed(has_rtsp, RTSP_PACKAGES)
    monkeypatch.setattr(reading, "LONGEST_DELAY_S", 1.0)
    monkeypatch.setattr(capture, "OPEN_TIMEOUT_MS", 15_000)


@pytest.mark.slow
@pytest.mark.usefixtures("_rtsp")
def test_an_rtsp_camera_that_dies_and_comes_back_with_another_resolution() -> None:
    """Frames come, stop, are missed, and come again at their new size, without a restart; another camera goes on meanwhile."""
    port, told = free_port(), list[str]()
    url = f"rtsp://127.0.0.1:{port}/cam"
    with MjpegServer(lambda index: jpeg((20, 20, 220)), fps=50) as other, RtspServer(port) as server:
        with running(url, f"{other.url}/video", told=told) as (app, answers):

            def seen(count: int) -> Callable[[], bool]:
                return lambda: sum(answer.source == url for answer in answers) >= count

            until(seen(10), PATIENCE_S)
            assert {answer.label for answer in answers if answer.source == url} == {"red"}
            server.kill()
            until(lambda: told, PATIENCE_S)
            assert "gives no picture any more" in told[0] or "cannot be opened" in told[0]
            until(lambda: app.view.status().cameras[url].state == "waiting", PATIENCE_S)
            others = len(answers)
            until(lambda: len(answers) > others + 10)
            before = sum(answer.source == url for answer in answers)
            with RtspServer(port, size=(128, 96)):
                until(seen(before + 5), PATIENCE_S)
                frame, _ = app.view.latest(url) or pytest.fail("no frame")
                status = app.view.status().cameras[url]
        assert frame.rgb.shape == (96, 128, 3)
        assert f"{url} is back" in told
        assert (status.state, status.reconnects) == ("running", 1)
        indices = [answer.index for answer in answers if answer.source == url]
        assert indices == sorted(set(indices))


@pytest.mark.slow
@pytest.mark.usefixtures("_rtsp")
def test_an_rtsp_camera_that_comes_later() -> None:
    """The app starts without it and waits."""
    port, told = free_port(), list[str]()
    url = f"rtsp://127.0.0.1:{port}/cam"
    with running(url, told=told) as (_, answers):
        until(lambda: told, PATIENCE_S)
        assert "Is it switched on" in told[0]
        with RtspServer(port):
            until(lambda: answers, PATIENCE_S)
    assert answers[0].label == "red"


@pytest.mark.slow
@pytest.mark.usefixtures("_rtsp")
def test_an_rtsp_stream_that_changes_its_size() -> None:
    """The answers go on; OpenCV (since 4.7) brings each frame to the size that the stream had when it was opened, whatever its shape is now."""
    port, told = free_port(), list[str]()
    url = f"rtsp://127.0.0.1:{port}/cam"
    with RtspServer(port) as server, running(url, told=told) as (app, answers):
        until(lambda: len(answers) >= 5, PATIENCE_S)
        for size in ((128, 96), (48, 64)):
            server.resize(*size)
            after = len(answers)
            until(lambda after=after: len(answers) >= after + 30, PATIENCE_S)
            frame, _ = app.view.latest(url) or pytest.fail("no frame")
            assert frame.rgb.shape == (48, 64, 3)
        assert app.view.status().cameras[url].reconnects == 0
    assert ({answer.label for answer in answers}, told) == ({"red"}, [])


@pytest.mark.slow
@pytest.mark.usefixtures("_rtsp")
def test_an_rtsp_stream_whose_bytes_are_damaged() -> None:
    """What the decoder cannot show is left out; where nothing can be shown, the camera is opened again, until it is well: no restart."""
    port, told = free_port(), list[str]()
    url = f"rtsp://127.0.0.1:{port}/cam"
    with running(url, told=told) as (app, answers):
        with RtspServer(port, (320, 240), damage=0.01):
            until(lambda: answers and told, PATIENCE_S)
            assert "gives no picture any more" in told[0] or "cannot be opened" in told[0]
        with RtspServer(port, (128, 96)):
            until(lambda: (seen := app.view.latest(url)) and seen[0].rgb.shape == (96, 128, 3), PATIENCE_S)
            after = len(answers)
            until(lambda: len(answers) >= after + 20, PATIENCE_S)
            status = app.view.status().cameras[url]
    assert (status.state, answers[-1].label) == ("running", "red")
    assert status.reconnects >= 1


def test_an_mjpeg_camera_that_dies_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torn frames, another resolution, and a server that is started anew: all without a restart of the app."""
    monkeypatch.setattr(reading, "LONGEST_DELAY_S", 0.1)
    monkeypatch.setattr(reading, "FIRST_DELAY_S", 0.05)
    red, told = jpeg((220, 20, 20)), list[str]()
    server = MjpegServer(lambda index: red[:-30] if index % 5 == 2 else red)
    url = f"{server.url}/video"
    with running(url, told=told) as (app, answers):
        until(lambda: len(answers) >= 10 and app.view.status().cameras[url].skipped >= 2)
        server.close()
        until(
            lambda: app.view.status().cameras[url].last_fault and not str(app.view.status().cameras[url].last_fault).endswith("truncated")
        )
        with MjpegServer(lambda index: jpeg((20, 20, 220), (32, 16)), port=server.port):
            until(lambda: answers[-1].label == "blue")
            frame, _ = app.view.latest(url) or pytest.fail("no frame")
            assert app.view.status().cameras[url].reconnects == 1
    assert frame.rgb.shape == (16, 32, 3)
    assert f"{url} is back" in told


class Subscriber:
    """Whoever listens to a broker: topic -> payloads in their order."""

    def __init__(self, port: int) -> None:
        import paho.mqtt.client as mqtt

        self.got: dict[str, list[str]] = {}
        self.subscribed = threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.username_pw_set("edge", "pass")
        self.client.on_message = lambda client, data, message: self.got.setdefault(message.topic, []).append(message.payload.decode())
        self.client.on_connect = lambda client, *_: client.subscribe("line4/#", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.subscribed.wait(20)

    def __enter__(self) -> "Subscriber":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def labels(payloads: list[str]) -> list[Any]:
    """Of events."""
    return [json.loads(payload)["label"] for payload in payloads]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For the broker, whose package is there."""
    pytest.importorskip("paho.mqtt.client")
    installed(lambda: mosquitto() is not None, MQTT_PACKAGES)
    return tmp_path


def prediction(label: str) -> Prediction:
    """An answer."""
    return Prediction("cam", 0, "2000-01-01T00:00:00+00:00", label, "id", 0.9, False, ((label, 0.9),), 3, 7.0)


@pytest.mark.slow
def test_changes_reach_a_broker_that_dies_and_comes_back(folder: Path) -> None:
    """What happened meanwhile is published when it is back; whoever subscribes later learns the last state, and the end of the app."""
    port, told = free_port(), list[str]()
    settings = AnnounceSettings(hold_s=0.0, mqtt=f"mqtt://edge:pass@127.0.0.1:{port}/line4")
    with Announcer(settings, tell=told.append) as announcer:  # before there is a broker
        announcer.add("bench", prediction("cola"))
        until(lambda: any("cannot be reached" in sentence for sentence in told), PATIENCE_S)
        with MqttBroker(port, folder):
            until(lambda: told[-1] == "the MQTT broker 127.0.0.1 is reached", PATIENCE_S)
            with Subscriber(port) as subscriber:
                until(lambda: labels(subscriber.got.get("line4/bench", [])) == ["cola"], PATIENCE_S)
                announcer.add("bench", prediction("fanta"))
                until(lambda: labels(subscriber.got["line4/bench"]) == ["cola", "fanta"], PATIENCE_S)
                assert subscriber.got["line4/status"] == ["online"]
        until(lambda: "is lost" in told[-1] or "cannot be reached" in told[-1], PATIENCE_S)
        start_s = time.monotonic()
        announcer.add("bench", prediction("tea"))
        assert time.monotonic() - start_s < 1  # the loop does not wait for a broker
        with MqttBroker(port, folder):
            until(lambda: told[-1] == "the MQTT broker 127.0.0.1 is reached", PATIENCE_S)
            with Subscriber(port) as subscriber:
                until(lambda: labels(subscriber.got.get("line4/bench", []))[-1:] == ["tea"], PATIENCE_S)
                announcer.close()
                until(lambda: subscriber.got["line4/status"][-1] == "offline", PATIENCE_S)


@pytest.mark.slow
def test_a_broker_that_says_no_is_quoted(folder: Path) -> None:
    """Once, without the password."""
    port, told = free_port(), list[str]()
    with MqttBroker(port, folder):
        publisher = MqttPublisher(f"mqtt://edge:wr0ng@127.0.0.1:{port}/line4", told.append)
        until(lambda: told, PATIENCE_S)
        time.sleep(0.2)
        publisher.close()
    assert told[0].startswith("the MQTT broker 127.0.0.1 says no: Not authorized")
    assert not any("wr0ng" in sentence for sentence in told)
