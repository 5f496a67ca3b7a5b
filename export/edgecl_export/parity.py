"""Do two forms of one model answer alike? The figures, and the limits that an export must keep. Pure numpy.

Figures are taken over used rows of the head: a free row's -1e4 would make every spread ten thousand wide and every difference small.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import ParityFailed
from edgecl.runtime.decide import softmax

Array = NDArray[Any]
LOGIT_LIMIT = 1e-4  # fp32: largest logit difference, as a part of the reference's spread
SOFTMAX_LIMIT = 5e-3  # fp16: largest difference of a probability
FREE_ROW_LIMIT = -9e3  # a free row answers -1e4


@dataclass(frozen=True)
class Parity:
    """How far one form of a model is from its reference. Infinite where an answer is not finite."""

    n: int  # pictures
    max_abs: float  # largest difference of a used logit
    spread: float  # largest minus smallest used logit of the reference, over all pictures
    relative: float  # max_abs as a part of the spread; without a spread (one class, one picture) max_abs itself
    top1_equal: bool  # the same best class on every picture whose margin in the reference is not below LOGIT_LIMIT of the spread
    max_softmax: float  # largest difference of a probability over the used rows
    free_rows_ok: bool  # every other row is finite and below -9e3 in both

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)


def compare(reference: Array, other: Array, rows: Sequence[int]) -> Parity:
    """Compare the logits `[n, c]` of two forms of one model on the same `n` pictures; `rows` are the used rows of the head.

    Without used rows, or without pictures, nothing differs; only the free rows are looked at. One used row has no best class to lose,
    and its probability is always 1: its logits decide.

    Raises:
        ParityFailed: the two do not have the same shape.
    """
    if reference.ndim != 2 or reference.shape != other.shape:
        raise ParityFailed(
            f"the two forms answer with {list(reference.shape)} and {list(other.shape)} logits, expected [pictures, rows] twice the same. "
            "The graph belongs to another capacity: export again."
        )
    rows = sorted(rows)
    free_rows_ok = _free_rows_ok(reference, rows) and _free_rows_ok(other, rows)
    used, expected = other[:, rows].astype(np.float64), reference[:, rows].astype(np.float64)
    if not used.size:
        return Parity(len(reference), 0.0, 0.0, 0.0, True, 0.0, free_rows_ok)
    if not (np.isfinite(used).all() and np.isfinite(expected).all()):
        return Parity(len(reference), np.inf, np.inf, np.inf, False, np.inf, free_rows_ok)
    spread = float(np.ptp(expected))
    scale = spread if len(rows) > 1 and spread > 0 else max(spread, 1.0)
    max_abs = float(np.abs(used - expected).max())
    max_softmax = float(np.abs(softmax(other, rows) - softmax(reference, rows)).max())
    top1_equal = same_best(expected, used, LOGIT_LIMIT * scale)
    return Parity(len(reference), max_abs, spread, max_abs / scale, top1_equal, max_softmax, free_rows_ok)


def check(parity: Parity, *, precision: Literal["fp32", "fp16"], hop: str) -> None:
    """Refuse a hop, named as in `torch -> ONNX Runtime`, that is over its precision's limit.

    Raises:
        ParityFailed: all faults at once, each with the measured value and the limit.
    """
    faults = []
    if not parity.n:
        faults.append("there was no picture to compare on")
    # Written so that a NaN would fail as well.
    if precision == "fp32" and not parity.relative <= LOGIT_LIMIT:
        faults.append(f"logits differ by {parity.relative:.2e} of their spread, allowed {LOGIT_LIMIT:.0e}")
    if precision == "fp32" and not parity.top1_equal:
        faults.append("a picture gets another best class, allowed none")
    if precision == "fp16" and not parity.max_softmax <= SOFTMAX_LIMIT:
        faults.append(f"probabilities differ by {parity.max_softmax:.2e}, allowed {SOFTMAX_LIMIT:.0e}")
    if not parity.free_rows_ok:
        faults.append(f"a free row of the head is not finite or not below {FREE_ROW_LIMIT:.0f}")
    if faults:
        raise ParityFailed(f"{hop} ({precision}, {parity.n} pictures): {'; '.join(faults)}. Nothing was exported. {_remedy(precision)}")


def _remedy(precision: str) -> str:
    if precision == "fp16":
        return "Export with --precision fp32, or look for a damaged file with: edgecl verify --deep"
    return "Try another --opset or another version of onnxruntime, and look for a damaged file with: edgecl verify --deep"


def _free_rows_ok(logits: Array, rows: list[int]) -> bool:
    free = np.delete(logits, rows, axis=1)
    return bool(np.isfinite(free).all() and (free < FREE_ROW_LIMIT).all())


def same_best(reference: Array, other: Array, tolerance: float) -> bool:
    """`[n, c]` twice: the same column wins in each row; a row whose two best references lie closer than `tolerance` is let off."""
    if reference.shape[1] < 2:
        return True
    best_two = np.sort(reference, axis=1)[:, -2:]
    decided = best_two[:, 1] - best_two[:, 0] >= tolerance
    return bool((reference.argmax(axis=1) == other.argmax(axis=1))[decided].all())
