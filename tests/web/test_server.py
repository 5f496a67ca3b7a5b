"""The page's server: where it listens, over TLS, with which token, and how it ends."""

import http.client
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from edgecl.errors import BadInput, UsageError
from edgecl.runtime.fake import FakeLiveView
from edgecl.store import Store
from edgecl.web import access
from edgecl.web.server import Listening, PageServer
from tests.web.client import Client


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for localhost, its key, another key, and the key behind a password."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost")  # fmt: skip
    openssl("genrsa", "-out", "other.pem", "2048")
    openssl("rsa", "-aes256", "-passout", "pass:secret", "-in", "key.pem", "-out", "locked.pem")
    return folder


def test_it_listens_on_this_machine_alone_unless_told_otherwise(store: Store, view: FakeLiveView) -> None:
    """The default address is loopback, needs no token, and is free again afterwards; no thread is left."""
    before = threading.active_count()
    with PageServer(store, view, Listening()) as server:
        assert server.address == f"http://127.0.0.1:{server.port}/"
        assert server.token is None
        assert Client(server).get("/healthz").status == 200
        with pytest.raises(UsageError, match=rf"the page cannot listen on 127\.0\.0\.1 port {server.port} \(Address already in use\)"):
            Listening(port=server.port)
    assert not access.has_token(store)
    assert threading.active_count() <= before + 1
    socket.create_server(("127.0.0.1", server.port)).close()


def test_off_this_machine_a_token_is_made_once(store: Store, view: FakeLiveView) -> None:
    """The first start that listens beyond this machine makes the token; later ones keep it, until another is asked for."""
    first = PageServer(store, view, Listening("0.0.0.0"))
    second = PageServer(store, view, Listening("0.0.0.0"))
    assert first.token is not None
    assert second.token is None
    assert socket.gethostname() in first.address
    fresh = PageServer(store, view, Listening(), fresh_token=True)
    assert fresh.token not in (None, first.token)
    assert not access.token_fits(store, first.token)
    for server in (first, second, fresh):
        server.stop()


@pytest.mark.parametrize(("host", "port"), [("203.0.113.1", 0), ("127.0.0.1", 70_000), ("no such host.invalid", 0)])
def test_an_address_that_is_not_ours_is_told(store: Store, view: FakeLiveView, host: str, port: int) -> None:
    """What cannot be listened on is named before anything is begun, with the options to change."""
    with pytest.raises(UsageError, match=r"the page cannot listen on .* Choose another with: --host ADDRESS --port N"):
        Listening(host, port)


def test_over_tls(store: Store, view: FakeLiveView, tls: Path) -> None:
    """With a certificate the page speaks https only, and its session's cookie says so."""
    with PageServer(store, view, Listening(certificate=tls / "cert.pem", key=tls / "key.pem")) as server:
        assert server.address.startswith("https://")
        token = access.new_token(store)
        connection = http.client.HTTPSConnection("localhost", server.port, context=ssl.create_default_context(cafile=str(tls / "cert.pem")))
        connection.request("POST", "/api/session", f'{{"token": "{token}"}}', {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")
        connection.close()
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            Client(server).get("/healthz")


def test_tls_files_that_do_not_fit(store: Store, view: FakeLiveView, tls: Path) -> None:
    """One without the other, files that are none, a foreign key and a key behind a password are told, and nobody is asked at a terminal."""
    with pytest.raises(UsageError, match="a certificate and its key belong together"):
        Listening(certificate=tls / "cert.pem")
    for certificate, key in (("cert.pem", "other.pem"), ("cert.pem", "locked.pem"), ("key.pem", "key.pem"), ("absent.pem", "key.pem")):
        with pytest.raises(BadInput, match="are no TLS certificate and its key"):
            Listening(certificate=tls / certificate, key=tls / key)


def test_a_viewer_who_waits_is_answered_at_the_end(store: Store, view: FakeLiveView, caplog: pytest.LogCaptureFixture) -> None:
    """A browser that waits for the next frame gets "none" at once: the app's end takes no second, and uvicorn has nothing to cancel and log."""
    with PageServer(store, view, Listening()) as server, socket.create_connection(("127.0.0.1", server.port)) as viewer:
        viewer.sendall(b"GET /api/cameras/0/frame?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.2)
        began_s = time.monotonic()
        server.stop()
        assert time.monotonic() - began_s < 1
        assert viewer.recv(64).startswith(b"HTTP/1.1 204 ")
    assert caplog.text == ""
