"""Whatever is handed in wrong: the promised exit code, a message that helps, and nothing changed."""

from pathlib import Path

import pytest

from tests.cli.bad.row import Bad
from tests.cli.bad.trying import ROWS, attempt


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input(row: Bad, place: Path) -> None:
    """The exit code is the one of the errors' tree, the last line says value, expectation and remedy, and no file has changed."""
    outcome = attempt(row, place)
    assert outcome.code == row.code, outcome.message
    last = outcome.message.splitlines()[-1]
    assert last.startswith("error: ")
    parts = row.says.split(" | ")
    assert len(parts) == 3
    assert [part for part in parts if not part or part not in last] == []
    assert outcome.changed == []


def test_the_table_is_large_and_has_no_row_twice() -> None:
    """At least 40 kinds of bad input over pictures, folders, weights, arguments, stores and bundles, and six of the exit codes."""
    assert len({row.name for row in ROWS}) == len(ROWS) >= 40
    assert {row.code for row in ROWS} == {2, 3, 4, 5, 6, 8}
