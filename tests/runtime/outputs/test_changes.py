"""When somebody hears that an answer changed."""

import json
from typing import Any

import pytest

from edgecl.manifest import BACKGROUND
from edgecl.runtime.base import Prediction
from edgecl.runtime.outputs.changes import Change, Changes

UNKNOWN = "?"


def told(answers: list[tuple[float, str]], hold_s: float = 1.0, camera: str = "bench") -> list[tuple[float, str | None, str | None]]:
    """(when, label, before) of each event that (when, label) brings about."""
    events: list[tuple[float, str | None, str | None]] = []
    now_s = 0.0
    changes = Changes(hold_s, lambda change: events.append((now_s, change.label, change.before)))
    for now_s, label in answers:
        changes.add(camera, prediction(label), now_s)
    return events


def prediction(label: str) -> Prediction:
    """An answer; `?` is unknown."""
    return Prediction("rtsp://host", 5, "2000-01-01T00:00:00+00:00", label, f"id-{label}", 0.9, label == UNKNOWN, ((label, 0.9),), 3, 7.0)


def test_an_answer_counts_when_it_has_lasted() -> None:
    """Once, and at the first frame after the time."""
    assert told([(0, "cola"), (0.5, "cola"), (1.0, "cola"), (1.5, "cola"), (9, "cola")]) == [(1.0, "cola", None)]


def test_a_flicker_is_not_told() -> None:
    """Another answer in between begins the time anew."""
    assert told([(0, "cola"), (0.9, "fanta"), (1.0, "cola"), (1.9, "cola")]) == []
    assert told([(0, "cola"), (0.9, "fanta"), (1.0, "cola"), (2.0, "cola")]) == [(2.0, "cola", None)]


def test_a_change_names_what_was_before() -> None:
    """Back and forth."""
    assert told([(0, "cola"), (1, "cola"), (2, "fanta"), (3, "fanta"), (4, "cola"), (5, "cola")]) == [
        (1, "cola", None),
        (3, "fanta", "cola"),
        (5, "cola", "fanta"),
    ]


@pytest.mark.parametrize("nothing", [UNKNOWN, BACKGROUND])
def test_what_is_never_announced_says_that_something_is_gone(nothing: str) -> None:
    """And nothing when nothing was there; afterwards the same thing counts anew."""
    assert told([(0, nothing), (5, nothing)]) == []
    assert told([(0, "cola"), (1, "cola"), (2, nothing), (3, nothing), (4, "cola"), (5, "cola")]) == [
        (1, "cola", None),
        (3, None, "cola"),
        (5, "cola", None),
    ]


def test_unknown_and_background_are_one_silence() -> None:
    """A change between them is none."""
    assert told([(0, "cola"), (1, "cola"), (2, UNKNOWN), (2.5, BACKGROUND), (3, UNKNOWN)]) == [(1, "cola", None), (3, None, "cola")]


def test_without_a_hold_every_change_counts() -> None:
    """At once."""
    assert told([(0, "cola"), (0.1, "fanta")], hold_s=0.0) == [(0, "cola", None), (0.1, "fanta", "cola")]


def test_cameras_do_not_mix() -> None:
    """Each has its own answer."""
    events: list[Change] = []
    changes = Changes(1.0, events.append)
    for now_s in (0.0, 1.0):
        changes.add("left", prediction("cola"), now_s)
        changes.add("right", prediction("fanta"), now_s)
    assert [(event.camera, event.label) for event in events] == [("left", "cola"), ("right", "fanta")]


def test_an_event_is_json() -> None:
    """What is gone has neither label nor class id; the rest is the frame's."""
    event: Any = json.loads(json.dumps(Change("bench", "cola", None, prediction("cola")).to_json(), allow_nan=False))
    assert event == {
        "format": "edgecl.change/1", "camera": "bench", "time": "2000-01-01T00:00:00+00:00", "label": "cola", "class_id": "id-cola",
        "score": 0.9, "unknown": False, "before": None, "index": 5, "version": 3,
    }  # fmt: skip
    gone = Change("bench", None, "cola", prediction(UNKNOWN)).to_json()
    assert (gone["label"], gone["class_id"], gone["unknown"], gone["before"]) == (None, None, True, "cola")
