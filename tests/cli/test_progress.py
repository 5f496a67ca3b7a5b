"""Progress for people who are not at a terminal."""

from edgecl.cli.progress import plain


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
