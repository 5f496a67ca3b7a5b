"""The history on the page: versions, what each one changed, promote and roll back, and a version's report."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from edgecl.errors import UsageError
from edgecl.store import history
from edgecl.store.reports import reports
from edgecl.web.endpoints import Call, Endpoint
from edgecl.web.schema import integer, record

# A report is one page with its own styles and pictures; nothing in it runs.
REPORT_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; sandbox"


def versions(call: Call) -> Mapping[str, Any]:
    """`edgecl.log/1`, newest first; `report` where a version has one."""
    store = call.site.store
    found = history.log_json(history.log(store))
    written = reports(store.root)
    for row in found["versions"]:
        row["report"] = row["number"] in written
    return {
        **found,
        "current": store.current,
        "good": store.good,
        "served": call.site.view.status().version,
        "writing": call.site.reporting.writing,
        "report_problem": call.site.reporting.problem,
    }


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
    """A version's report. The number is looked up among the reports that are there, and never becomes a path."""
    path = reports(call.site.store.root).get(call.path["number"])
    if path is None:
        raise UsageError(f"version {call.path['number']} has no report. Write it on the page, under History.")
    return Response(path.read_bytes(), media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


def write_report(call: Call) -> Mapping[str, Any]:
    """`edgecl.log/1`: begin to write a version's report; `writing` says which one."""
    call.site.reporting.write(call.path["number"])
    return versions(call)


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
        method="POST",
        path="/api/versions/{number}/report",
        handler=write_report,
        summary="Write a version's report, in a process of its own; /api/versions tells when it is there",
        answers={200: "edgecl.log/1", 409: "no such version, or another report is being written"},
        changes=True,
        rate="change",
    ),
    Endpoint(
        method="GET",
        path="/report/{number}",
        handler=report,
        summary="A version's report",
        answers={200: "HTML", 404: "it has none"},
        media="text/html",
    ),
)
