"""The camera app's loop: frame -> input -> logits -> answer, until the source ends."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from edgecl.errors import BadInput
from edgecl.manifest import Manifest
from edgecl.preprocess import Geometry, UnreadablePicture, to_input
from edgecl.runtime.base import Camera, Frame, Prediction, Predictor
from edgecl.runtime.decide import Smoother, decide

LATENCIES = 10_000  # frames over which the percentiles are taken, the last ones; a camera runs for months


@dataclass(frozen=True)
class RunSummary:
    """What a run came to."""

    frames: int  # read from the source: answered + skipped
    answered: int
    skipped: int  # could not be decoded
    latency_p50_ms: float | None  # of preprocess, inference and decision; None without an answer
    latency_p95_ms: float | None


def run(
    camera: Camera,
    predictor: Predictor,
    manifest: Manifest,
    geometry: Geometry,
    *,
    on_prediction: Callable[[Prediction], None],
    on_skip: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
    smoother: Smoother | None = None,
) -> RunSummary:
    """Answer each frame of `camera` with `predictor`, which has the version of `manifest` loaded. Closes neither.

    A frame that cannot be decoded is handed to `on_skip` as a sentence, and the run goes on. `stop` is asked before each frame.

    Raises:
        BadInput: the source ended and not one of its frames could be decoded.
    """
    latencies: deque[float] = deque(maxlen=LATENCIES)
    answered = skipped = 0
    last_fault: UnreadablePicture | None = None
    while not (stop and stop()):
        try:
            frame = camera.read()
        except UnreadablePicture as fault:
            last_fault, skipped = fault, skipped + 1
            if on_skip:
                on_skip(str(fault))
            continue
        if frame is None:
            if last_fault is not None and not answered:
                raise BadInput(f"the source holds no picture that can be read ({skipped} tried); the last: {last_fault}") from last_fault
            break
        prediction = answer(frame, predictor, manifest, geometry, smoother=smoother)
        latencies.append(prediction.latency_ms)
        answered += 1
        on_prediction(prediction)
    p50, p95 = map(float, np.percentile(latencies, (50, 95))) if latencies else (None, None)
    return RunSummary(answered + skipped, answered, skipped, p50, p95)


def answer(frame: Frame, predictor: Predictor, manifest: Manifest, geometry: Geometry, *, smoother: Smoother | None = None) -> Prediction:
    """One frame's prediction; `latency_ms` runs from the decoded frame to the decision."""
    start = perf_counter()
    logits, _ = predictor.infer(to_input(frame.rgb, geometry)[np.newaxis])
    prediction = decide(
        logits[0], manifest, source=frame.source, index=frame.index, time=frame.wall_time, latency_ms=0.0, smoother=smoother
    )
    return replace(prediction, latency_ms=(perf_counter() - start) * 1000)
