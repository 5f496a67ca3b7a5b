"""What the page refuses: whoever has no right to change something, other sites, other names, what is too large, malformed or slow."""

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgecl.runtime.fake import FakeLiveView
from edgecl.store import Store
from edgecl.web import access
from edgecl.web.limits import Limits, Rate
from edgecl.web.page import ENDPOINTS
from edgecl.web.server import Listening, PageServer
from tests.cli.workplace import bomb, fingerprint
from tests.web.client import AFAR, Answer, Client, jpeg

CHANGES = [(endpoint.method, endpoint.path.replace("{number}", "2").replace("{name}", "tea").replace("{hash}", "0" * 64))
           for endpoint in ENDPOINTS if endpoint.changes]  # fmt: skip


def body_for(path: str) -> object:
    """Something that fits, so that nothing but the right to ask is missing."""
    if path.endswith(("/pictures", "/bundles")):
        return jpeg(1)
    return {"camera": 0, "index": 0} if path.endswith("/frames") else {}


def unchanged(store: Store, act: Callable[[], Answer]) -> Answer:
    """What `act` was answered, after a look at every byte of the store."""
    before = fingerprint(store.root)
    found = act()
    assert fingerprint(store.root) == before
    return found


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_a_change_from_elsewhere_needs_the_token(client: Client, store: Store, method: str, path: str) -> None:
    """Without a token, with a wrong one, and with a made-up session nothing happens, and the answer is 401."""
    right = access.new_token(store)
    body = body_for(path)
    for headers in (AFAR, {**AFAR, "Authorization": f"Bearer {right}x"}, {**AFAR, "Cookie": f"{access.COOKIE}=made-up"}):
        found = unchanged(store, lambda headers=headers: client.ask(method, path, body, headers=headers))
        assert found.status == 401
        assert "token" in found.problem


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_a_change_needs_the_proof_of_the_page(client: Client, store: Store, method: str, path: str) -> None:
    """Also on this machine: a request that does not carry the value that only the page's script can read is refused."""
    for headers in ({}, {"X-CSRF-Token": "0" * 64}):
        found = unchanged(store, lambda headers=headers: client.ask(method, path, body_for(path), headers=headers, proof=False))
        assert (found.status, "X-CSRF-Token" in found.problem) == (403, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example.com"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example.com"},
        {"Host": "evil.example.com:80", "Origin": "http://evil.example.com:80"},
    ],
)
def test_another_site_changes_nothing(client: Client, store: Store, headers: dict[str, str]) -> None:
    """A post of another site, and a site whose name was pointed at this machine, get 403 even with proof and token."""
    token = access.new_token(store)
    for method, path in (("POST", "/api/rollback"), ("POST", "/api/session"), ("POST", "/predict"), ("DELETE", "/api/learning")):
        more = {**headers, "Authorization": f"Bearer {token}"}
        found = unchanged(store, lambda method=method, path=path, more=more: client.ask(method, path, {}, headers=more))
        assert found.status == 403


def test_a_foreign_name_is_not_even_shown_the_page(client: Client) -> None:
    """With a rebound name nothing can be read either; by address and by the machine's own name everything can."""
    assert client.get("/", headers={"Host": "evil.example.com"}).status == 403
    assert client.get("/api/cameras/0/frame", headers={"Host": "evil.example.com"}).status == 403
    assert client.get("/", headers={"Host": f"localhost:{client.page.port}"}).status == 200
    assert client.get("/", headers={"Host": "192.0.2.7"}).status == 200


def test_the_token_opens_by_header_and_by_session(client: Client, store: Store) -> None:
    """A machine sends the token itself; a browser trades it for a cookie that scripts and other sites never see, and a proof."""
    token = access.new_token(store)
    by_header = client.post("/api/rollback", {"version": 2}, headers={**AFAR, "Authorization": f"Bearer {token}"}, proof=False)
    assert by_header.status == 200
    assert client.get("/api/session", headers=AFAR).json()["may_change"] is False
    entered = client.post("/api/session", {"token": token}, headers=AFAR)
    cookie, _, attributes = entered.headers["set-cookie"].partition("; ")
    assert attributes.split("; ")[2:] == ["HttpOnly", "SameSite=Strict"]
    session = {**AFAR, "Cookie": cookie}
    assert client.get("/api/session", headers=session).json()["may_change"] is True
    without_proof = client.post("/api/versions/3/promote", headers=session, proof=False)
    assert without_proof.status == 403
    proof = {"X-CSRF-Token": entered.json()["csrf"]}
    assert client.post("/api/versions/3/promote", headers={**session, **proof}).status == 200
    client.delete("/api/session", headers={**session, **proof})
    assert client.post("/api/rollback", {}, headers={**session, **proof}).status == 401
    assert client.post("/api/session", {"token": "wrong"}, headers=AFAR).status == 401


