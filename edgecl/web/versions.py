"""The history on the page: versions, what each one changed, promote and roll back, and a version's report."""

import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.responses import Response

from edgecl.errors import UsageError
from edgecl.store import Store, history
from edgecl.web.endpoints import Call, Endpoint
from edgecl.web.schema import integer, record

REPORT = "report"
REPORT_PAGE = "index.html"
# A report is one page with its own styles and pictures; nothing in it runs.
REPORT_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; sandbox"


def versions(call: Call) -> Mapping[str, Any]:
    """`edgecl.log/1`, newest first; `report` where a version has one."""
    store = call.site.store
    found = history.log_json(history.log(store))
    for row in found["versions"]:
        row["report"] = REPORT_PAGE in report_files(store, row["number"])
    return {**found, "current": store.current, "good": store.good, "served": call.site.view.status().version}


def version(call: Call) -> Mapping[str, Any]:
    """`edgecl.show/1`"""
    return history.show(call.site.store, call.path["number"])


def promote(call: Call) -> Mapping[str, Any]:
    """`edgecl.promote/1`"""
    number = call.path["number"]
    return {"format": "edgecl.promote/1", "version": number, "before": history.promote(call.site.store, number)}


def rollback(call: Call) -> Mapping[str, Any]:
    """`edgecl.rollback/1`"""
    store = call.site.store
    before = store.current
    return {"format": "edgecl.rollback/1", "version": history.rollback(store, call.body.get("version")), "before": before}


def report(call: Call) -> Response:
    """A file of a version's report."""
    path = report_files(call.site.store, call.path["number"]).get(call.path["file"])
    if path is None:
        raise UsageError(f"version {call.path['number']} has no report file {call.path['file']!r:.60}. Write one with: edgecl report")
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Response(path.read_bytes(), media_type=kind, headers={"Content-Security-Policy": REPORT_POLICY})


def report_files(store: Store, number: int) -> dict[str, Path]:
    """The files of a version's report by their names in it. What is asked for is looked up here, and never becomes a path."""
    folder = store.folder(number) / REPORT
    if folder.is_symlink() or not folder.is_dir():
        return {}
    files = (
        path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path.resolve().is_relative_to(folder.resolve())
    )
    return {path.relative_to(folder).as_posix(): path for path in files}


ENDPOINTS = (
    Endpoint(method="GET", path="/api/versions", handler=versions, summary="All versions, newest first", answers={200: "edgecl.log/1"}),
    Endpoint(
        method="GET",
        path="/api/versions/{number}",
        handler=version,
        summary="Everything that a version says of itself",
        answers={200: "edgecl.show/1", 404: "no such version"},
    ),
    Endpoint(
        method="POST",
        path="/api/versions/{number}/promote",
        handler=promote,
        summary="Make a version current, whatever its gate said",
        answers={200: "edgecl.promote/1", 409: "no such version, or somebody else changes the store"},
        changes=True,
        rate="change",
    ),
    Endpoint(
        method="POST",
        path="/api/rollback",
        handler=rollback,
        summary="Go back to an older version, without one to the parent of the current one",
        answers={200: "edgecl.rollback/1", 409: "there is none to go back to, or somebody else changes the store"},
        changes=True,
        rate="change",
        body=record({}, {"version": integer(0)}),
    ),
    Endpoint(
        method="GET",
        path="/report/{number}/{file:path}",
        handler=report,
        summary="A file of a version's report; its page is index.html",
        answers={200: "the file", 404: "no such version, or no such file in its report"},
        media="text/html",
    ),
)
