"""The history on the page."""

import pytest

from edgecl.store import Store
from edgecl.web.versions import report_files
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
    """Its page and files come with a policy under which nothing in it runs; a link, or a file beside it, is not one of its files."""
    folder = store.folder(3) / "report"
    (folder / "charts").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>fine</h1>", encoding="utf-8")
    (folder / "charts" / "one.svg").write_text("<svg/>", encoding="utf-8")
    (folder / "settings").symlink_to(store.root / "settings.toml")
    assert sorted(report_files(store, 3)) == ["charts/one.svg", "index.html"]
    page = client.get("/report/3/index.html")
    assert (page.status, page.data) == (200, b"<h1>fine</h1>")
    assert page.headers["content-security-policy"].endswith("; sandbox")
    assert client.get("/report/3/charts/one.svg").headers["content-type"] == "image/svg+xml"
    for name in ("settings", "../manifest.json", "%2e%2e/manifest.json", "..%2fmanifest.json", "charts", "", "/etc/passwd"):
        assert client.get(f"/report/3/{name}").status in (400, 404), name
    assert client.get("/report/2/index.html").problem.endswith("Write one with: edgecl report")
    rows = client.get("/api/versions").json()["versions"]
    assert [row["report"] for row in rows] == [True, False, False, False]
