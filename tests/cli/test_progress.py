"""Progress for people who are not at a terminal."""

from edgecl.cli.progress import plain


def test_plain_lines_are_rare_and_say_what_is_left() -> None:
    """A line at the beginning of a stage, at its end, and in between at most one per five seconds, with the remaining time."""
    lines: list[str] = []
    now_s = 100.0
    progress = plain(lines.append, clock=lambda: now_s)
    for done in range(41):
        progress("training", done, 40)
        now_s += 0.5
    assert lines == [
        "training: 0 of 40",
        "training: 10 of 40, about 15 s left",
        "training: 20 of 40, about 10 s left",
        "training: 30 of 40, about 5 s left",
        "training: 40 of 40",
    ]


def test_a_stage_without_steps_and_a_long_one() -> None:
    """A total of 0 divides nothing, a new stage starts its own clock, and long times are minutes."""
    lines: list[str] = []
    now_s = 0.0
    progress = plain(lines.append, clock=lambda: now_s)
    progress("reading", 0, 0)
    progress("training", 0, 100)
    now_s = 6.0
    progress("training", 1, 100)
    assert lines == ["reading: 0 of 0", "training: 0 of 100", "training: 1 of 100, about 10 min left"]