def test_guessing_tokens_is_slow(store: Store, view: FakeLiveView) -> None:
    """After some wrong tokens the page does not even look at the next one, not at a right one either."""
    with PageServer(store, view, Listening()) as server:
        client, token = Client(server), access.new_token(store)
        statuses = [client.post("/api/session", {"token": f"guess {n}"}).status for n in range(10)]
        assert statuses == [401] * 8 + [429] * 2
        late = client.post("/api/session", {"token": token})
        assert (late.status, int(late.headers["retry-after"]) > 1) == (429, True)
        assert client.get("/api/status").status == 200


def test_a_private_page_shows_nothing_without_the_token(store: Store, view: FakeLiveView) -> None:
    """Looking from elsewhere needs the token, too; what a balancer asks and the door itself stay open."""
    with PageServer(store, view, Listening(), private=True) as server:
        client = Client(server)
        for path in ("/api/status", "/api/cameras/0/frame", "/api/inbox", "/metrics", "/api/versions", "/report/3"):
            assert client.get(path, headers=AFAR).status == 401, path
        for path in ("/", "/static/main.js", "/healthz", "/readyz", "/version", "/api/session", "/openapi.json"):
            assert client.get(path, headers=AFAR).status == 200, path
        assert client.get("/api/status").status == 200
        token = access.new_token(store)
        assert client.get("/metrics", headers={**AFAR, "Authorization": f"Bearer {token}"}).status == 200
        assert client.post("/predict", jpeg(1), headers=AFAR, proof=False).status == 401


TRAVERSALS = (
    "/static/../page.py", "/static/..%2fpage.py", "/static/%2e%2e/page.py", "/static/....//page.py", "/static//etc/passwd", "/static/%00",
    "/../../etc/passwd", "//etc/passwd", "/api/inbox/..%2f..%2fetc/pictures/" + "0" * 64, "/api/inbox/../pictures/" + "0" * 64,
    "/api/inbox/%2e%2e/pictures/" + "0" * 64, "/api/inbox/tea/pictures/..%2f..%2f..%2fsettings.toml", "/api/inbox/tea/pictures/%2e%2e",
    "/api/versions/..%2f..", "/api/versions/-1", "/report/../settings.toml", "/report/..%2fsettings.toml", "/report/3.html", "/report/3/x",
)  # fmt: skip


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out(client: Client, store: Store, path: str) -> None:
    """Dots, slashes however they are written, and zero bytes lead to no file: 400, 404 or 422, and never a byte of one."""
    found = unchanged(store, lambda: client.get(path))
    assert found.status in (400, 404, 422)
    assert b"root:" not in found.data
    assert b"edgecl.version" not in found.data


@pytest.mark.parametrize("name", ["..%2f..%2fx", "%2e%2e", ".hidden", "a%5cb", "%00", "x" * 101, "_x", "%ff", "-"])
def test_no_class_name_leads_out(client: Client, store: Store, name: str) -> None:
    """A class name that is a path, or hidden, is refused before anything is written."""
    before = fingerprint(store.root)
    found = client.post(f"/api/inbox/{name}/pictures", jpeg(1))
    assert found.status in (400, 404, 422)
    after = fingerprint(store.root)
    assert {path: after[path] for path in after if not path.startswith("inbox")} == before


def test_a_picture_that_is_too_large_is_cut_off(store: Store, view: FakeLiveView) -> None:
    """Announced or not, over the limit is 413 without keeping it; a bomb of pixels is refused before it is decoded."""
    limits = Limits(picture_bytes=100_000, rates={kind: Rate(1000, 1000.0) for kind in ("look", "change", "predict", "login")})
    with PageServer(store, view, Listening(), limits=limits) as server:
        client = Client(server)
        for path in ("/predict", "/api/inbox/tea/pictures"):
            with contextlib.suppress(ConnectionError):  # it may close before everything was sent
                assert client.post(path, b"\xff\xd8" + bytes(100_000)).status == 413
            assert chunked(server, path, total=300_000).startswith(b"HTTP/1.1 413"), path
            refused = client.post(path, bomb(), kind="image/png")
            assert (refused.status, "pixel limit" in refused.problem) == (422, True)
        assert client.post("/api/rollback", {"version": 1, "x": "y" * 20_000}).status == 413


def chunked(server: PageServer, path: str, total: int) -> bytes:
    """Send a body without saying how long it is; returns the beginning of the answer."""
    proof = str(Client(server).get("/api/session").json()["csrf"])
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nX-CSRF-Token: {proof}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode())
        with contextlib.suppress(ConnectionError):
            for _ in range(total // 10_000):
                connection.sendall(b"2710\r\n" + bytes(10_000) + b"\r\n")
        return connection.recv(100)


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/api/rollback", b"{", "application/json", 400),
        ("/api/rollback", b"[" * 10_000, "application/json", 400),
        ("/api/rollback", b'{"version": ' + b"[" * 900 + b"]" * 900 + b"}", "application/json", 400),
        ("/api/rollback", b"\xff\xfe", "application/json", 400),
        ("/api/rollback", b'{"version": 1e400}', "application/json", 400),
        ("/api/rollback", b'{"version": NaN}', "application/json", 400),
        ("/api/rollback", b"version=1", "application/x-www-form-urlencoded", 415),
        ("/api/rollback", b"{}", "text/plain", 415),
        ("/api/learning", b'{"stage": "yes"}', "application/json", 400),
        ("/api/inbox/tea/frames", b'{"camera": 0}', "application/json", 400),
        ("/api/inbox/tea/pictures", b"\xff\xd8\xff", "image/jpeg", 422),
        ("/api/inbox/tea/pictures", b"", "image/jpeg", 422),
        ("/api/inbox/tea/pictures", b"<svg/>", "image/svg+xml", 415),
        ("/predict", b"GIF89a", "image/png", 422),
        ("/predict", jpeg(1)[:500], "image/jpeg", 422),
    ],
)
def test_malformed_bodies(client: Client, store: Store, path: str, body: bytes, kind: str, status: int) -> None:
    """What is not what the endpoint wants is refused in words, and changes nothing."""
    found = unchanged(store, lambda: client.post(path, body, kind=kind))
    assert found.status == status
    assert found.problem


