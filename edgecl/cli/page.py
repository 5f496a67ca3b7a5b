"""The options of the page that `edgecl run` serves beside the app, and the page itself during a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecl.cli.output import note
from edgecl.cli.parsers import whole
from edgecl.errors import UsageError

if TYPE_CHECKING:
    from edgecl.runtime.live import LiveView
    from edgecl.store import Store
    from edgecl.web.server import Listening

HOST, PORT = "127.0.0.1", 8080

PageOption = Annotated[bool, typer.Option("--page", help="Serve a page beside the app: to look, to teach, to take back.")]
HostOption = Annotated[
    str | None,
    typer.Option(
        envvar="EDGECL_HOST",
        metavar="ADDRESS",
        help=f"Where the page listens: {HOST} for this machine alone, 0.0.0.0 for every network it is in.",
        show_default=HOST,
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(parser=whole(0), envvar="EDGECL_PORT", metavar="N", help="Port of the page; 0 takes a free one.", show_default=str(PORT)),
]
TlsCertOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Certificate (PEM), to serve the page over https.", show_default=False)
]
TlsKeyOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Its key (PEM, without a password).", show_default=False)]
PageNameOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="A name by which the page is asked for, such as a proxy's; may be given several times.", show_default=False
    ),
]
PagePrivateOption = Annotated[bool, typer.Option("--page-private", help="Looking, too, needs the token, unless on this machine.")]
NewTokenOption = Annotated[bool, typer.Option("--new-token", help="Make another token for the page; the one before is void.")]


@dataclass(frozen=True, kw_only=True)
class PageChoice:
    """What was asked for on the command line; None where nothing was said."""

    wanted: bool
    host: str | None = None
    port: int | None = None
    certificate: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] = ()
    private: bool = False
    new_token: bool = False

    def _check(self) -> None:
        """Refuse options of a page that is not wanted; what the environment says may stand there for other runs."""
        given = {"--tls-cert": self.certificate, "--tls-key": self.key, "--page-name": self.names, "--page-private": self.private}
        alone = [name for name, value in {**given, "--new-token": self.new_token}.items() if value]
        if alone:
            raise UsageError(f"{', '.join(alone)} is about the page; add --page.")

    def listen(self) -> "Listening | None":
        """Take the page's address, if a page is wanted: what is wrong with it is told before a camera or a model is touched.

        Raises:
            UsageError, BadInput: as for `Listening`, or options of a page that is not wanted.
        """
        if not self.wanted:
            self._check()
            return None
        from edgecl.web.server import Listening

        host, port = HOST if self.host is None else self.host, PORT if self.port is None else self.port
        return Listening(host, port, certificate=self.certificate, key=self.key)


@contextmanager
def page_beside(view: "LiveView", store: "Store", listening: "Listening | None", choice: PageChoice) -> Iterator[None]:
    """Serve the page during the body, if it is wanted, and say where it is."""
    if listening is None:
        yield
        return
    from edgecl.web.server import PageServer

    with PageServer(store, view, listening, names=choice.names, private=choice.private, fresh_token=choice.new_token) as server:
        note(f"page: {server.address}")
        if server.token is not None:
            note(f"token, shown this once: {server.token}")
            note(f"or open this on the phone: {server.address}#token={server.token}")
        yield
