"""The page put together: its files, its endpoints, the door before them."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from edgecl.errors import UsageError
from edgecl.web import looking, machines, openapi, teaching, versions
from edgecl.web.door import Door
from edgecl.web.endpoints import Call, Endpoint, problem, route
from edgecl.web.site import Site

INDEX = "index.html"
KINDS: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


def _static() -> dict[str, tuple[bytes, str, str]]:
    """Name -> (content, type, tag) of every file of the page. What is asked for is looked up here, and never becomes a path."""
    found = {}
    for entry in files("edgecl.web").joinpath("static").iterdir():
        kind = KINDS.get(f".{entry.name.rpartition('.')[2]}")
        if kind is not None:
            data = entry.read_bytes()
            found[entry.name] = (data, kind, f'"{hashlib.sha256(data).hexdigest()[:16]}"')
    return found


STATIC = _static()


def index(call: Call) -> Response:
    """The page itself."""
    return _file(INDEX)


def static(call: Call) -> Response:
    """One of its files."""
    return _file(call.path["file"])


def _file(name: str) -> Response:
    if name not in STATIC:
        raise UsageError(f"the page has no file {name!r:.60}.")
    data, kind, tag = STATIC[name]
    return Response(data, media_type=kind, headers={"ETag": tag, "Cache-Control": "no-cache"})


def description(call: Call) -> Mapping[str, Any]:
    """The OpenAPI document."""
    return openapi.document(ENDPOINTS)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(method="GET", path="/", handler=index, summary="The page", answers={200: "HTML"}, media="text/html", open=True),
    Endpoint(
        method="GET",
        path="/static/{file}",
        handler=static,
        summary="A file of the page",
        answers={200: "the file", 404: "no such file"},
        media="text/css",
        open=True,
    ),
    Endpoint(method="GET", path="/openapi.json", handler=description, summary="This document", answers={200: "OpenAPI 3.1"}, open=True),
    *looking.ENDPOINTS,
    *teaching.ENDPOINTS,
    *versions.ENDPOINTS,
    *machines.ENDPOINTS,
)


def application(site: Site) -> ASGIApp:
    """The ASGI application of a site."""

    def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, f"there is no {request.method} {request.url.path!r:.100} here; see /openapi.json", error.headers)

    app = Starlette(routes=[route(site, endpoint) for endpoint in ENDPOINTS], exception_handlers={HTTPException: unknown})
    app.router.redirect_slashes = False  # a path is right or it is not
    return Door(app, site.names)
