"""What a row of the table is: something that learns a course task by task, and can be asked after each."""

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from continual.data import Course, Pictures
from continual.measures import right_by_task, summary
from edgecl.architecture import linear_targets, target_shape

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Learned:
    """A model after one task."""

    answer: Callable[[Pictures], Array]  # -> class numbers [n]; of a joint method scores [n, c] of all classes, ascending
    kept_bytes: int  # between this task and the next, beside the model that serves
    multiplications: int  # of one answer
    earlier_s: float = 0.0  # seconds of work on this task that an earlier run has left behind


@dataclass(frozen=True)
class Method:
    """One row: how it learns, and the configurations that it may choose from on the validation split."""

    name: str
    title: str
    learn: Callable[[Course, Mapping[str, Any]], Iterator[Learned]]
    choices: Sequence[Mapping[str, Any]]  # at most 8
    orders: tuple[int, ...] = (0,)
    joint: bool = False  # learns everything at once, so there is neither a curve nor forgetting
    edgecls_head: bool = False  # fitted on what it learned, in all or some of its configurations


def run(method: Method, course: Course, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Learn the course and ask after each task; the figures of its row.

    A joint method yields once, for all tasks, and is asked among the classes that others have seen so far: what it loses from one task to the
    next is what any method loses because there are more classes to be told apart.
    """
    matrix: list[list[float]] = []
    curve: list[float] = []
    seconds: list[float] = []
    costs: list[int] = []
    kept_bytes = 0
    for learned, took_s in _timed(method.learn(course, settings)):
        seconds.append(took_s + learned.earlier_s)
        costs.append(learned.multiplications)
        kept_bytes = learned.kept_bytes
        for predicted, labels in _among_seen(learned, course) if method.joint else [_asked(learned, course, len(curve))]:
            curve.append(float((predicted == labels).mean()))
            known = course.tasks[: len(curve)]  # a later one may bring more pictures of classes that were seen
            matrix.append(right_by_task(predicted, labels, known) + [float("nan")] * (len(course.tasks) - len(known)))
        seen = len(course.seen(len(curve) - 1))
        print(f"  {method.name} order {course.order} after {seen} classes: {curve[-1]:.4f}, {seconds[-1]:.1f} s", flush=True)
    return {
        **summary(matrix, curve),
        "classes": len(course.classes),
        "pictures": len(course.asked.of(course.classes)),
        "bytes_per_class": kept_bytes / len(course.classes),
        "seconds_per_task": float(np.median(seconds)),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cost": costs[-1] / costs[0],
        "curve": curve,
        "matrix": matrix,
    }


def _asked(learned: Learned, course: Course, task: int) -> tuple[Array, Array]:
    """Answers and labels of the pictures of all classes seen so far."""
    asked = course.asked.of(course.seen(task))
    return learned.answer(asked), asked.labels


def _among_seen(learned: Learned, course: Course) -> Iterator[tuple[Array, Array]]:
    """The same after each task, of one model of all classes, which only those seen so far may answer."""
    asked, numbers = course.asked.of(course.classes), np.array(sorted(course.classes))
    scores = learned.answer(asked)
    for task in range(len(course.tasks)):
        rows, columns = (np.isin(what, course.seen(task)) for what in (asked.labels, numbers))
        yield numbers[columns][scores[rows][:, columns].argmax(axis=1)], asked.labels[rows]


def _timed(steps: Iterator[Learned]) -> Iterator[tuple[Learned, float]]:
    """Each step with the seconds that it took; what is done with it in between does not count."""
    while True:
        begun = time.perf_counter()
        learned = next(steps, None)
        if learned is None:
            return
        yield learned, time.perf_counter() - begun


def backbone_costs(course: Course, head: int) -> int:
    """Multiplications of the backbone's Linear layers for one picture, and of a head with `head` weights."""
    architecture = course.bench.architecture
    shapes = [target_shape(architecture, target) for target in linear_targets(architecture)]
    return architecture.tokens * sum(out * into for out, into in shapes) + head
