"""The README and the commands speak of the same things."""

import re
from pathlib import Path

import pytest

from edgecl.cli import COMMANDS
from edgecl.errors import EdgeclError

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `edgecl (\w+)`\n(.*?)(?=^#|\Z)", README, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("command", [command.__name__ for command in COMMANDS])
def test_each_command_has_a_section(command: str) -> None:
    """README.md has a section with text for each command."""
    assert SECTIONS.get(command, "").strip(), f"README.md has no section '### `edgecl {command}`' with text under it"


def test_no_section_is_about_a_command_that_does_not_exist() -> None:
    """A command that is removed leaves README.md, too."""
    assert set(SECTIONS) <= {command.__name__ for command in COMMANDS}


def test_each_exit_code_is_listed() -> None:
    """The table of exit codes in README.md has a row for each code that an error can give."""
    codes = {0}
    pending = [EdgeclError]
    while pending:
        kind = pending.pop()
        codes.add(kind.exit_code)
        pending += kind.__subclasses__()
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)} == codes


def test_each_command_says_what_it_does() -> None:
    """The first line of a command's help is a sentence, so that `edgecl --help` can be read."""
    assert [command.__name__ for command in COMMANDS if not (command.__doc__ or "").split("\n")[0].split(". ")[0].strip()] == []
