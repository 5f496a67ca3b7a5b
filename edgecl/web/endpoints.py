"""What a request is and what it must bring: each endpoint is a row, and the rows make the routes, the checks and the OpenAPI document."""

import inspect
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgecl.errors import BadInput, EdgeclError, MissingExtra, NoSpace, Refused, StoreBusy, StoreDamaged, UsageError
from edgecl.store.inbox import Doubled
from edgecl.typed import strict_json
from edgecl.web.access import COOKIE, bearer, is_local, token_fits
from edgecl.web.limits import TooMuch, read_body
from edgecl.web.schema import STRING, Schema, fault, integer

if TYPE_CHECKING:
    from edgecl.web.site import Site

PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/bmp")
BODY_TYPES: Mapping[str, tuple[str, ...]] = {"picture": PICTURE_TYPES, "bundle": ("application/octet-stream",)}
# What a path may hold between its slashes. A value that does not fit never reaches a handler.
PATH_PARAMETERS: Mapping[str, Schema] = {
    "camera": integer(0, 255),
    "number": integer(0),
    "name": STRING,
    "hash": {"type": "string", "pattern": "[0-9a-f]{64}", "minLength": 64, "maxLength": 64},
    "file": {"type": "string", "minLength": 1, "maxLength": 200},
}
STATUS_OF: tuple[tuple[type[EdgeclError], int], ...] = (
    (Doubled, 409),
    (BadInput, 422),
    (Refused, 409),
    (StoreBusy, 409),
    (StoreDamaged, 503),
    (NoSpace, 507),
    (MissingExtra, 501),
)


@dataclass(frozen=True)
class Call:
    """One request that was let in and fits its endpoint's description."""

    site: "Site"
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: Any  # what the endpoint's `body` says: a dict, a file's bytes, or None
    cookie: str  # the session's, or empty
    token: str | None  # of the Authorization header
    local: bool  # from this machine
    secure: bool  # over TLS


