"""Teaching from the page: pictures for a class, from the camera or a phone; corrections; and the learn itself."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.responses import Response

from edgecl.errors import MissingExtra
from edgecl.preprocess import decode, geometry_of, shrink
from edgecl.runtime.looks import looks
from edgecl.store.inbox import Doubled, class_folder
from edgecl.web.endpoints import Call, Endpoint
from edgecl.web.schema import BOOLEAN, integer, record
from edgecl.web.site import Site

JPEG = "image/jpeg"


def inbox(call: Call) -> Mapping[str, Any]:
    """`edgecl.inbox/1`: what was collected, and how long learning it would take."""
    site = call.site
    known = {entry.name for entry in site.store.manifest(site.view.status().version).classes}
    classes = [{"name": each.name, "known": each.name in known, "pictures": list(each.pictures)} for each in site.inbox.collected()]
    return {
        "format": "edgecl.inbox/1",
        "classes": classes,
        "bytes": site.inbox.size_bytes(),
        "seconds": round(site.learning.estimate_s(), 1),
    }


def collect(call: Call) -> Mapping[str, Any]:
    """`edgecl.collected/1`: keep a frame that the page showed, for a class; refused when nothing can be seen in it or it is there already."""
    site = call.site
    seen = site.frames.recall(site.camera(call.body["camera"]), call.body["index"])
    return _keep(site, call.path["name"], seen.rgb, seen.captured, checked=not call.body.get("correction", False))


def upload(call: Call) -> Mapping[str, Any]:
    """`edgecl.collected/1`: keep a picture that comes from elsewhere, for a class."""
    rgb = shrink(decode(call.body), geometry_of(call.site.store.facts.architecture).keep_short)
    return _keep(call.site, call.path["name"], rgb, datetime.now().astimezone(), checked=True)


def _keep(site: Site, wanted: str, rgb: Any, captured: datetime, *, checked: bool) -> Mapping[str, Any]:
    name = spelled(site, wanted)
    fault, picture = looks(rgb).fault if checked else "", ""
    if not fault:
        try:
            picture = site.inbox.add(name, rgb, captured, doubles=not checked)
        except Doubled:
            fault = "too much like one that is there"
    count = next((len(each.pictures) for each in site.inbox.collected() if each.name == name), 0)
    return {"format": "edgecl.collected/1", "class": name, "kept": not fault, "reason": fault, "picture": picture, "pictures": count}


def spelled(site: Site, name: str) -> str:
    """A class's name as the model or the inbox has it already, whatever the case in which a thumb typed it.

    Raises:
        BadInput: no class can be called so.
    """
    wanted = class_folder(name)
    known = [entry.name for entry in site.store.manifest(site.view.status().version).classes]
    known += [each.name for each in site.inbox.collected()]
    return next((other for other in known if other.casefold() == wanted.casefold()), wanted)


def thumbnail(call: Call) -> Response:
    """A picture of the inbox."""
    data = call.site.inbox.picture(call.path["name"], call.path["hash"])
    return Response(data, media_type=JPEG, headers={"Cache-Control": "private, max-age=3600, immutable"})


def remove_picture(call: Call) -> Mapping[str, Any]:
    """Take a picture out of the inbox."""
    call.site.inbox.remove(call.path["name"], call.path["hash"])
    return inbox(call)


def remove_class(call: Call) -> Mapping[str, Any]:
    """Take a whole class out of the inbox."""
    call.site.inbox.remove(call.path["name"])
    return inbox(call)


def learning(call: Call) -> Mapping[str, Any]:
    """`edgecl.learning/1`: how the learn stands."""
    return {"format": "edgecl.learning/1", **call.site.learning.status()}


def start(call: Call) -> Mapping[str, Any]:
    """Begin to learn what the inbox holds."""
    if call.site.no_teach:
        raise MissingExtra(call.site.no_teach)
    call.site.learning.start(stage=call.body.get("stage", False))
    return learning(call)


def apply(call: Call) -> Mapping[str, Any]:
    """Apply a bundle that another camera packed."""
    call.site.learning.apply(call.body, stage=bool(call.query.get("stage", 0)))
    return learning(call)


def stop(call: Call) -> Mapping[str, Any]:
    """Stop the learn; its pictures go back to the inbox."""
    call.site.learning.stop()
    return learning(call)


ENDPOINTS = (
    Endpoint(method="GET", path="/api/inbox", handler=inbox, summary="What waits to be learned", answers={200: "edgecl.inbox/1"}),
    Endpoint(
        method="POST",
        path="/api/inbox/{name}/frames",
        handler=collect,
        summary="Keep a frame that was shown, for a class; a correction is kept whatever it looks like",
        answers={
            200: "edgecl.collected/1",
            409: "the frame was shown too long ago, or there is no such camera",
            422: "no class can be called so",
            507: "the inbox or the disk is full",
        },
        changes=True,
        rate="change",
        body=record({"camera": integer(0, 255), "index": integer(0)}, {"correction": BOOLEAN}),
    ),
    Endpoint(
        method="POST",
        path="/api/inbox/{name}/pictures",
        handler=upload,
        summary="Keep a picture for a class",
        answers={200: "edgecl.collected/1", 422: "not a picture, or no class can be called so", 507: "the inbox or the disk is full"},
        changes=True,
        rate="change",
        body="picture",
    ),
    Endpoint(
        method="GET",
        path="/api/inbox/{name}/pictures/{hash}",
        handler=thumbnail,
        summary="A picture that waits",
        answers={200: "a JPEG", 404: "no such picture", 422: "no class can be called so"},
        media=JPEG,
    ),
    Endpoint(
        method="DELETE",
        path="/api/inbox/{name}/pictures/{hash}",
        handler=remove_picture,
        summary="Take a picture out of the inbox",
        answers={200: "edgecl.inbox/1", 404: "no such picture", 422: "no class can be called so"},
        changes=True,
        rate="change",
    ),
    Endpoint(
        method="DELETE",
        path="/api/inbox/{name}",
        handler=remove_class,
        summary="Take a class out of the inbox",
        answers={200: "edgecl.inbox/1", 404: "no such class", 422: "no class can be called so"},
        changes=True,
        rate="change",
    ),
    Endpoint(method="GET", path="/api/learning", handler=learning, summary="How the learn stands", answers={200: "edgecl.learning/1"}),
    Endpoint(
        method="POST",
        path="/api/learning",
        handler=start,
        summary="Learn what the inbox holds, in a process of its own; `stage` waits for promote even when the gate agrees",
        answers={200: "edgecl.learning/1", 409: "a learn is going on", 422: "the inbox is empty", 501: "the extra `learn` is missing"},
        changes=True,
        rate="change",
        body=record({}, {"stage": BOOLEAN}),
    ),
    Endpoint(
        method="POST",
        path="/api/bundles",
        handler=apply,
        summary="Apply a bundle, in a process of its own; followed like a learn. `stage` waits for promote even when the gate agrees",
        answers={200: "edgecl.learning/1", 409: "a learn is going on", 507: "the disk is full"},
        changes=True,
        rate="change",
        query={"stage": integer(0, 1)},
        body="bundle",
    ),
    Endpoint(
        method="DELETE",
        path="/api/learning",
        handler=stop,
        summary="Stop the learn",
        answers={200: "edgecl.learning/1"},
        changes=True,
        rate="change",
    ),
)
