"""Serves the page beside the app, in a thread: it starts when the app does and ends with it."""

import os
import socket
import ssl
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import uvicorn

from edgecl.errors import BadInput, EdgeclError, UsageError
from edgecl.runtime.live import LiveView
from edgecl.store import Store
from edgecl.web.access import has_token, is_address, new_token
from edgecl.web.alarms import LOOK_EVERY_S
from edgecl.web.limits import Limits
from edgecl.web.page import application
from edgecl.web.protocol import patient_protocol
from edgecl.web.site import site_of

LOOPBACK = ("127.0.0.1", "::1", "localhost")
START_WAIT_S = 10.0
KEEP_ALIVE_S = 15  # between two requests of one connection


class Listening:
    """An address that is listened on, over TLS where a certificate is given; nobody is answered before a page is put behind it.

    Args:
        host: `127.0.0.1` is for this machine alone, `0.0.0.0` for every network it is in.
        port: 0 takes any that is free.

    Raises:
        UsageError: the address is taken or not this machine's; half a TLS pair.
        BadInput: the TLS files are not what they should be.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, certificate: Path | None = None, key: Path | None = None) -> None:
        _check_tls(certificate, key)
        self.socket = _listen(host, port)
        self.host, self.certificate, self.key = host, certificate, key
        self.port = int(self.socket.getsockname()[1])

    @property
    def address(self) -> str:
        """Where a browser finds it; for all networks, by this machine's name."""
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"{'https' if self.certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def close(self) -> None:
        """Give the address back; may be called twice."""
        with suppress(OSError):
            self.socket.close()


class PageServer:
    """The page of one running app. As a context manager it serves during the body.

    Args:
        names: by which the page may be asked for, beside addresses and the machine's own name; for a proxy's.
        private: looking, too, needs the token.
        fresh_token: make another token; the one before, and all sessions, are void.
    """

    def __init__(
        self,
        store: Store,
        view: LiveView,
        listening: Listening,
        *,
        names: Iterable[str] = (),
        private: bool = False,
        fresh_token: bool = False,
        limits: Limits | None = None,
        watch_every_s: float = LOOK_EVERY_S,
    ) -> None:
        limits = limits or Limits()
        self._listening = listening
        host = listening.host
        self.token = new_token(store) if fresh_token or (host not in LOOPBACK and not has_token(store)) else None
        """A token that was made just now, to be shown this once; None when the one before still holds, or none is needed."""
        more = (*names, *(() if is_address(host) else (host,)))
        self.site = site_of(store, view, names=more, private=private, limits=limits, watch_every_s=watch_every_s)
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(self.site),
                http=patient_protocol(limits),
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=limits.connections,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
                ssl_certfile=listening.certificate,
                ssl_keyfile=listening.key,
            )
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening.socket]}, name="edgecl-page", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listening.port

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return self._listening.address

    def start(self) -> None:
        """Begin to serve; returns once it does.

        Raises:
            EdgeclError: it does not.
        """
        self.site.watch.start()
        self._thread.start()
        ready = threading.Event()
        waited_s = 0.0
        while not self._server.started and self._thread.is_alive() and waited_s < START_WAIT_S:
            ready.wait(0.01)
            waited_s += 0.01
        if not self._server.started:
            self.stop()
            raise EdgeclError(f"the page at {self.address} did not start; the lines above say why")

    def stop(self) -> None:
        """End: the learn that goes on, the watch, the connections. May be called twice."""
        self._server.should_exit = True
        self.site.close()
        if self._thread.is_alive():
            self._thread.join(START_WAIT_S)
        self._listening.close()

    def __enter__(self) -> "PageServer":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, so that a taken port is told before anything else is begun."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128, dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6())
    except (OSError, OverflowError) as error:
        # create_server makes the address a part of its reason, which is said already
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else error
        raise UsageError(
            f"the page cannot listen on {host} port {port} ({reason}). Choose another with: --host ADDRESS --port N"
        ) from error


def _check_tls(certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise UsageError("a certificate and its key belong together: give both --tls-cert FILE and --tls-key FILE, or neither.")
    if certificate is None or key is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password=_refuse_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise BadInput(
            f"{certificate} and {key} are no TLS certificate and its key ({reason}). Expected two PEM files without a password."
        ) from error


def _refuse_password() -> str:
    """Asked for by an encrypted key; without it OpenSSL would wait at the terminal."""
    raise ValueError("the key has a password")
