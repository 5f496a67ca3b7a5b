"""Progress of long work on stderr: a bar with the remaining time on a terminal, plain lines otherwise, JSON for programs."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 1.0  # a stage that is over sooner is not worth a line
PLAIN_INTERVAL_S = 5.0
JSON_INTERVAL_S = 0.25

Progress = Callable[[str, int, int], None]
"""`progress(stage, done, total)`; a stage ends when `done` reaches `total` or another stage begins."""


@contextmanager
def shown(*, as_json: bool = False) -> Iterator[Progress]:
    """A callback that shows how far the body has come; `as_json` as `edgecl.progress/1`."""
    if as_json:
        yield json_lines(_line)
    elif sys.stderr.isatty():
        with _bar() as progress:
            yield progress
    else:
        yield plain(_line)


def _line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        shown_stages = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in shown_stages:
                shown_stages[stage] = bars.add_task(stage, total=total)
            bars.update(shown_stages[stage], completed=done, total=total)

        yield progress


def plain(write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Progress:
    """A callback that writes nothing of a stage that is over soon, else a line at most every few seconds and one at its end."""
    stage_now, begun_s, written_s = "", 0.0, None

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal stage_now, begun_s, written_s
        now_s = clock()
        if stage != stage_now:
            stage_now, begun_s, written_s = stage, now_s, None
        if now_s - (begun_s + PATIENCE_S if written_s is None else written_s + PLAIN_INTERVAL_S) >= 0 or (written_s and done >= total):
            written_s = now_s
            write(f"{stage}: {done} of {total}{_left(done, total, now_s - begun_s)}")

    return progress


def json_lines(write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Progress:
    """A callback that writes each stage's beginning and end, and what lies between at most four times a second."""
    stage_now, begun_s, written_s = "", 0.0, 0.0

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal stage_now, begun_s, written_s
        now_s = clock()
        if stage == stage_now and done < total and now_s - written_s < JSON_INTERVAL_S:
            return
        if stage != stage_now:
            stage_now, begun_s = stage, now_s
        written_s = now_s
        passed_s = now_s - begun_s
        write(json.dumps({"format": "edgecl.progress/1", "stage": stage, "done": done, "total": total, "seconds": round(passed_s, 2)}))

    return progress


def _left(done: int, total: int, passed_s: float) -> str:
    if done <= 0 or done >= total:
        return ""
    left_s = passed_s * (total - done) / done
    return f", about {left_s:.0f} s left" if left_s < 90 else f", about {left_s / 60:.0f} min left"
