"""Collecting pictures through the page."""

import numpy as np
import pytest

from edgecl.preprocess import capture_time, decode, encode_jpeg
from edgecl.runtime.fake import FakeLiveView
from edgecl.store import Store
from edgecl.web.server import Listening, PageServer
from tests.runtime.waiting import until
from tests.web.client import Client, frame, jpeg, prediction


def shown(client: Client, view: FakeLiveView, index: int) -> dict[str, int]:
    """Let a viewer see frame `index`; returns what names it."""
    view.show("bench", frame(index), prediction(index))
    assert client.get("/api/cameras/0/frame").status == 200
    return {"camera": 0, "index": index}


def test_the_frame_that_was_seen_is_kept(client: Client, view: FakeLiveView, store: Store) -> None:
    """A collected picture is the frame that was on the screen, not the newest one, with the time at which it was taken."""
    seen = shown(client, view, 1)
    shown(client, view, 2)
    found = client.post("/api/inbox/tea/frames", seen).json()
    assert found == {
        "format": "edgecl.collected/1", "class": "tea", "kept": True, "reason": "", "picture": found["picture"], "pictures": 1,
    }  # fmt: skip
    kept = client.get(f"/api/inbox/tea/pictures/{found['picture']}")
    assert kept.headers["content-type"] == "image/jpeg"
    assert capture_time(kept.data) is not None
    assert decode(kept.data).shape[0] == 37  # 1.15 x the model's 32
    listed = client.get("/api/inbox").json()["classes"]
    assert listed == [{"name": "tea", "known": False, "pictures": [found["picture"]]}]
    assert client.post("/api/inbox/tea/frames", {"camera": 0, "index": 77}).status == 409


def test_what_shows_nothing_is_left_out_with_its_reason(client: Client, view: FakeLiveView) -> None:
    """A double and a dark frame are not kept; the count stays."""
    seen = shown(client, view, 1)
    client.post("/api/inbox/tea/frames", seen)
    again = client.post("/api/inbox/tea/frames", seen).json()
    assert (again["kept"], again["reason"], again["pictures"]) == (False, "too much like one that is there", 1)
    view.show("bench", type(frame(2))(frame(2).rgb // 16, 0, frame(2).wall_time, "bench", 2), prediction(2))
    client.get("/api/cameras/0/frame")
    dark = client.post("/api/inbox/tea/frames", {"camera": 0, "index": 2}).json()
    assert (dark["kept"], dark["reason"], dark["pictures"]) == (False, "too dark", 1)


def test_a_correction_is_kept_as_it_is(client: Client, view: FakeLiveView) -> None:
    """A frame that was answered wrongly is kept for the class that was tapped, also a dark one, and one much like it."""
    view.show("bench", type(frame(2))(frame(2).rgb // 16, 0, frame(2).wall_time, "bench", 2), prediction(2))
    client.get("/api/cameras/0/frame")
    found = client.post("/api/inbox/green/frames", {"camera": 0, "index": 2, "correction": True}).json()
    assert (found["kept"], found["class"]) == (True, "green")
    view.show("bench", type(frame(3))(frame(2).rgb // 16 + 1, 0, frame(3).wall_time, "bench", 3), prediction(3))
    client.get("/api/cameras/0/frame")
    again = client.post("/api/inbox/green/frames", {"camera": 0, "index": 3, "correction": True}).json()
    assert (again["kept"], again["pictures"]) == (True, 2)


def test_a_known_class_keeps_its_spelling(client: Client, view: FakeLiveView) -> None:
    """Whatever the case that a thumb typed: a class of the model or of the inbox is meant, and learned as more of it."""
    names = []
    for index, name in enumerate(("RED", "Tea", "tEA"), start=1):
        names.append(client.post(f"/api/inbox/{name}/frames", shown(client, view, index)).json()["class"])
    assert names == ["red", "Tea", "Tea"]
    assert [(each["name"], each["known"]) for each in client.get("/api/inbox").json()["classes"]] == [("Tea", False), ("red", True)]


def test_a_picture_from_elsewhere(client: Client) -> None:
    """A file of a phone is kept as small as a frame; one in which nothing can be seen is left out, one that is no picture refused."""
    large = encode_jpeg(np.random.default_rng(5).integers(0, 256, (400, 300, 3), dtype=np.uint8))
    found = client.post("/api/inbox/tea/pictures", large).json()
    assert found["kept"]
    assert decode(client.get(f"/api/inbox/tea/pictures/{found['picture']}").data).shape == (49, 37, 3)
    grey = encode_jpeg(np.full((100, 100, 3), 128, np.uint8))
    assert client.post("/api/inbox/tea/pictures", grey).json()["reason"] == "blurred"
    refused = client.post("/api/inbox/tea/pictures", b"no picture")
    assert (refused.status, refused.problem) == (422, "not a picture (jpg, png, webp or bmp)")


def test_pictures_and_classes_are_removed(client: Client) -> None:
    """Each removal answers with what is left; a second one finds nothing."""
    first = client.post("/api/inbox/tea/pictures", jpeg(1)).json()["picture"]
    client.post("/api/inbox/tea/pictures", jpeg(2))
    left = client.delete(f"/api/inbox/tea/pictures/{first}").json()
    assert [len(each["pictures"]) for each in left["classes"]] == [1]
    assert client.delete(f"/api/inbox/tea/pictures/{first}").status == 404
    assert client.delete("/api/inbox/tea").json()["classes"] == []
    assert client.delete("/api/inbox/tea").status == 404


def test_a_bundle_is_handed_to_the_app(client: Client, page: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another camera is applied like a learn, of its own type only."""
    monkeypatch.setattr(page.site.learning, "_apply", lambda root, path, stage: ["test", str(stage), "=", "True", "-a", "-s", str(path)])
    assert client.post("/api/bundles", b"packed").status == 415
    found = client.post("/api/bundles?stage=1", b"packed", kind="application/octet-stream")
    assert (found.status, found.json()["format"]) == (200, "edgecl.learning/1")
    until(lambda: client.get("/api/learning").json()["state"] == "failed")  # `test` says nothing, and that is no answer
    assert client.get("/api/learning").json()["problem"] == "the learner ended with 0: it said nothing"


def test_an_empty_inbox_is_nothing_to_learn(client: Client) -> None:
    """The answer says what to do first."""
    found = client.post("/api/learning", {})
    assert (found.status, found.problem.split(".")[0]) == (422, "no picture waits in the inbox")


def test_without_the_learn_extra_nothing_is_taught(store: Store, view: FakeLiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status says why and which line changes it, and a learn is refused the same way; the rest of the page works."""
    monkeypatch.setattr("edgecl.web.learning.find_spec", lambda name: None if name == "torch" else object())
    with PageServer(store, view, Listening()) as server:
        client = Client(server)
        reason = client.get("/api/status").json()["teach"]
        client.post("/api/inbox/tea/pictures", jpeg(1))
        refused = client.post("/api/learning", {})
    line = "Teaching needs the package 'torch', which is not installed. Install it with: pip install 'edgecl[learn]'"
    assert reason == {"possible": False, "reason": line}
    assert (refused.status, refused.problem) == (501, line)