@pytest.fixture
def hasty(store: Store, view: FakeLiveView) -> Iterator[PageServer]:
    """A page that waits for half a second only, and lets one client have four connections."""
    limits = Limits(body_s=0.5, take_s=0.5, request_s=0.5, connections=20, connections_each=4)
    with PageServer(store, view, Listening(), limits=limits, watch_every_s=3600.0) as server:
        yield server


def seconds_until_closed(connection: socket.socket, *, keep_busy: bytes = b"") -> float:
    """How long the other side puts up with it; sends a byte of `keep_busy` now and then."""
    began_s = time.monotonic()
    connection.settimeout(0.1)
    for index in range(100):
        with contextlib.suppress(TimeoutError):
            try:
                if index < len(keep_busy):
                    connection.sendall(keep_busy[index : index + 1])
                if not connection.recv(65536):
                    break
            except ConnectionError:
                break
    return time.monotonic() - began_s


def test_a_slow_client_is_let_go(hasty: PageServer) -> None:
    """Whoever sends nothing, or a header byte by byte, or half a body, is closed after the time for it, and the page answers all the while."""
    where = ("127.0.0.1", hasty.port)
    with socket.create_connection(where) as silent, socket.create_connection(where) as dribbling, socket.create_connection(where) as half:
        half.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\nx")
        assert Client(hasty).get("/healthz").status == 200
        assert seconds_until_closed(silent) < 5
        assert seconds_until_closed(dribbling, keep_busy=b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 500) < 5
        half.settimeout(5)
        assert half.recv(100).startswith(b"HTTP/1.1 408")


def test_a_second_request_may_not_dribble_either(hasty: PageServer) -> None:
    """A connection that was good for one request does not get all the time in the world for its next header."""
    with socket.create_connection(("127.0.0.1", hasty.port)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert seconds_until_closed(connection, keep_busy=b"GET /healthz HTTP/1.1\r\nX-Long: " + b"x" * 500) < 5


def pour(connection: socket.socket, requests: bytes, *, limit_s: float = 10.0) -> None:
    """Send requests without ever reading, until the other side ends it."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        with contextlib.suppress(TimeoutError):
            connection.sendall(requests)


def test_a_client_that_does_not_take_its_answers_is_let_go(hasty: PageServer) -> None:
    """Pipelined requests whose answers nobody reads end with the connection, not with a full memory."""
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        greedy.connect(("127.0.0.1", hasty.port))
        greedy.settimeout(0.2)
        with pytest.raises(ConnectionError):
            pour(greedy, b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        assert Client(hasty).get("/healthz").status == 200


def test_one_client_does_not_take_all_connections(hasty: PageServer) -> None:
    """Its fifth connection is closed at once; when it lets go, it is served again."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", hasty.port))) for _ in range(4)]
        time.sleep(0.1)
        with socket.create_connection(("127.0.0.1", hasty.port)) as fifth:
            assert seconds_until_closed(fifth) < 0.4
        assert len(held) == 4
    time.sleep(0.2)
    assert Client(hasty).get("/healthz").status == 200


def test_every_answer_carries_the_policy(client: Client) -> None:
    """Good, refused or unknown: nothing inline or foreign may run, nobody may frame the page, nothing is kept in a cache by accident."""
    for path, headers in (("/", {}), ("/api/status", {}), ("/nothing", {}), ("/", {"Host": "evil.example.com"})):
        found = client.get(path, headers=headers)
        policy = found.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in found.headers
        assert "server" not in found.headers
    assert client.ask("PUT", "/api/status").status == 405
    assert client.ask("OPTIONS", "/api/rollback", headers={"Origin": "http://evil.example.com"}).status == 405


def test_the_page_s_markup_has_nothing_inline() -> None:
    """No style or script stands in the markup, no handler in an attribute, and no script writes markup."""
    folder = Path(__file__).parents[2] / "edgecl" / "web" / "static"
    markup = (folder / "index.html").read_text(encoding="utf-8")
    assert "style=" not in markup
    assert "<style" not in markup
    assert re.search(r"\son\w+=", markup) is None
    for script in folder.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert word not in text, (script.name, word)
