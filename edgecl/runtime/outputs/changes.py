"""From a stream of answers to the few that somebody should hear of: the answer of a camera changed, and stayed changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgecl.runtime.base import Prediction
from edgecl.runtime.decide import announced

FORMAT = "edgecl.change/1"


@dataclass(frozen=True)
class Change:
    """One `answer changed` event."""

    camera: str
    label: str | None  # None: what was announced before is no longer seen
    before: str | None  # what was announced last; None: nothing
    prediction: Prediction  # that made the change certain

    def to_json(self) -> dict[str, Any]:
        """Fields in the order of `edgecl.change/1`."""
        return {
            "format": FORMAT,
            "camera": self.camera,
            "time": self.prediction.time,
            "label": self.label,
            "class_id": None if self.label is None else self.prediction.class_id,
            "score": self.prediction.score,
            "unknown": self.prediction.unknown,
            "before": self.before,
            "index": self.prediction.index,
            "version": self.prediction.version,
        }


@dataclass
class _Seen:
    announced: str | None = None  # label
    candidate: str | None = None
    since_s: float = 0.0  # when the candidate came up


class Changes:
    """Tells `on_change` when a camera's answer has been another one for `hold_s` seconds without a break.

    Unknown and `_background` are never announced; when they follow something that was, the event has the label None.
    """

    def __init__(self, hold_s: float, on_change: Callable[[Change], None]) -> None:
        self._hold_s, self._on_change = hold_s, on_change
        self._cameras: dict[str, _Seen] = {}

    def add(self, camera: str, prediction: Prediction, now_s: float) -> None:
        """Take in an answer; `now_s` is monotonic."""
        seen = self._cameras.setdefault(camera, _Seen(since_s=now_s))
        label = prediction.label if announced(prediction) else None
        if label != seen.candidate:
            seen.candidate, seen.since_s = label, now_s
        if label != seen.announced and now_s - seen.since_s >= self._hold_s:
            change = Change(camera, label, seen.announced, prediction)
            seen.announced = label
            self._on_change(change)
