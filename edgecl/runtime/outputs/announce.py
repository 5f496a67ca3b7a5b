"""Everybody who is told that an answer changed, made from the settings."""

import time
from collections.abc import Callable
from typing import Protocol

from edgecl.runtime.base import Prediction
from edgecl.runtime.outputs.changes import Change, Changes
from edgecl.runtime.outputs.delivery import Delivery, Event
from edgecl.runtime.outputs.mqtt import MqttPublisher
from edgecl.runtime.outputs.receivers import Command, Webhook
from edgecl.settings import AnnounceSettings


class Receiver(Protocol):
    """Takes events without making the caller wait."""

    def add(self, event: Event) -> None:
        """Take one on."""
        ...

    def close(self) -> None:
        """Deliver what waits, for a moment, and end."""
        ...


class Announcer:
    """Finds the changes in a stream of answers and hands each to all receivers. Use it as a context, or close it.

    Args:
        on_change: called for each change at once, in the caller's thread.
        tell: hears of events that did not arrive.

    Raises:
        UsageError: a URL or command that is none.
        MissingExtra: MQTT is wanted, and paho-mqtt is not installed.
    """

    def __init__(
        self, settings: AnnounceSettings, *, tell: Callable[[str], None], on_change: Callable[[Change], None] = lambda change: None
    ) -> None:
        # Those that can be wrong by what was typed come first: the thread of a receiver must not be left behind.
        slow: list[Webhook | Command] = [Webhook(settings.webhook)] if settings.webhook else []
        slow += [Command(settings.command)] if settings.command else []
        self._receivers: list[Receiver] = [MqttPublisher(settings.mqtt, tell)] if settings.mqtt else []
        self._receivers += [Delivery(receiver, receiver.name, tell) for receiver in slow]
        self._on_change = on_change
        self._changes = Changes(settings.hold_s, self._tell_all)

    def add(self, camera: str, prediction: Prediction) -> None:
        """Take in an answer."""
        self._changes.add(camera, prediction, time.monotonic())

    def _tell_all(self, change: Change) -> None:
        self._on_change(change)
        event = change.to_json()
        for receiver in self._receivers:
            receiver.add(event)

    def __enter__(self) -> "Announcer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Deliver what waits, for a moment, and end."""
        for receiver in self._receivers:
            receiver.close()
