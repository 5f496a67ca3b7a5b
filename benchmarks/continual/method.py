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

    answer: Callable[[Pictures], Array]  # -> class numbers [n]
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


def run(method: Method, course: Course, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Learn the course and ask after each task; the figures of its row. A joint method yields once, for all tasks."""
    matrix: list[list[float]] = []
    curve: list[float] = []
    seconds: list[float] = []
    costs: list[int] = []
    kept_bytes = 0
    for learned, took_s in _timed(method.learn(course, settings)):
        seconds.append(took_s + learned.earlier_s)
        costs.append(learned.multiplications)
        kept_bytes = learned.kept_bytes
        done = len(course.tasks) - 1 if method.joint else len(curve)
        asked = course.asked.of(course.seen(done))
        predicted = learned.answer(asked)
        curve.append(float((predicted == asked.labels).mean()))
        matrix.append(right_by_task(predicted, asked.labels, course.tasks))
        print(
            f"  {method.name} order {course.order} after {len(course.seen(done))} classes: {curve[-1]:.4f}, {seconds[-1]:.1f} s", flush=True
        )
    whole = {"a_t": curve[-1]} if method.joint else summary(matrix, curve)
    return {
        **whole,
        "classes": len(course.classes),
        "pictures": len(course.asked.of(course.classes)),
        "bytes_per_class": kept_bytes / len(course.classes),
        "seconds_per_task": float(np.median(seconds)),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cost": costs[-1] / costs[0],
        "curve": curve,
        "matrix": matrix,
    }


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
