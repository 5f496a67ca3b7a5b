"""Events to a slow or absent receiver, a webhook, a command, and all of them together."""

import http.server
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgecl.errors import MissingExtra, UsageError
from edgecl.runtime.base import Prediction
from edgecl.runtime.outputs.announce import Announcer
from edgecl.runtime.outputs.delivery import TRIES, WAITING, Delivery, DeliveryFailed
from edgecl.runtime.outputs.mqtt import MqttPublisher, topic_level
from edgecl.runtime.outputs.receivers import Command, Webhook, command_line
from edgecl.settings import AnnounceSettings
from tests.runtime.waiting import until

EVENT = {"format": "edgecl.change/1", "camera": "bench", "label": "cola"}


class TestDelivery:
    def test_events_arrive_in_order(self) -> None:
        """And `close` waits for those that are on their way."""
        got: list[Any] = []
        delivery = Delivery(got.append, "someone", pytest.fail)
        for number in range(20):
            delivery.add({"n": number})
        delivery.close()
        assert got == [{"n": number} for number in range(20)]

    def test_adding_never_waits(self) -> None:
        """A receiver that hangs costs the oldest events, and is left behind at the end."""
        free = threading.Event()
        got: list[Any] = []

        def hang(event: Any) -> None:
            free.wait(20)
            got.append(event["n"])

        delivery = Delivery(hang, "someone", lambda sentence: None)
        delivery.add({"n": -1})
        until(lambda: not delivery._waiting)
        start_s = time.monotonic()
        for number in range(WAITING + 50):
            delivery.add({"n": number})
        assert time.monotonic() - start_s < 1
        assert delivery.dropped == 50
        delivery.close(last_s=0.01)
        free.set()
        delivery._thread.join()
        assert got == [-1, *range(50, WAITING + 50)]

    def test_a_failed_event_is_tried_again_and_then_given_up(self) -> None:
        """The next one has its own tries."""
        told: list[str] = []
        tries: list[int] = []

        def refuse_first(event: Any) -> None:
            tries.append(event["n"])
            if event["n"] == 0:
                raise DeliveryFailed("it answered 500")

        delivery = Delivery(refuse_first, "the webhook x", told.append, first_delay_s=0.001)
        delivery.add({"n": 0})
        delivery.add({"n": 1})
        until(lambda: 1 in tries)
        delivery.close()
        assert tries == [0] * TRIES + [1]
        assert told == ["the webhook x did not take an event (it answered 500); it is given up after 3 tries"]
        assert delivery.dropped == 1

    def test_the_end_cuts_the_tries_short(self) -> None:
        """A minute of waiting would hold up a restart."""
        told: list[str] = []

        def refuse(event: Any) -> None:
            raise DeliveryFailed("no")

        delivery = Delivery(refuse, "someone", told.append, first_delay_s=60.0)
        delivery.add(EVENT)
        start_s = time.monotonic()
        delivery.close()
        assert time.monotonic() - start_s < 3
        assert len(told) == 1


