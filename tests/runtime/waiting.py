"""Waiting for another thread without a guess at how long it takes."""

import time
from collections.abc import Callable

PATIENCE_S = 20.0  # far more than anything takes; a busy machine must not fail a test


def until(true: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait for it.

    Raises:
        AssertionError: it never came true.
    """
    deadline_s = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline_s, "it never came true"
        time.sleep(0.005)
