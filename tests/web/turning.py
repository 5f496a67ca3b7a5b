"""A camera that a test turns: an MJPEG stream of pictures of whatever it points at, and the real app in front of it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgecl.preprocess import encode_jpeg
from tests.runtime.servers import MjpegServer

WIDTH, HEIGHT, FPS = 640, 480, 15.0
EACH = 10  # frames of one picture, while the hand that holds the camera moves


class TurnedCamera:
    """What it points at can be changed at any time; it serves http://.../video.

    Args:
        pictures: name -> pictures `[h, w, 3]` of that thing.
    """

    def __init__(self, pictures: Mapping[str, Sequence[NDArray[np.uint8]]], at: str) -> None:
        self._pictures = pictures
        self.at = at
        self.server = MjpegServer(self._frame, fps=FPS)
        self.url = f"{self.server.url}/video"

    def _frame(self, index: int) -> bytes:
        pictures = self._pictures[self.at]
        image = Image.fromarray(pictures[index // EACH % len(pictures)])
        w, h = image.size
        near = 0.8 + 0.2 * abs(1 - 2 * (index % EACH) / EACH)  # part of the picture that is to be seen
        cut_w, cut_h = min(w, h * WIDTH / HEIGHT) * near, min(h, w * HEIGHT / WIDTH) * near
        left, upper = (w - cut_w) * (index % EACH) / EACH, (h - cut_h) / 2
        box = (left, upper, left + cut_w, upper + cut_h)
        return encode_jpeg(np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box)), quality=90)

    def __enter__(self) -> "TurnedCamera":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()


@contextmanager
def running_app(store: Path, source: str, *options: str) -> Iterator[str]:
    """`edgecl run --page` as a process of its own, as somebody would start it; the page's address. Ended with SIGTERM, exit code 0."""
    command = [sys.executable, "-m", "edgecl", "run", "--store", str(store), "--source", source, "--page", "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    log = store.parent / "app.log"
    with log.open("w") as written:
        app = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert app.stderr is not None
        try:
            for line in app.stderr:
                written.write(line)
                found = re.fullmatch(r"page: (http\S+)\n", line)
                if found:
                    break
            else:
                raise AssertionError(f"the app ended with {app.wait()}: {log.read_text()}")
            yield found.group(1)
        finally:
            app.terminate()
            rest = app.communicate(timeout=60)[1]
            written.write(rest)
    assert (app.returncode, "Traceback" in log.read_text()) == (0, False), log.read_text()
