"""For machines: answer one picture, measure, say what runs here; and the door, where a browser shows the token."""

from collections.abc import Mapping
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from edgecl import __version__
from edgecl.preprocess import decode
from edgecl.web.access import COOKIE, SESSION_S, has_token, token_fits
from edgecl.web.endpoints import Call, Endpoint, answer, problem
from edgecl.web.metrics import exposition
from edgecl.web.schema import record

ASK_S = 5.0


def predict(call: Call) -> Response | Mapping[str, Any]:
    """`edgecl.prediction/1` of a picture, by the engine that serves."""
    prediction = call.site.view.ask(decode(call.body), ASK_S)
    if prediction is None:
        return problem(503, f"the engine had no time for this picture within {ASK_S:g} seconds. Try again.", {"Retry-After": "1"})
    return prediction.to_json()


def metrics(call: Call) -> Response:
    """Prometheus' text format."""
    return Response(exposition(call.site.view, call.site.store.root), headers={"Content-Type": CONTENT_TYPE_LATEST})


def about(call: Call) -> Mapping[str, Any]:
    """`edgecl.about/1`: which edgecl, which version of the model, which runtime."""
    live = call.site.view.status()
    return {
        "format": "edgecl.about/1",
        "edgecl": __version__,
        "version": live.version,
        "current": call.site.store.current,
        "good": call.site.store.good,
        "runtime": live.runtime,
        "provider": live.provider,
    }


def session(call: Call) -> Mapping[str, Any]:
    """`edgecl.session/1`: may this caller change something, and the value to send as X-CSRF-Token."""
    held = bool(call.cookie) and call.site.sessions.holds(call.cookie)
    return _session(call, call.cookie if held else "")


def _session(call: Call, cookie: str) -> dict[str, Any]:
    """As seen by a browser with this session's cookie, or an empty one."""
    return {
        "format": "edgecl.session/1",
        "may_change": call.local or bool(cookie),
        "session": bool(cookie),
        "token_exists": has_token(call.site.store),
        "private": call.site.private,
        "csrf": call.site.sessions.proof(cookie),
    }


def log_in(call: Call) -> Response:
    """Begin a session with the token."""
    if not token_fits(call.site.store, call.body["token"]):
        return problem(
            401, "this is not the token. It was shown when the page was first started; make another with: edgecl run --page --new-token"
        )
    value = call.site.sessions.begin()
    secure = "; Secure" if call.secure else ""
    cookie = f"{COOKIE}={value}; Path=/; Max-Age={SESSION_S:.0f}; HttpOnly; SameSite=Strict{secure}"
    return answer(_session(call, value), headers={"Set-Cookie": cookie})


def log_out(call: Call) -> Response:
    """End the session."""
    call.site.sessions.end(call.cookie)
    return answer({"format": "edgecl.session/1", "session": False}, headers={"Set-Cookie": f"{COOKIE}=; Path=/; Max-Age=0"})


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/predict",
        handler=predict,
        summary="Answer a picture",
        answers={200: "edgecl.prediction/1", 422: "not a picture", 503: "the engine had no time"},
        rate="predict",
        body="picture",
    ),
    Endpoint(
        method="GET", path="/metrics", handler=metrics, summary="Figures for Prometheus", answers={200: "text"}, media=CONTENT_TYPE_LATEST
    ),
    Endpoint(method="GET", path="/version", handler=about, summary="What runs here", answers={200: "edgecl.about/1"}, open=True),
    Endpoint(
        method="GET",
        path="/api/session",
        handler=session,
        summary="May this caller change something?",
        answers={200: "edgecl.session/1"},
        open=True,
    ),
    Endpoint(
        method="POST",
        path="/api/session",
        handler=log_in,
        summary="Begin a session with the token",
        answers={200: "edgecl.session/1", 401: "not the token"},
        rate="login",
        body=record({"token": {"type": "string", "minLength": 1, "maxLength": 200}}),
        open=True,
    ),
    Endpoint(
        method="DELETE",
        path="/api/session",
        handler=log_out,
        summary="End the session",
        answers={200: "edgecl.session/1"},
        rate="change",
        open=True,
    ),
)
