"""Tells systemd how the app is: ready, alive, stopping. The protocol of sd_notify(3): datagrams to the socket in NOTIFY_SOCKET."""

import os
import socket
import time
from collections.abc import Mapping


class Systemd:
    """Messages to the service manager that started the process; nothing happens where there is none.

    The watchdog is petted from the app's loop and from nowhere else, so that a loop that hangs is found.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # @: Linux's abstract namespace
        self._interval_s = _watchdog_s(environment) / 2
        self._due_s = 0.0  # monotonic

    def ready(self, status: str) -> None:
        """The app answers."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """What `systemctl status` shows."""
        self._send(f"STATUS={_line(status)}")

    def alive(self) -> None:
        """Pet the watchdog, twice per its time; call it as often as you like."""
        now_s = time.monotonic()
        if self._interval_s and now_s >= self._due_s:
            self._due_s = now_s + self._interval_s
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The app ends on purpose."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
            datagram.setblocking(False)
            try:
                datagram.sendto(message.encode(), self._address)
            except OSError:
                return  # the manager is gone or busy: it will find out by itself


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """0: nobody watches this process."""
    microseconds, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
    return int(microseconds) / 1e6 if microseconds.isdigit() and process == str(os.getpid()) else 0.0


def _line(text: str) -> str:
    return text.replace("\n", " ")
