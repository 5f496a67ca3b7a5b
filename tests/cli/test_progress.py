"""Progress for people who are not at a terminal."""

import json

from edgecl.cli.progress import json_lines, plain


def test_plain_lines_are_rare_and_say_what_is_left() -> None:
    """A line after the first second, then at most one per five seconds with the remaining time, and one at the end."""
    lines: list[str] = []
    now_s = 100.0
    progress = plain(lines.append, clock=lambda: now_s)
    for done in range(31):
        progress("training", done, 30)
        now_s += 0.5
    assert lines == [
        "training: 2 of 30, about 14 s left",
        "training: 12 of 30, about 9 s left",
        "training: 22 of 30, about 4 s left",
        "training: 30 of 30",
    ]


def test_a_short_stage_is_silent_and_a_long_one_speaks_of_minutes() -> None:
    """A stage that is over within a second writes nothing, a new stage starts its own clock, and a total of 0 divides nothing."""
    lines: list[str] = []
    now_s = 0.0
    progress = plain(lines.append, clock=lambda: now_s)
    progress("reading", 0, 2)
    progress("reading", 2, 2)
    now_s = 6.0
    progress("waiting", 0, 0)
    progress("training", 0, 100)
    now_s = 12.0
    progress("training", 1, 100)
    assert lines == ["training: 1 of 100, about 10 min left"]


def test_json_lines_tell_a_program_each_stage() -> None:
    """Each stage's first and last step is told at once, what lies between at most four times a second, and seconds begin anew with a stage."""
    lines: list[str] = []
    now_s = 50.0
    progress = json_lines(lines.append, clock=lambda: now_s)
    for stage in ("reading pictures", "training"):
        for done in range(11):
            progress(stage, done, 10)
            now_s += 0.1
    said = [json.loads(line) for line in lines]
    assert said[1] == {"format": "edgecl.progress/1", "stage": "reading pictures", "done": 3, "total": 10, "seconds": 0.3}
    told = [(each["stage"][0], each["done"]) for each in said]
    assert told == [*(("r", done) for done in (0, 3, 6, 9, 10)), *(("t", done) for done in (0, 3, 6, 9, 10))]
    assert (said[5]["seconds"], said[-1]["seconds"]) == (0.0, 1.0)
