"""How the Grocery benchmark reads what a learn tells about itself."""

import json

import pytest
from grocery import training_seconds

from edgecl.cli.progress import json_lines


def test_seconds_of_training_are_its_last_line_s() -> None:
    """Stages before and after it do not count, nor does what else is written to stderr; without the stage it took no time."""
    lines, now = ["warning: a picture was left out"], iter([0.0, 5.0, 10.0, 30.0, 52.5, 60.0, 69.0])
    tell = json_lines(lines.append, clock=lambda: next(now))
    for stage, done, total in (("looking at pictures", 1, 2), ("looking at pictures", 2, 2), *[("training", i, 3) for i in (1, 2, 3)]):
        tell(stage, done, total)
    tell("choosing the coefficient", 0, 1)
    tell("choosing the coefficient", 1, 1)
    assert json.loads(lines[-1])["seconds"] == 9.0
    assert training_seconds("\n".join(lines)) == pytest.approx(42.5)
    assert training_seconds(lines[0]) == 0.0
