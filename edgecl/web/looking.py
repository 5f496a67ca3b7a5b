"""What the page shows of the running app: its cameras, the newest frame with its answer, how everything is, drift."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from edgecl.errors import EdgeclError
from edgecl.runtime.decide import announced
from edgecl.web.alarms import drift_alarms
from edgecl.web.board import board
from edgecl.web.endpoints import Call, Endpoint
from edgecl.web.schema import integer
from edgecl.web.site import Site

FRAME_WAIT_S = 5.0
FRAME_POLL_S = 0.015  # a look at the newest frame costs microseconds, a waiting thread per viewer would cost more


def status(call: Call) -> Mapping[str, Any]:
    """`edgecl.live/1`: everything that the page shows beside the picture."""
    site = call.site
    live = site.view.status()
    manifest = site.store.manifest(live.version)
    hours = site.view.recent()
    cameras = []
    for number, name in enumerate(site.view.cameras()):
        measured = site.watch.measured(name)
        alarms = site.watch.alarms(name) + drift_alarms([hour for hour in hours if hour.camera == name])
        looks = None if measured is None else {"brightness": round(measured.brightness, 1), "sharpness": round(measured.sharpness, 1)}
        cameras.append({"number": number, "name": name, **asdict(live.cameras[name]), "looks": looks, "alarms": alarms})
    return {
        "format": "edgecl.live/1",
        **live.to_json(),
        "cameras": cameras,
        "current": site.store.current,
        "good": site.store.good,
        "classes": sorted(entry.name for entry in manifest.classes),
        "capacity": manifest.capacity,
        "board": asdict(board(site.store.root)),
        "teach": {"possible": not site.no_teach, "reason": site.no_teach},
        "learning": site.learning.status()["state"],
    }


async def frame(call: Call) -> Response:
    """The newest frame as a JPEG, its answer in the header X-Edgecl-Answer; with `after` once there is another than that one."""
    site, after = call.site, call.query.get("after", -1)
    camera = site.camera(call.path["camera"])
    deadline_s = time.monotonic() + FRAME_WAIT_S
    while True:
        found = site.view.latest(camera)
        if found is not None and found[0].index != after:
            break
        if time.monotonic() >= deadline_s or site.closing.is_set():
            return Response(status_code=204)
        await anyio.sleep(FRAME_POLL_S)
    picture, prediction = found
    data = await run_in_threadpool(site.frames.jpeg, camera, picture, prediction)
    said = {**prediction.to_json(), "index": picture.index, "announced": announced(prediction)}
    return Response(data, headers={"X-Edgecl-Answer": json.dumps(said, allow_nan=False)}, media_type="image/jpeg")


def drift(call: Call) -> Mapping[str, Any]:
    """`edgecl.drift/1`: what each camera showed in each of the last hours."""
    return {"format": "edgecl.drift/1", "hours": [hour.to_json() for hour in call.site.view.recent()]}


def healthz(call: Call) -> Mapping[str, Any]:
    """`edgecl.health/1`: the process runs and answers."""
    return {"format": "edgecl.health/1", "healthy": True, "problems": []}


def readyz(call: Call) -> Response | Mapping[str, Any]:
    """`edgecl.health/1`: the version can be read, and each camera answers or has come to its end."""
    problems = unready(call.site)
    found = {"format": "edgecl.health/1", "healthy": not problems, "problems": problems}
    return found if not problems else Response(json.dumps(found), 503, {"Retry-After": "2"}, "application/json")


STALE_S = 10.0  # a newest frame that is older is no live picture


def unready(site: Site) -> list[str]:
    """Why the app is not of use now, as sentences."""
    live = site.view.status()
    problems = []
    for name, camera in live.cameras.items():
        if camera.state == "waiting":
            problems.append(f"the camera {name} gives no picture ({camera.last_fault or 'it was never there'})")
        elif camera.state == "running" and (camera.frame_age_s or 0.0) > STALE_S:
            problems.append(f"the newest frame of {name} is {camera.frame_age_s:.0f} s old")
    try:
        site.store.manifest(live.version)
    except EdgeclError as error:
        problems.append(str(error))
    return problems


ENDPOINTS = (
    Endpoint(method="GET", path="/api/status", handler=status, summary="How app, cameras and machine are", answers={200: "edgecl.live/1"}),
    Endpoint(
        method="GET",
        path="/api/cameras/{camera}/frame",
        handler=frame,
        summary="The newest frame and, in X-Edgecl-Answer, its edgecl.prediction/1; waits up to 5 s for another than `after`",
        answers={200: "a JPEG", 204: "no other frame came", 404: "no such camera"},
        media="image/jpeg",
        query={"after": integer(-1)},
    ),
    Endpoint(
        method="GET", path="/api/drift", handler=drift, summary="What each camera showed, by the hour", answers={200: "edgecl.drift/1"}
    ),
    Endpoint(
        method="GET", path="/healthz", handler=healthz, summary="Does the process answer?", answers={200: "edgecl.health/1"}, open=True
    ),
    Endpoint(
        method="GET",
        path="/readyz",
        handler=readyz,
        summary="Is it of use now? Each camera answers, the version is whole",
        answers={200: "edgecl.health/1", 503: "edgecl.health/1 with the reasons"},
        open=True,
    ),
)