@pytest.fixture
def server() -> Iterator[Any]:
    """A web server that keeps what is posted to it; /404 answers so, /away redirects, /hang does not answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.posted.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response({"/404": 404, "/away": 302}.get(self.path, 204))
            if self.path == "/away":
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.posted = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class TestWebhook:
    def test_an_event_is_posted_as_json(self, server: Any) -> None:
        """Any 2xx takes it."""
        Webhook(f"{server.url}/hook?key=1")(EVENT)
        assert server.posted == [("/hook?key=1", "application/json", EVENT)]

    def test_what_is_refused_is_a_failed_delivery(self, server: Any) -> None:
        """A redirect, too: the event goes to nobody else."""
        for path, code in (("/404", 404), ("/away", 302)):
            with pytest.raises(DeliveryFailed, match=f"it answered {code}"):
                Webhook(server.url + path)(EVENT)
        assert [path for path, *_ in server.posted] == ["/404", "/away"]

    def test_an_absent_server_is_a_failed_delivery(self) -> None:
        """Port 9 of this machine listens to nobody."""
        with pytest.raises(DeliveryFailed, match="refused"):
            Webhook("http://127.0.0.1:9/")(EVENT)

    def test_its_name_holds_no_secret(self) -> None:
        """Paths of webhooks are passwords."""
        assert Webhook("https://user:pw@chat.example/services/s3cret?key=s3cret").name == "the webhook chat.example"

    @pytest.mark.parametrize("url", ["ftp://x/", "hook", "http://", "file:///etc/passwd"])
    def test_only_http_is_an_address(self, url: str) -> None:
        """Nothing else is opened."""
        with pytest.raises(UsageError, match="is no address"):
            Webhook(url)


class TestCommand:
    def test_a_program_gets_the_event_on_its_stdin(self, tmp_path: Path) -> None:
        """Arguments are handed on as they are; no shell sees them."""
        script = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2] + sys.stdin.read())"
        Command([sys.executable, "-c", script, str(tmp_path / "got"), "$HOME; rm"])(EVENT)
        assert (tmp_path / "got").read_text() == "$HOME; rm" + json.dumps(EVENT)

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([sys.executable, "-c", "raise SystemExit(3)"], "it ended with 3"),
            (["/nowhere/program"], "No such file or directory"),
            ([sys.executable, "-c", "import time; time.sleep(60)"], "it was not done after 0.5 s"),
        ],
    )
    def test_a_program_that_fails_is_a_failed_delivery(self, argv: list[str], message: str) -> None:
        """One that takes too long is killed."""
        with pytest.raises(DeliveryFailed, match=message):
            Command(argv, timeout_s=0.5 if "60" in argv[-1] else 30.0)(EVENT)

    def test_a_line_is_split_into_words(self) -> None:
        """Quotes are understood, and nothing else."""
        assert command_line("notify 'a b' $HOME `x` | y") == ("notify", "a b", "$HOME", "`x`", "|", "y")
        for text, message in (("notify 'a", "Close its quotes"), ("  ", "is empty")):
            with pytest.raises(UsageError, match=message):
                command_line(text)


class TestAnnouncer:
    def test_all_receivers_hear_of_a_change(self, server: Any, tmp_path: Path) -> None:
        """And the caller, at once."""
        script = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
        settings = AnnounceSettings(hold_s=0.0, webhook=f"{server.url}/hook", command=(sys.executable, "-c", script, str(tmp_path / "got")))
        heard: list[Any] = []
        prediction = Prediction("a", 0, "2000-01-01T00:00:00+00:00", "cola", "id", 0.9, False, (("cola", 0.9),), 1, 1.0)
        with Announcer(settings, tell=pytest.fail, on_change=lambda change: heard.append(change.to_json())) as announcer:
            announcer.add("bench", prediction)
            announcer.add("bench", prediction)
            assert len(heard) == 1
            until(lambda: (tmp_path / "got").exists() and (tmp_path / "got").read_text())
        assert [posted for *_, posted in server.posted] == heard
        assert json.loads((tmp_path / "got").read_text()) == heard[0]

    def test_a_fault_leaves_no_thread_behind(self) -> None:
        """What was typed is checked before anything is started."""
        before = threading.active_count()
        with pytest.raises(UsageError):
            Announcer(AnnounceSettings(mqtt="mqtt://broker/a", webhook="ftp://x"), tell=pytest.fail)
        assert threading.active_count() == before


class TestMqttAddress:
    @pytest.mark.parametrize(
        "url", ["broker", "mqtt://broker", "mqtt://broker/", "http://broker/a", "mqtt:///a", "mqtt://b/a/#", "mqtt://b:x/a"]
    )
    def test_what_names_no_topic_is_refused(self, url: str) -> None:
        """With how it is written."""
        with pytest.raises(UsageError, match=r"names no MQTT broker and topic\. Write it as mqtt://"):
            MqttPublisher(url, pytest.fail)

    def test_the_message_holds_no_password(self) -> None:
        """It may end in a log."""
        with pytest.raises(UsageError) as raised:
            MqttPublisher("mqtt://user:s3cret@broker", pytest.fail)
        assert "s3cret" not in str(raised.value)

    def test_a_name_becomes_one_level(self) -> None:
        """Whatever MQTT gives a meaning is replaced."""
        assert topic_level("rtsp://10.0.0.7/a+b#c") == "rtsp:__10.0.0.7_a_b_c"
        assert topic_level("///") == "camera"

    def test_without_paho_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As everywhere."""
        monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
        with pytest.raises(MissingExtra, match=r"'paho-mqtt'.*edgecl\[camera\]"):
            MqttPublisher("mqtt://broker/a", pytest.fail)
