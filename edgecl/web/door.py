"""What every request must pass, whatever it asks for: it names this machine, and no other site sends it. What every answer carries."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgecl.web.access import comes_from_elsewhere, host_fits
from edgecl.web.endpoints import problem

SAFE = ("GET", "HEAD", "OPTIONS")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Door:
    """The outermost layer of the page."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or answer it with 403."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal:
            await problem(403, refusal)(scope, receive, sending)
        else:
            await self._app(scope, receive, sending)

    def _refusal(self, method: str, headers: Headers) -> str:
        if len(headers.getlist("host")) != 1 or not host_fits(headers["host"], self._names):
            return f"the name {headers.get('host', '')!r:.80} is not this machine's. Use its address, or start with: --page-name NAME"
        if method not in SAFE and comes_from_elsewhere(headers):
            return "a browser sent this on behalf of another site"
        return ""
