"""The canary: pictures that travel with a version, and what its model must answer to them before it serves.

`canary.safetensors` holds `pictures` uint8 `[k, h, w, 3]` (input size, lossless), `logits` float32 `[k, capacity]` and `features`
float32 `[k, d]`, the reference answers. Used rows of the head are compared; free rows are only checked for being out of reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from edgecl.errors import StoreDamaged
from edgecl.layout import FREE_BIAS
from edgecl.runtime.decide import softmax
from edgecl.tensors import parsed_tensors

Array = NDArray[Any]
Precision = Literal["fp32", "fp16"]
CANARY_FILE = "canary.safetensors"
FREE_ROW_LIMIT = -9e3  # a free row's logit is FREE_BIAS = -1e4; anything above this limit could one day win
LOGIT_LIMIT = 1e-3  # fp32: largest logit difference, as a part of the spread
SOFTMAX_LIMIT = 5e-3  # fp16: largest probability difference
FEATURE_LIMITS = {"fp32": 1e-3, "fp16": 2e-2}  # largest feature difference, as a part of the features' spread
SMALLEST_SPREAD = 1.0  # logits: below it the limit is absolute, else one class alone (spread 0) could never pass

_FORM = {"pictures": (4, np.uint8), "logits": (2, np.float32), "features": (2, np.float32)}  # rank and dtype


class Answering(Protocol):
    """A `Predictor` that has a version loaded, or what one is made of."""

    def infer(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As of `Predictor`."""
        ...


@dataclass(frozen=True)
class Canary:
    """Pictures and their reference answers."""

    pictures: NDArray[np.uint8]  # [k, h, w, 3]
    logits: NDArray[np.float32]  # [k, capacity]
    features: NDArray[np.float32]  # [k, d]


@dataclass(frozen=True)
class SelfTest:
    """What a self-test found. The figures are infinite where the model's answer is not finite or has another shape."""

    passed: bool
    max_abs: float  # largest difference of a used logit
    relative: float  # max_abs as a part of the reference logits' spread, which counts as at least 1
    max_softmax: float  # largest difference of a probability
    top1_equal: bool  # the same best class, pictures whose reference margin is below the tolerance apart
    reason: str  # empty when passed


