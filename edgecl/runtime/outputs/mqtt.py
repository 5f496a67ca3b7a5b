"""Events to an MQTT broker, as retained messages: whoever subscribes later still learns what each camera saw last."""

import json
import urllib.parse
from collections.abc import Callable
from typing import Any

from edgecl.errors import MissingExtra, UsageError
from edgecl.runtime.outputs.delivery import Event

WAITING = 100  # messages kept while the broker is away
KEEP_ALIVE_S = 30
LONGEST_DELAY_S = 30  # between two attempts to reach the broker


class MqttPublisher:
    """Publishes each event to `<topic>/<camera>` (QoS 1, retained); `<topic>/status` is `online`, and `offline` once the app is gone.

    paho-mqtt connects in a thread of its own and comes back by itself when the broker does; nothing here waits.

    Args:
        url: `mqtt[s]://[user:password@]host[:port]/topic`; mqtts checks the broker's certificate.
        tell: hears when the broker is reached, lost, or says no.

    Raises:
        UsageError: the URL is none.
        MissingExtra: paho-mqtt is not installed.
    """

    def __init__(self, url: str, tell: Callable[[str], None]) -> None:
        broker = _parsed(url)
        mqtt = _import_mqtt()
        self._topic, self._tell = broker.path.strip("/"), tell
        self.name = f"the MQTT broker {broker.hostname}"
        self._told: str | None = None
        client = self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if broker.username is not None:
            client.username_pw_set(urllib.parse.unquote(broker.username), urllib.parse.unquote(broker.password or ""))
        if broker.scheme == "mqtts":
            client.tls_set()
        client.will_set(f"{self._topic}/status", "offline", qos=1, retain=True)
        client.max_queued_messages_set(WAITING)
        client.reconnect_delay_set(1, LONGEST_DELAY_S)
        client.on_connect, client.on_disconnect, client.on_connect_fail = self._connected, self._disconnected, self._not_connected
        client.connect_async(broker.hostname, broker.port or (8883 if broker.scheme == "mqtts" else 1883), KEEP_ALIVE_S)
        client.loop_start()

    def add(self, event: Event) -> None:
        """Publish an event; while the broker is away the last hundred wait."""
        self._client.publish(f"{self._topic}/{topic_level(event['camera'])}", json.dumps(event, allow_nan=False), qos=1, retain=True)

    def close(self) -> None:
        """Say goodbye: `offline`, and what still waits."""
        if self._client.is_connected():
            self._client.publish(f"{self._topic}/status", "offline", qos=1, retain=True).wait_for_publish(2.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._say(f"{self.name} says no: {reason}. Check user and password")
            return
        client.publish(f"{self._topic}/status", "online", qos=1, retain=True)
        self._say(f"{self.name} is reached")

    def _disconnected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._say(f"{self.name} is lost ({reason}); trying again until it is back")

    def _not_connected(self, client: Any, userdata: Any) -> None:
        self._say(f"{self.name} cannot be reached; trying again until it is there")

    def _say(self, sentence: str) -> None:
        if sentence != self._told:
            self._told = sentence
            self._tell(sentence)


def topic_level(camera: str) -> str:
    """A camera's name as one level of a topic: what MQTT gives a meaning, and slashes, become `_`."""
    return "".join("_" if character in "/+#\0" else character for character in camera).strip("_") or "camera"


def _parsed(url: str) -> urllib.parse.SplitResult:
    try:
        parsed = urllib.parse.urlsplit(url)
        sound = parsed.scheme in ("mqtt", "mqtts") and parsed.hostname and parsed.port != 0
    except ValueError:
        sound = None
    if not sound or not parsed.path.strip("/") or "+" in parsed.path or "#" in url or "?" in url:  # + and # stand for any topic
        shown = url.rpartition("@")[2]
        raise UsageError(f"{shown!r} names no MQTT broker and topic. Write it as mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC")
    return parsed


def _import_mqtt() -> Any:
    try:
        import paho.mqtt.client as mqtt
    except ImportError as error:
        raise MissingExtra.of("paho-mqtt", "camera", "Publishing to MQTT") from error
    return mqtt
