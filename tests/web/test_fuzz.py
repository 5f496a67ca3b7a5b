"""A thousand requests that nobody would send."""

import contextlib
import http.client
import threading
import time

import pytest

from edgecl.store import Store
from edgecl.web import access
from edgecl.web.server import PageServer
from tests.cli.workplace import bomb, fingerprint
from tests.web.client import AFAR, Client, jpeg
from tests.web.fuzzing import Fuzzed, Fuzzer

REQUESTS = 1000
PICTURES = (jpeg(1), bomb(), b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"")


def send(page: PageServer, fuzzed: Fuzzed, headers: dict[str, str]) -> int:
    """The status of the answer; 0 where the connection was closed over a request that is no HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    with contextlib.closing(connection), contextlib.suppress(ConnectionError, http.client.BadStatusLine):
        connection.request(fuzzed.method, fuzzed.path, fuzzed.body, {**fuzzed.headers, **headers})
        response = connection.getresponse()
        response.read()
        return response.status
    return 0


def undescribed(fuzzed: Fuzzed, status: int) -> bool:
    """Whether the description does not know this answer; 404 and 405 are for what it does not describe, 400 for what is hardly HTTP."""
    known = set(fuzzed.operation["responses"]) if fuzzed.operation is not None else set()
    return status >= 500 or (fuzzed.operation is not None and str(status) not in known | {"0", "400", "404", "405"})


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_stranger_changes_nothing(page: PageServer, store: Store, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """From elsewhere and without the token: each answer is a described one and none is 500, the store stays as it is, nothing hangs."""
    monkeypatch.setattr("edgecl.web.looking.FRAME_WAIT_S", 0.05)
    access.new_token(store)
    document, before = Client(page).get("/openapi.json").json(), fingerprint(store.root)
    fuzzer, slowest_s, odd = Fuzzer(document, seed, PICTURES), 0.0, []
    for _ in range(REQUESTS):
        fuzzed = fuzzer.request()
        began_s = time.monotonic()
        status = send(page, fuzzed, AFAR)
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        if undescribed(fuzzed, status):
            odd.append((status, fuzzed))
    assert odd == []
    assert fingerprint(store.root) == before
    assert slowest_s < 5
    assert threading.active_count() < 80
    assert Client(page).get("/readyz").status == 200


@pytest.mark.parametrize("seed", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_whoever_may_change_things_breaks_nothing(page: PageServer, store: Store, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """With the right to do everything, no request gives 500 or an answer that is not described, and the store is whole afterwards."""
    from edgecl.store.verify import verify

    monkeypatch.setattr("edgecl.web.looking.FRAME_WAIT_S", 0.05)
    for job, command in ((page.site.learning, "_command"), (page.site.learning, "_apply"), (page.site.reporting, "_command")):
        monkeypatch.setattr(job, command, lambda *_, **__: ["false"])
    token = access.new_token(store)
    client = Client(page)
    assert client.get("/api/cameras/0/frame").status == 200
    fuzzer, counts = Fuzzer(client.get("/openapi.json").json(), seed, PICTURES), dict[int, int]()
    odd = []
    for _ in range(REQUESTS):
        fuzzed = fuzzer.request()
        status = send(page, fuzzed, {"Authorization": f"Bearer {token}"})
        counts[status] = counts.get(status, 0) + 1
        if undescribed(fuzzed, status):
            odd.append((status, fuzzed))
    assert odd == []
    assert counts[200] > REQUESTS / 5  # the fuzzer reaches what lies behind the checks
    assert [finding for finding in verify(store, deep=True) if finding.damage] == []
    assert store.numbers() == [0, 1, 2, 3]
    assert {path.name for path in store.root.parent.iterdir()} == {"model"}
