"""Tokens, sessions, names and origins, each by itself."""

import pytest

from edgecl.store import Store
from edgecl.web.access import (
    SESSION_S,
    SESSIONS,
    Sessions,
    bearer,
    comes_from_elsewhere,
    has_token,
    host_fits,
    is_local,
    new_token,
    own_names,
    token_fits,
)


def test_a_token_is_kept_as_a_hash_only(store: Store) -> None:
    """The store never holds the token itself, another token voids the first, and what is no token does not fit."""
    assert not has_token(store)
    assert not token_fits(store, "")
    first = new_token(store)
    assert len(first) >= 24
    assert has_token(store)
    assert token_fits(store, first)
    assert first not in (store.root / "state.json").read_text(encoding="utf-8")
    second = new_token(store)
    assert (token_fits(store, first), token_fits(store, second), token_fits(store, "\udcff")) == (False, True, False)


def test_a_session_ends_by_time_or_by_hand() -> None:
    """A session holds for thirty days, unless it is ended; a made-up value never does."""
    now_s = 0.0
    sessions = Sessions(clock=lambda: now_s)
    one, other = sessions.begin(), sessions.begin()
    assert sessions.holds(one)
    assert not sessions.holds("made up")
    sessions.end(other)
    assert not sessions.holds(other)
    now_s = SESSION_S + 1
    assert not sessions.holds(one)


def test_sessions_are_bounded() -> None:
    """The oldest session goes when there are too many."""
    sessions = Sessions()
    values = [sessions.begin() for _ in range(SESSIONS + 1)]
    assert [sessions.holds(value) for value in (values[0], values[1], values[-1])] == [False, True, True]


def test_a_proof_belongs_to_one_session_of_one_run() -> None:
    """The proof of a cookie fits neither another cookie nor another run of the app."""
    sessions = Sessions()
    assert sessions.proves("a", sessions.proof("a"))
    assert not sessions.proves("b", sessions.proof("a"))
    assert not sessions.proves("a", "")
    assert not sessions.proves("a", "ä\udcff")
    assert not Sessions().proves("a", sessions.proof("a"))


@pytest.mark.parametrize(
    ("header", "fits"),
    [
        ("localhost:8080", True),
        ("LOCALHOST", True),
        ("camera-3.local:1", True),
        ("proxy.example.com", True),
        ("127.0.0.1:8080", True),
        ("192.0.2.7", True),
        ("[::1]:8080", True),
        ("evil.example.com", False),
        ("localhost.evil.example.com", False),
        ("127.0.0.1.evil.example.com", False),
        ("user@localhost", False),
        ("localhost/evil", False),
        ("localhost:port", False),
        ("localhost:0", False),
        ("[::1", False),
        ("", False),
        (None, False),
    ],
)
def test_only_this_machine_s_names_are_answered(header: str | None, fits: bool) -> None:
    """An address and the machine's own names fit; the name of another site, which a rebound DNS would bring, does not."""
    names = own_names(["Proxy.example.com"]) | {"camera-3.local"}
    assert host_fits(header, names) is fits


@pytest.mark.parametrize(
    ("headers", "elsewhere"),
    [
        ({"host": "camera:8080"}, False),
        ({"host": "camera:8080", "origin": "http://camera:8080"}, False),
        ({"host": "camera:8080", "origin": "https://CAMERA:8080"}, False),
        ({"host": "camera:8080", "origin": "http://camera"}, True),
        ({"host": "camera:8080", "origin": "http://evil.example.com"}, True),
        ({"host": "camera:8080", "origin": "null"}, True),
        ({"host": "camera:8080", "origin": "http://camera:8080/"}, True),
        ({"host": "camera:8080", "sec-fetch-site": "same-origin"}, False),
        ({"host": "camera:8080", "sec-fetch-site": "none"}, False),
        ({"host": "camera:8080", "sec-fetch-site": "same-site"}, True),
        ({"host": "camera:8080", "sec-fetch-site": "cross-site"}, True),
    ],
)
def test_a_browser_tells_for_whom_it_asks(headers: dict[str, str], elsewhere: bool) -> None:
    """A request counts as another site's when its origin is not this page, or the browser says so."""
    assert comes_from_elsewhere(headers) is elsewhere


@pytest.mark.parametrize(
    ("client", "headers", "local"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.8.8", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("192.0.2.7", {}, False),
        ("", {}, False),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, False),
        ("127.0.0.1", {"forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", {"x-real-ip": ""}, False),
    ],
)
def test_who_is_on_this_machine(client: str, headers: dict[str, str], local: bool) -> None:
    """Loopback addresses are local; what a proxy hands on is not, whatever it says."""
    assert is_local(client, headers) is local


def test_a_bearer_token_is_read_from_its_header() -> None:
    """Only the scheme Bearer, in any case, with something behind it."""
    values = ("Bearer abc", "bearer  abc ", "Basic abc", "Bearer ", "")
    assert [bearer({"authorization": value}) for value in values] == ["abc", "abc", None, None, None]
    assert bearer({}) is None
