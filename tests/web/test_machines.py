"""What machines ask for."""

import re

from prometheus_client.parser import text_string_to_metric_families

from edgecl import __version__
from edgecl.errors import StoreDamaged
from edgecl.runtime.fake import FakeLiveView
from edgecl.store import Store
from edgecl.web.page import ENDPOINTS
from tests.web.client import Client, jpeg


def test_a_picture_is_answered(client: Client, view: FakeLiveView) -> None:
    """`/predict` gives an edgecl.prediction/1 by the engine that serves, needs no proof, and says so when the engine has no time or fails."""
    asked = []
    answer = view.answer_ask
    view.answer_ask = lambda rgb: asked.append(rgb.shape) or answer(rgb)  # type: ignore[func-returns-value]
    found = client.post("/predict", jpeg(1), proof=False)
    assert (found.status, found.json()["format"], found.json()["label"]) == (200, "edgecl.prediction/1", "green")
    assert asked == [(60, 80, 3)]
    view.answer_ask = lambda rgb: None
    busy = client.post("/predict", jpeg(1))
    assert (busy.status, busy.headers["retry-after"]) == (503, "1")

    def broken(rgb: object) -> None:
        raise StoreDamaged("the engine is gone. Run: edgecl verify")

    view.answer_ask = broken
    assert client.post("/predict", jpeg(1)).problem == "the engine is gone. Run: edgecl verify"


def test_metrics_are_what_prometheus_reads(client: Client, store: Store) -> None:
    """Every line parses; counters and gauges hold the app's figures."""
    found = client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(found.data.decode())}
    value = {sample.name: sample.value for family in families.values() for sample in family.samples if not sample.labels.get("quantile")}
    assert value["edgecl_version"] == store.current
    assert (value["edgecl_frames_total"], value["edgecl_camera_running"], value["edgecl_swap_fault"]) == (1, 1, 0)
    assert families["edgecl_frames"].samples[0].labels == {"camera": "bench"}
    assert [sample.value for sample in families["edgecl_latency_seconds"].samples] == [0.007, 0.007]
    assert families["edgecl_app_info"].samples[0].labels["edgecl"] == __version__
    assert "edgecl_swap_gap_seconds" not in families  # there was no swap


def test_what_runs_here(client: Client, store: Store) -> None:
    """`/version` names edgecl, the version of the model and the runtime."""
    assert client.get("/version").json() == {
        "format": "edgecl.about/1", "edgecl": __version__, "version": 3, "current": 3, "good": None, "runtime": "fake", "provider": "fake",
    }  # fmt: skip


def test_the_description_has_exactly_the_routes(client: Client) -> None:
    """Each route is one operation of the OpenAPI document with a unique id and every parameter of its path; each operation is a route."""
    document = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids)) == len(ENDPOINTS)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))


def test_what_changes_something_is_marked(client: Client) -> None:
    """In the description, each operation that needs the token says so; those that do not change the store do not."""
    document = client.get("/openapi.json").json()
    free = {
        f"{method} {path}" for path, methods in document["paths"].items() for method, operation in methods.items()
        if method != "get" and "security" not in operation
    }  # fmt: skip
    assert free == {"post /predict", "post /api/session", "delete /api/session"}


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(client: Client) -> None:
    """Every file that the page or one of its parts names is served with its type; no address of another machine stands in any."""
    seen, pending = set(), ["/"]
    while pending:
        path = pending.pop()
        found = client.get(path)
        assert found.status == 200, path
        seen.add(path)
        text = found.data.decode()
        for link in re.findall(r"https?://[^\s\"'<>)]+", text):
            assert link == "http://www.w3.org/2000/svg"
        pending += (
            {*re.findall(r"/static/[\w.-]+", text), *(f"/static/{name}" for name in re.findall(r'from "\./([\w.]+)"', text))}
            - seen
            - set(pending)
        )
    assert {"/static/main.js", "/static/page.css", "/static/icon-live.svg", "/static/page.webmanifest"} <= seen
    assert client.get("/static/main.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert client.get("/static/absent.js").status == 404
