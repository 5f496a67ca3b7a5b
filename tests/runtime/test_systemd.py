"""What systemd hears."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecl.runtime import systemd
from edgecl.runtime.systemd import Systemd


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end of the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def test_ready_status_and_stopping(manager: socket.socket) -> None:
    """One datagram each; a status is one line."""
    told = Systemd({"NOTIFY_SOCKET": manager.getsockname()})
    told.ready("version 3\nanswers")
    told.status("waiting")
    told.stopping()
    assert [manager.recv(999) for _ in range(3)] == [b"READY=1\nSTATUS=version 3 answers", b"STATUS=waiting", b"STOPPING=1"]


def test_the_watchdog_is_petted_twice_per_its_time(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the loop turns."""
    moments = iter([100.0, 100.5, 101.0, 101.9, 102.1])
    monkeypatch.setattr(systemd.time, "monotonic", lambda: next(moments))
    told = Systemd({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())})
    for _ in range(5):
        told.alive()
    told.stopping()
    assert [manager.recv(999) for _ in range(4)] == [b"WATCHDOG=1"] * 3 + [b"STOPPING=1"]


@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}]
)
def test_nobody_is_told_who_does_not_watch(manager: socket.socket, environment: dict[str, str]) -> None:
    """No watchdog, or that of another process."""
    told = Systemd({**environment, "NOTIFY_SOCKET": manager.getsockname()})
    told.alive()
    told.stopping()
    assert manager.recv(999) == b"STOPPING=1"


def test_an_abstract_address_is_understood() -> None:
    """systemd writes it with an @."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0edgecl-test-" + str(os.getpid()))
        Systemd({"NOTIFY_SOCKET": "@edgecl-test-" + str(os.getpid())}).stopping()
        assert listening.recv(999) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    """On a desk, or when it has gone."""
    told = Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    told.ready("a")
    told.alive()
    told.stopping()
