"""How much one client may ask for: requests per second by kind, bytes of a body, seconds to send or to take it."""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio
from starlette.types import Receive

CLIENTS = 1024  # that are remembered; the one that was quiet for longest goes


@dataclass(frozen=True)
class Rate:
    """So many at once, then so many per second."""

    burst: int
    per_second: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one client gets."""

    rates: Mapping[str, Rate] = field(
        default_factory=lambda: {
            "look": Rate(burst=600, per_second=60.0),  # a page polls 20 frames per second, and opens with all thumbnails at once
            "change": Rate(burst=60, per_second=10.0),  # a held button collects 4 pictures per second
            "predict": Rate(burst=30, per_second=15.0),
            "login": Rate(burst=8, per_second=0.1),
        }
    )
    json_bytes: int = 16 * 2**10
    picture_bytes: int = 16 * 2**20
    bundle_bytes: int = 64 * 2**20
    body_s: float = 20.0  # for the whole body to arrive
    bundle_s: float = 120.0  # for a bundle to arrive
    take_s: float = 20.0  # for the client to take one piece of the answer
    request_s: float = 10.0  # for the request line and the headers
    connections: int = 96  # of all clients
    connections_each: int = 24


class TooMuch(Exception):
    """A client went over a limit; `status` is what it is answered with."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Turnstile:
    """Counts the requests of each client; token buckets."""

    def __init__(self, rates: Mapping[str, Rate], clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = rates
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()  # -> (left, when)
        self._lock = threading.Lock()

    def wait_s(self, client: str, kind: str) -> float:
        """Let one request of this kind through (0.0), or say in how many seconds the next one may come."""
        rate, key, now_s = self._rates[kind], (neighbourhood(client), kind), self._clock()
        with self._lock:
            left, when_s = self._buckets.pop(key, (float(rate.burst), now_s))
            left = min(float(rate.burst), left + (now_s - when_s) * rate.per_second)
            allowed = left >= 1.0
            self._buckets[key] = (left - 1.0 if allowed else left, now_s)
            while len(self._buckets) > CLIENTS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - left) / rate.per_second


def neighbourhood(client: str) -> str:
    """The address itself, of IPv6 its /64: one machine has all of it."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


async def read_body(receive: Receive, *, announced: str | None, limit_bytes: int, limit_s: float) -> bytes:
    """The request's body.

    Raises:
        TooMuch: 413 it is larger, whether it said so or not; 408 it did not arrive in time; 400 the client went away.
    """
    too_large = TooMuch(413, f"the body is larger than {limit_bytes} bytes")
    if announced is not None and announced.isdecimal() and int(announced) > limit_bytes:
        raise too_large
    body = bytearray()
    try:
        with anyio.fail_after(limit_s):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise TooMuch(400, "the client went away")
                body += message.get("body", b"")
                if len(body) > limit_bytes:
                    raise too_large
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise TooMuch(408, f"the body did not arrive within {limit_s:g} seconds") from None