def write_canary(pictures: NDArray[np.uint8], logits: NDArray[np.float32], features: NDArray[np.float32]) -> bytes:
    """The bytes of `canary.safetensors`, a function of the arrays alone; k may be 0.

    Raises:
        ValueError: a dtype, a rank or a count differs from what the file holds.
    """
    arrays: dict[str, Array] = {"pictures": pictures, "logits": logits, "features": features}
    fault = _fault(arrays)
    if fault:
        raise ValueError(fault)
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def read_canary(path: Path) -> Canary:
    """Read what `write_canary` wrote.

    Raises:
        StoreDamaged: the file is missing, cut short, or holds something else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreDamaged(f"the canary {path} cannot be read ({error.strerror}). Run: edgecl verify --deep") from error
    return _parsed(content, str(path))


def widened_canary(content: bytes, capacity: int) -> bytes:
    """The canary file `content` for a head that has grown to `capacity` rows: the new rows are free.

    Raises:
        StoreDamaged: `content` is not a canary.
        ValueError: `capacity` is below the rows it has.
    """
    canary = _parsed(content, CANARY_FILE)
    count, rows = canary.logits.shape
    if capacity < rows:
        raise ValueError(f"a canary of {rows} rows cannot be widened to {capacity}")
    free = np.full((count, capacity - rows), FREE_BIAS, np.float32)
    return write_canary(canary.pictures, np.concatenate([canary.logits, free], axis=1), canary.features)


def _parsed(content: bytes, name: str) -> Canary:
    try:
        arrays = parsed_tensors(content)
    except ValueError as error:
        raise StoreDamaged(f"the canary {name} cannot be read ({error}). Run: edgecl verify --deep") from error
    fault = _fault(arrays)
    if fault:
        raise StoreDamaged(f"the canary {name} is not one: {fault}. Run: edgecl verify --deep")
    return Canary(arrays["pictures"], arrays["logits"], arrays["features"])


def self_test(predictor: Answering, folder: Path, rows: Sequence[int], *, precision: Precision = "fp32") -> SelfTest:
    """Put the canary of the version in `folder` through `predictor`, which has that version loaded already, and compare.

    Passes when every answer is finite, free rows stay below -9e3, the features agree, the best class is the same on every picture
    (unless its margin in the reference is below the tolerance), and the used logits agree: fp32 within 1e-3 of the spread, fp16 within
    5e-3 in probability. Without classes (no `rows`) the features decide; with classes a canary without pictures fails.

    Raises:
        StoreDamaged: the canary is missing or corrupt, or does not have all of `rows`.
    """
    canary = read_canary(folder / CANARY_FILE)
    capacity = canary.logits.shape[1]
    if any(not 0 <= row < capacity for row in rows):
        raise StoreDamaged(f"the canary in {folder} has {capacity} rows, but the version uses row {max(rows)}. Run: edgecl verify --deep")
    if rows and not len(canary.pictures):
        return _failed("the canary holds no picture, but the version has classes")
    # Without any canary picture one black picture still shows that the model runs.
    pictures = canary.pictures if len(canary.pictures) else np.zeros((1, *canary.pictures.shape[1:]), np.uint8)
    logits, features = predictor.infer(pictures)
    fault = _unusable(logits, features, canary, rows)
    if fault:
        return _failed(fault)
    if not len(canary.pictures):
        return SelfTest(True, 0.0, 0.0, 0.0, True, "")
    return _compare(logits, features, canary, rows, precision)


def _unusable(logits: Array, features: Array, canary: Canary, rows: Sequence[int]) -> str:
    """Why an answer need not be compared at all, or nothing."""
    if logits.shape[1:] != canary.logits.shape[1:] or features.shape[1:] != canary.features.shape[1:]:
        expected = [canary.logits.shape[1], canary.features.shape[1]]
        return f"the model answers with {[logits.shape[1], features.shape[1]]} logits and features per picture, the canary has {expected}"
    if not (np.isfinite(logits).all() and np.isfinite(features).all()):
        return "the model answers with values that are not finite"
    free = np.delete(logits, list(rows), axis=1)
    if free.size and free.max() >= FREE_ROW_LIMIT:
        return f"a free row of the head answers {free.max():.6g}, expected below {FREE_ROW_LIMIT:.0f}"
    return ""


def _compare(logits: Array, features: Array, canary: Canary, rows: Sequence[int], precision: Precision) -> SelfTest:
    max_abs = relative = max_softmax = 0.0
    top1_equal, faults = True, []
    if rows:
        used, reference = logits[:, list(rows)].astype(np.float64), canary.logits[:, list(rows)].astype(np.float64)
        spread = max(float(np.ptp(reference)), SMALLEST_SPREAD)
        max_abs = float(np.abs(used - reference).max())
        relative = max_abs / spread
        probabilities, expected = softmax(logits, rows), softmax(canary.logits, rows)
        max_softmax = float(np.abs(probabilities - expected).max())
        if precision == "fp32":
            top1_equal = _same_best(used, reference, LOGIT_LIMIT * spread)
            if relative > LOGIT_LIMIT:
                faults.append(f"logits differ by {relative:.2e} of their spread, allowed {LOGIT_LIMIT:.0e}")
        else:
            top1_equal = _same_best(probabilities, expected, SOFTMAX_LIMIT)
            if max_softmax > SOFTMAX_LIMIT:
                faults.append(f"probabilities differ by {max_softmax:.2e}, allowed {SOFTMAX_LIMIT:.0e}")
    if not top1_equal:
        faults.append("a picture gets another class than in the reference")
    difference = float(np.abs(features - canary.features).max()) / max(float(np.ptp(canary.features)), 1e-6)
    if difference > FEATURE_LIMITS[precision]:
        faults.append(f"features differ by {difference:.2e} of their spread, allowed {FEATURE_LIMITS[precision]:.0e}")
    return SelfTest(not faults, max_abs, relative, max_softmax, top1_equal, "; ".join(faults))


def _same_best(scores: Array, reference: Array, tolerance: float) -> bool:
    """`[k, c]` twice: the same column wins in each row; a row whose two best reference scores lie closer than `tolerance` is let off."""
    if reference.shape[1] < 2:
        return True
    best_two = np.sort(reference, axis=1)[:, -2:]
    decided = best_two[:, 1] - best_two[:, 0] >= tolerance
    return bool((scores.argmax(axis=1) == reference.argmax(axis=1))[decided].all())


def _failed(reason: str) -> SelfTest:
    return SelfTest(False, float("inf"), float("inf"), float("inf"), False, reason)


def _fault(arrays: dict[str, Array]) -> str:
    """What keeps `arrays` from being a canary, or nothing."""
    if set(arrays) != set(_FORM):
        return f"it has the arrays {sorted(arrays)}, expected {sorted(_FORM)}"
    for name, (rank, dtype) in _FORM.items():
        if arrays[name].ndim != rank or arrays[name].dtype != dtype:
            return f"{name} is {arrays[name].dtype} of rank {arrays[name].ndim}, expected {np.dtype(dtype)} of rank {rank}"
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        return f"its arrays have different counts: {counts}"
    if not (np.isfinite(arrays["logits"]).all() and np.isfinite(arrays["features"]).all()):
        return "a reference answer is not finite"
    return ""
