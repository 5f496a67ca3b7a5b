"""Who may do what on the page: the token, sessions of a browser, the names under which the page is reached, and where a request came from.

Everybody who reaches the page may look, unless it is private. What changes something needs one of:

    a request from this very machine, over 127.0.0.1 and not through a proxy
    a session that was begun with the token (a cookie, and a second value that only the page's own script can send)
    the token itself, as `Authorization: Bearer TOKEN`
"""

import hashlib
import hmac
import ipaddress
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from edgecl.store import Store

TOKEN_KEY = "page_token_sha256"  # in state.json
TOKEN_BYTES = 18
SESSION_S = 30 * 24 * 3600.0
SESSIONS = 64  # at once; the oldest goes
COOKIE = "edgecl_session"
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")  # a proxy on this machine makes everybody look local


def new_token(store: Store) -> str:
    """A fresh token; the store keeps its hash only, so this is the one time that anybody sees it. The one before is void."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    # A plain hash will do: 144 random bits cannot be guessed, so there is nothing for a slow hash to slow down.
    store.update_state(lambda state: {**state, TOKEN_KEY: _sha256(token)})
    return token


def has_token(store: Store) -> bool:
    """Whether a token was made before."""
    return isinstance(store.state().get(TOKEN_KEY), str)


def token_fits(store: Store, token: str) -> bool:
    """Whether this is the token, compared in constant time."""
    kept = store.state().get(TOKEN_KEY)
    return isinstance(kept, str) and hmac.compare_digest(kept.encode(), _sha256(token).encode())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Sessions:
    """Browsers that showed the token. Kept in memory only: a restart asks for it again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._ends: dict[str, float] = {}  # sha256 of the cookie's value -> end
        self._lock = threading.Lock()

    def begin(self) -> str:
        """A new session; returns the cookie's value."""
        value = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._ends) >= SESSIONS:
                self._ends.pop(next(iter(self._ends)))
            self._ends[_sha256(value)] = self._clock() + SESSION_S
        return value

    def holds(self, value: str) -> bool:
        """Whether the cookie's value belongs to a session that goes on."""
        with self._lock:
            return self._ends.get(_sha256(value), 0.0) > self._clock()

    def end(self, value: str) -> None:
        """End a session, if there is one."""
        with self._lock:
            self._ends.pop(_sha256(value), None)

    def proof(self, value: str) -> str:
        """What a page's script sends beside the cookie `value` (empty: without a session), and no other site can read or set."""
        return hmac.new(self._secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def proves(self, value: str, proof: str) -> bool:
        """Whether `proof` belongs to the cookie's value, compared in constant time."""
        return hmac.compare_digest(self.proof(value).encode(), proof.encode("utf-8", "surrogatepass"))


def own_names(more: Iterable[str] = ()) -> frozenset[str]:
    """The names by which this machine may be asked, beside its IP addresses."""
    name = socket.gethostname().lower()
    return frozenset({"localhost", name, name.partition(".")[0], f"{name.partition('.')[0]}.local", *(other.lower() for other in more)})


def host_fits(header: str | None, names: frozenset[str]) -> bool:
    """Whether the Host header names this machine: one of its names, or any IP address.

    Another site that lets its own name point at this machine (DNS rebinding) is refused: browsers then send that site's name here.
    """
    host = _host(header or "")
    return host is not None and (host in names or is_address(host))


def _host(authority: str) -> str | None:
    """`Name:8080` -> `name`, `[::1]:8080` -> `::1`; None for what is no host."""
    try:
        parts = urlsplit(f"//{authority}")
        if parts.netloc != authority or parts.username is not None or parts.port == 0:
            return None
    except ValueError:
        return None
    return parts.hostname


def is_address(host: str) -> bool:
    """Whether `host` is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def comes_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends this request on behalf of another site. What is no browser sends neither header."""
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower() if origin.count("/") == 2 else True
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


def is_local(client: str, headers: Mapping[str, str]) -> bool:
    """Whether the request was made on this machine, and not handed on by a proxy on it."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return bool(address.is_loopback) and not any(name in headers for name in FORWARDED)


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of an `Authorization: Bearer` header."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None
