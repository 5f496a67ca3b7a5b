"""Brings events to somebody slow or absent, in a thread of its own: a bounded queue, a bounded number of tries."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

WAITING = 100  # events that may wait; then the oldest goes
TRIES = 3
FIRST_DELAY_S = 1.0  # before the second try; doubled each time
LAST_S = 3.0  # that `close` gives to what still waits

Event = Mapping[str, Any]


class DeliveryFailed(Exception):
    """The receiver did not take an event; the message says why. Never leaves this package."""


class Delivery:
    """Hands events to `deliver` one after the other; `add` never waits.

    Args:
        deliver: brings one event to the receiver; raises DeliveryFailed.
        name: of the receiver, for messages: never with a password.
        tell: hears of an event that was given up.
    """

    def __init__(
        self, deliver: Callable[[Event], None], name: str, tell: Callable[[str], None], *, first_delay_s: float = FIRST_DELAY_S
    ) -> None:
        self._deliver, self._name, self._tell, self._first_delay_s = deliver, name, tell, first_delay_s
        self._waiting: deque[Event] = deque()
        self._wake = threading.Condition()
        self._ended = False
        self.dropped = 0  # events that nobody got
        self._thread = threading.Thread(target=self._run, name=f"delivery to {name}", daemon=True)
        self._thread.start()

    def add(self, event: Event) -> None:
        """Take an event on; the oldest waiting one is dropped when too many wait."""
        with self._wake:
            if len(self._waiting) >= WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(event)
            self._wake.notify()

    def close(self, last_s: float = LAST_S) -> None:
        """Deliver what waits, each with one try, but not for longer than `last_s`."""
        with self._wake:
            self._ended = True
            self._wake.notify()
        self._thread.join(last_s)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._ended or self._waiting)
                if not self._waiting:
                    return
                event = self._waiting.popleft()
            self._try(event)

    def _try(self, event: Event) -> None:
        delay_s = self._first_delay_s
        for attempt in range(1, TRIES + 1):
            try:
                self._deliver(event)
                return
            except DeliveryFailed as fault:
                if attempt == TRIES or self._ended:
                    self.dropped += 1
                    self._tell(f"{self._name} did not take an event ({fault}); it is given up after {attempt} tries")
                    return
            with self._wake:
                self._wake.wait_for(lambda: self._ended, delay_s)
            delay_s *= 2
