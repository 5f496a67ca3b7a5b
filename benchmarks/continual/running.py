"""Which runs are still to be done, which configuration is the chosen one, and each run in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grocery import check_frozen

from continual import rows
from continual.data import VIEWS, grocery
from continual.merged import TRAINING
from continual.method import Method, run
from continual.registry import EDGECL
from continual.scenarios import course_of
from continual.upper import ALPHA, BATCH, RANK, SMOOTHING, WARMUP, WEIGHT_DECAY
from edgecl.head import SHRINKAGE

SCRIPT = rows.HERE / "continual.py"
CHOICE_TASKS, TASKS = 3, 9
SHARED = {
    "views": VIEWS, "batch": BATCH, "rank": RANK, "alpha": ALPHA, "smoothing": SMOOTHING, "warmup": WARMUP, "weight_decay": WEIGHT_DECAY,
    "adapters": dict(TRAINING),
}  # fmt: skip


HEAD = {"shrinkage": SHRINKAGE, "covariance": "of every picture"}  # edgecl's own, as it is now


def key_of(method: Method, settings: Mapping[str, Any], **place: Any) -> dict[str, Any]:
    """What tells a run from all others; `place` is its split, order, seed, number of tasks and scenario.

    On test a row with edgecl's head is another one when that head is changed, so that both are compared with the same head. What such a row
    chose on val it keeps: its choices are of learning rates and epochs.
    """
    shared = SHARED | ({"head": HEAD} if method.edgecls_head and place.get("split") == "test" else {})
    return {"row": method.name, "configuration": rows.configuration_hash(method.name, settings, shared), **place}


def of_today(method: Method, known: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those of its rows on test, of any order and scenario, that a run of it would write now."""
    keys = {key_of(method, settings, split="test")["configuration"] for settings in method.choices}
    return [row for row in rows.find(known, row=method.name, split="test") if row["configuration"] in keys]


def choose(method: Method, work: Path, *, seed: int) -> None:
    """Run every configuration on val, order 0, tasks 1 to 3. With a single one there is nothing to choose."""
    if len(method.choices) > 1:
        _perform(method, method.choices, work, split="val", order=0, seed=seed, tasks=CHOICE_TASKS, scenario="")


def measure(method: Method, orders: Sequence[int], work: Path, *, seed: int) -> None:
    """Run the chosen configuration on test."""
    settings = chosen(method, rows.committed(), seed=seed)
    for order in orders:
        _perform(method, [settings], work, split="test", order=order, seed=seed, tasks=TASKS, scenario="")


def measure_scenario(method: Method, scenario: str, work: Path, *, seed: int) -> None:
    """Run what was chosen on the standard course on a scenario's test pictures; of edgecl only its frozen configuration."""
    settings = chosen(method, rows.committed(), seed=seed)
    if method is EDGECL:
        check_frozen()
    _perform(method, [settings], work, split="test", order=0, seed=seed, scenario=scenario)


def chosen(method: Method, known: list[dict[str, str]], *, seed: int) -> Mapping[str, Any]:
    """The configuration with the best A_T on val, the first of equal ones; `known` are the committed rows, and no others count."""
    if len(method.choices) == 1:
        return method.choices[0]
    best = []
    for place, settings in enumerate(method.choices):
        found = rows.find(known, **key_of(method, settings, split="val", order=0, seed=seed, tasks=CHOICE_TASKS))
        if not found:
            sys.exit(f"{method.name}: {settings} has no committed row; run --choose {method.name} and commit {rows.ROWS.name} first")
        best.append((-float(found[0]["a_t"]), place))
    return method.choices[min(best)[1]]


def unfinished(method: Method, choices: Sequence[Mapping[str, Any]], known: list[dict[str, str]], **place: Any) -> list[int]:
    """Numbers of those of `choices` that `known` has no row of."""
    return [i for i, one in enumerate(method.choices) if one in choices and not rows.find(known, **key_of(method, one, **place))]


def _perform(method: Method, choices: Sequence[Mapping[str, Any]], work: Path, **place: Any) -> None:
    """In a process of its own, so that its peak memory is only its own."""
    left = unfinished(method, choices, rows.read(), **place)
    if left:
        told = [method.name, json.dumps(place), *map(str, left)]
        done = subprocess.run([sys.executable, str(SCRIPT), "--work", str(work), "--one", *told])
        if done.returncode:
            sys.exit(f"{method.name} ended with exit code {done.returncode}")


def perform_here(method: Method, numbers: Sequence[int], work: Path, **place: Any) -> None:
    """Run some configurations and write each one's row when it is finished. A scenario says itself how many tasks it has."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    bench = grocery(work)
    for settings in (method.choices[number] for number in numbers):
        if place["scenario"]:
            course = course_of(place["scenario"], bench, seed=place["seed"])
        else:
            course = bench.course(place["order"], split=place["split"], tasks=place["tasks"], seed=place["seed"])
        figures = run(method, course, settings)
        rows.append({**key_of(method, settings, **place), "tasks": len(course.tasks), "settings": dict(settings), **figures})