Handler = Callable[[Call], Response | Mapping[str, Any] | Awaitable[Response | Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One row of the page's interface."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, str]  # status -> what it means, apart from the refusals that every endpoint has
    media: str = "application/json"  # of a good answer
    changes: bool = False  # something in the store or the app: needs the right to
    rate: Literal["look", "change", "predict", "login"] = "look"
    query: Mapping[str, Schema] = field(default_factory=dict)
    body: Schema | Literal["picture", "bundle"] | None = None
    open: bool = False  # to everybody, even where the page is private: what a balancer asks, and the door itself

    def refusals(self) -> dict[int, str]:
        """Statuses that come from the door, the limits and the checks, not from the handler."""
        found = {403: "from another site, or by a name that is not this machine's", 429: "too many requests; Retry-After says when"}
        if self.query or "{" in self.path or self.body is not None:
            found[400] = "does not fit the description"
        if self.changes or not self.open:
            found[401] = "needs the token"
        if self.body is not None:
            found |= {408: "the body came too slowly", 413: "the body is too large", 415: "the body is of another type"}
        return found

    def parameters(self) -> dict[str, Schema]:
        """Those of the path, with what they may be."""
        return {name: schema for name, schema in PATH_PARAMETERS.items() if f"{{{name}}}" in self.path}


def problem(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that says what is wrong: `edgecl.problem/1`."""
    return answer({"format": "edgecl.problem/1", "problem": reason}, status=status, headers=headers)


def answer(value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; names with odd bytes come out escaped."""
    return Response(json.dumps(value, allow_nan=False), status, headers, "application/json")


def route(site: "Site", endpoint: Endpoint) -> Route:
    """The Starlette route of an endpoint of this site."""

    async def serve(request: Request) -> Response:
        try:
            return await _serve(site, endpoint, request)
        except TooMuch as error:
            return problem(error.status, str(error), {"Connection": "close"})
        except EdgeclError as error:
            return problem(_status(error, endpoint), str(error), {"Retry-After": "2"} if isinstance(error, StoreBusy) else None)

    return Route(endpoint.path, serve, methods=[endpoint.method])


def _status(error: EdgeclError, endpoint: Endpoint) -> int:
    if isinstance(error, UsageError):
        return 409 if endpoint.method == "POST" else 404
    return next((status for kind, status in STATUS_OF if isinstance(error, kind)), 500)


async def _serve(site: "Site", endpoint: Endpoint, request: Request) -> Response:
    client = request.client.host if request.client else ""
    wait_s = site.turnstile.wait_s(client, endpoint.rate)
    if wait_s > 0:
        return problem(429, "too many requests; wait a moment", {"Retry-After": str(math.ceil(wait_s))})
    cookie, token = request.cookies.get(COOKIE, ""), bearer(request.headers)
    local = is_local(client, request.headers)
    refusal = await run_in_threadpool(_refusal, site, endpoint, request, cookie, token, local)
    if refusal is not None:
        return refusal
    path, query = _typed(endpoint.parameters(), request.path_params), _typed(endpoint.query, request.query_params)
    wrong = _misfit(endpoint.parameters(), path) or _misfit(endpoint.query, query)
    if wrong:
        return problem(400, wrong)
    body, wrong_body = await _body(site, endpoint, request)
    if wrong_body is not None:
        return wrong_body
    call = Call(site, path, query, body, cookie, token, local, request.url.scheme == "https")
    if inspect.iscoroutinefunction(endpoint.handler):
        found = await endpoint.handler(call)
    else:
        found = await run_in_threadpool(endpoint.handler, call)
    return found if isinstance(found, Response) else answer(found)


def _refusal(site: "Site", endpoint: Endpoint, request: Request, cookie: str, token: str | None, local: bool) -> Response | None:
    """Why this caller may not do this, or nothing."""
    if endpoint.open or not (endpoint.changes or site.private):
        return None
    if token is not None:
        return None if token_fits(site.store, token) else problem(401, "this is not the token", {"WWW-Authenticate": "Bearer"})
    session = bool(cookie) and site.sessions.holds(cookie)
    if not session and not local:
        return problem(401, "this needs the token that `edgecl run --page` showed at its first start", {"WWW-Authenticate": "Bearer"})
    if endpoint.changes and not site.sessions.proves(cookie if session else "", request.headers.get("x-csrf-token", "")):
        return problem(403, "the X-CSRF-Token is missing or old; ask /api/session for it, or send the token as Authorization: Bearer")
    return None


def _typed(schemas: Mapping[str, Schema], given: Mapping[str, Any]) -> dict[str, Any]:
    """Texts of path and query, whole numbers among them turned into such."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        whole = schemas.get(name, {}).get("type") == "integer" and value.lstrip("-").isdecimal() and value.isascii() and len(value) < 20
        found[name] = int(value) if whole else value
    return found


def _misfit(schemas: Mapping[str, Schema], given: Mapping[str, Any]) -> str:
    for name, value in given.items():
        wrong = (
            fault(schemas[name], value, name) if name in schemas else f"{name!r} is not expected, only {', '.join(schemas) or 'nothing'}"
        )
        if wrong:
            return wrong
    return ""


async def _body(site: "Site", endpoint: Endpoint, request: Request) -> tuple[Any, Response | None]:
    """The body as the endpoint wants it, or the answer that says what is wrong with it."""
    if endpoint.body is None:
        return None, None
    limits = site.limits
    expected = BODY_TYPES[endpoint.body] if isinstance(endpoint.body, str) else ("application/json",)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in expected:
        return None, problem(415, f"the body's type is {kind!r:.60}, expected {' or '.join(expected)}")
    limit_bytes = {"picture": limits.picture_bytes, "bundle": limits.bundle_bytes}.get(str(endpoint.body), limits.json_bytes)
    limit_s = limits.bundle_s if endpoint.body == "bundle" else limits.body_s
    data = await read_body(request.receive, announced=request.headers.get("content-length"), limit_bytes=limit_bytes, limit_s=limit_s)
    if isinstance(endpoint.body, str):
        return data, None
    try:
        value = strict_json(data)
    except ValueError as error:
        return None, problem(400, f"the body is not JSON ({error})")
    assert isinstance(endpoint.body, Mapping)
    wrong = fault(endpoint.body, value)
    return value, problem(400, wrong) if wrong else None
