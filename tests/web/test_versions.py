"""The history on the page."""

import sys

import pytest

from edgecl.store import Store
from edgecl.store.verify import verify
from edgecl.web.server import PageServer
from tests.runtime.waiting import until
from tests.web.client import Client


def test_versions_are_listed_and_shown(client: Client, store: Store) -> None:
    """Newest first, with what is current; one in full, with each class before and after."""
    found = client.get("/api/versions").json()
    assert [row["number"] for row in found["versions"]] == [3, 2, 1, 0]
    assert (found["current"], found["served"]) == (3, 3)
    assert found["versions"][0]["added"] == ["violet", "white"]
    shown = client.get("/api/versions/3").json()
    assert shown["checks"]["classes"]["violet"]["before"] is None
    red = next(entry for entry in shown["classes"] if entry["name"] == "red")
    assert shown["checks"]["classes"]["red"]["pictures"] == red["holdout"]
    assert client.get("/api/versions/9").status == 404


def test_back_and_forth(client: Client, store: Store) -> None:
    """Roll back to the parent, to a version by number, and forward again; each answer names both."""
    assert client.post("/api/rollback", {}).json() == {"format": "edgecl.rollback/1", "version": 2, "before": 3}
    assert client.post("/api/rollback", {"version": 0}).json()["version"] == 0
    assert store.current == 0
    assert client.post("/api/versions/3/promote").json() == {"format": "edgecl.promote/1", "version": 3, "before": 0}
    assert store.current == 3


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/versions/9/promote", None, "there is no version 9"),
        ("/api/rollback", {"version": 3}, "version 3 is not older than the current version 3"),
        ("/api/rollback", {"version": 9}, "version 9 is not older"),
    ],
)
def test_what_cannot_be_served_is_told(client: Client, store: Store, path: str, body: object, words: str) -> None:
    """The library's own sentence comes back, and nothing moved."""
    found = client.post(path, body)
    assert found.status == 409
    assert found.problem.startswith(words)
    assert store.current == 3


def test_a_report_is_served_from_its_listing_alone(client: Client, store: Store) -> None:
    """It comes with a policy under which nothing in it runs; a link, or what is no version's number, is no report."""
    folder = store.root / "reports"
    folder.mkdir()
    (folder / "000003.html").write_text("<h1>fine</h1>", encoding="utf-8")
    (folder / "000002.html").symlink_to(store.root / "settings.toml")
    page = client.get("/report/3")
    assert (page.status, page.data, page.headers["content-type"]) == (200, b"<h1>fine</h1>", "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].endswith("; sandbox")
    assert client.get("/report/2").problem == "version 2 has no report. Write it on the page, under History."
    for name in ("..%2fsettings.toml", "%2e%2e", "000003.html", "3/", "-1", "settings.toml"):
        assert client.get(f"/report/{name}").status in (400, 404), name
    found = client.get("/api/versions").json()
    assert [row["report"] for row in found["versions"]] == [True, False, False, False]
    assert (found["writing"], found["report_problem"]) == (None, "")


def test_a_report_that_cannot_be_written_is_told(client: Client, page: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is being written another one has to wait; what its writer says is shown beside the versions."""
    script = "import sys, time; time.sleep(1); print('error: the disk is full', file=sys.stderr); sys.exit(7)"
    monkeypatch.setattr(page.site.reporting, "_command", lambda *_: [sys.executable, "-c", script])
    assert client.post("/api/versions/9/report").status == 409
    assert client.post("/api/versions/3/report").json()["writing"] == 3
    assert client.post("/api/versions/2/report").problem == "the report of version 3 is being written. Wait for it."
    until(lambda: client.get("/api/versions").json()["writing"] is None)
    assert client.get("/api/versions").json()["report_problem"] == "the report of version 3 was not written: the disk is full"


@pytest.mark.slow
def test_a_report_is_written_and_read(client: Client, store: Store) -> None:
    """`edgecl report` as a child writes the page of a version, from where it is served."""
    assert client.post("/api/versions/3/report").status == 200
    until(lambda: client.get("/api/versions").json()["writing"] is None, 120.0)
    page = client.get("/report/3")
    assert (page.status, client.get("/api/versions").json()["report_problem"]) == (200, "")
    assert b"<h1>Version 3 " in page.data
    assert verify(store, deep=True) == []
