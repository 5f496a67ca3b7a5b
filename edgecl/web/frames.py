"""The frames that viewers were shown: each encoded once, and kept for a while, so that a tap can speak of the very frame it was made on."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import UsageError
from edgecl.preprocess import encode_jpeg, shrink
from edgecl.runtime.base import Frame, Prediction

VIEW_SHORT = 480  # pixels of the short side that a viewer gets
VIEW_QUALITY = 80
REMEMBERED = 90  # frames of each camera: some seconds of a page that looks 15 times a second


@dataclass(frozen=True)
class Seen:
    """One frame as somebody saw it."""

    rgb: NDArray[np.uint8]  # [h, w, 3], as small as learning keeps it
    captured: datetime
    prediction: Prediction


class Frames:
    """What viewers of the cameras were shown lately.

    Args:
        keep_short: short side in pixels at which frames are remembered, the same as that of kept pictures.
    """

    def __init__(self, keep_short: int) -> None:
        self._keep_short = keep_short
        self._lock = threading.Lock()
        self._seen: dict[str, OrderedDict[int, Seen]] = {}
        self._encoded: dict[str, tuple[int, bytes]] = {}  # the newest of each camera: several viewers want the same

    def jpeg(self, camera: str, frame: Frame, prediction: Prediction) -> bytes:
        """The frame for a viewer; it is remembered."""
        with self._lock:
            index, data = self._encoded.get(camera, (-1, b""))
            if index != frame.index:
                data = encode_jpeg(shrink(frame.rgb, VIEW_SHORT), VIEW_QUALITY)
                self._encoded[camera] = (frame.index, data)
                seen = self._seen.setdefault(camera, OrderedDict())
                seen[frame.index] = Seen(shrink(frame.rgb, self._keep_short), datetime.fromisoformat(frame.wall_time), prediction)
                seen.move_to_end(frame.index)
                while len(seen) > REMEMBERED:
                    seen.popitem(last=False)
        return data

    def recall(self, camera: str, index: int) -> Seen:
        """A frame that was shown.

        Raises:
            UsageError: it never was, or too long ago.
        """
        with self._lock:
            found = self._seen.get(camera, OrderedDict[int, Seen]()).get(index)
        if found is None:
            raise UsageError(f"frame {index} of this camera was not shown lately. Look at the live picture and try again.")
        return found
