"""SIGTERM and Ctrl-C ask a long-running command to stop in an orderly way; a second Ctrl-C stops it at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody asked, and how."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Whether it is time to stop."""
        return self.signal is not None

    @property
    def interrupted(self) -> bool:
        """By Ctrl-C, which has its own exit code."""
        return self.signal == signal.SIGINT


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Listen during the body; only in the main thread, as Python wants it."""
    request = StopRequest()

    def asked(number: int, _: FrameType | None) -> None:
        if request.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = number

    before = {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
