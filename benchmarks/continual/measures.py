"""What the columns mean, in one place. The matrix that a row keeps is enough to compute all of them again under other definitions.

R[i, j] is the accuracy on the pictures of task j right after task i, among all classes seen so far; A_i the accuracy on all pictures of the
tasks up to i, each picture counting the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgecl.evaluate import backward_transfer, forgetting

Array = np.ndarray[Any, Any]
T_95 = {1: 12.706, 2: 4.303}  # Student's t at 97.5 %, by degrees of freedom; there are three orders
DEFINITIONS = {
    "A_T": "accuracy on all pictures of all classes after the last task",
    "average": "average incremental accuracy: mean over the tasks i of A_i (Rebuffi 2017)",
    "forgetting": "mean over all tasks but the last of the best accuracy before the last task minus the last one (Chaudhry 2018)",
    "transfer": "backward transfer: mean over all tasks but the last of the last accuracy minus the one right after learning it (Lopez-Paz 2017)",
    "of joint rows": "average, forgetting and transfer of one model of all classes, asked among those seen so far: what more classes cost anybody",
    "gap": "A_T of the best joint row that was run minus A_T: means over the orders of both",
    "bytes/class": "what is kept between two tasks beside the model that serves, divided by the number of classes",
    "s/task": "median seconds of learning one task; peers' without looking at pictures, edgecl's and paper's with all of it",
    "MiB": "largest resident memory of the learning process; peers' with the pages of the tokens that it read",
    "cost": "multiplications of one answer after the last task over those after the first",
}


def right_by_task(predicted: Array, labels: Array, tasks: Sequence[Sequence[int]]) -> list[float]:
    """Accuracy on the pictures of each task, NaN where there are none."""
    right = predicted == labels
    parts = [right[np.isin(labels, classes)] for classes in tasks]
    return [float(part.mean()) if len(part) else float("nan") for part in parts]


def paired(ours: Mapping[str, float], theirs: Mapping[str, float]) -> tuple[float, float, int]:
    """Mean of ours minus theirs over the orders that both have, half its 95 % interval by Student's t (NaN below two orders), their number."""
    differences = np.array([ours[order] - theirs[order] for order in ours if order in theirs])
    n = len(differences)
    if n < 2:
        return float(differences.mean()) if n else float("nan"), float("nan"), n
    return float(differences.mean()), float(T_95[n - 1] * differences.std(ddof=1) / np.sqrt(n)), n


def summary(matrix: Sequence[Sequence[float]], curve: Sequence[float]) -> dict[str, float]:
    """The figures of one row from R `[t, t]` (NaN above the diagonal) and A `[t]`."""
    return {
        "a_t": curve[-1],
        "average": float(np.mean(curve)),
        "forgetting": forgetting(np.array(matrix, dtype=float)),
        "transfer": backward_transfer(np.array(matrix, dtype=float)),
    }
