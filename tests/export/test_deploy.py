"""The files for a board say that they were not run on one, and name only commands and options that edgecl has."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from edgecl.cli import app
from edgecl.profile import load_jetpacks

FOLDER = Path(__file__).parents[2] / "export" / "deploy"
FILES = sorted(FOLDER.iterdir())


def test_there_is_one_of_each() -> None:
    """Two units, one Dockerfile per generation of JetPack that edgecl builds engines on."""
    assert [path.name for path in FILES] == ["Dockerfile.jetpack6", "Dockerfile.jetpack7", "edgecl-engine.service", "edgecl.service"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_says_that_it_was_not_run(path: Path) -> None:
    """In its first lines, where somebody who copies it sees it."""
    assert "Not run on hardware" in " ".join(path.read_text(encoding="utf-8").splitlines()[:3])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_its_commands_exist(path: Path) -> None:
    """Each edgecl command and each option of it."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    text = path.read_text(encoding="utf-8")
    lines = re.findall(r"^ExecStart=\S+/edgecl (.*)$", text, re.MULTILINE) + re.findall(r"/var/lib/edgecl edgecl (.*)$", text, re.MULTILINE)
    lines += re.findall(r'^CMD \["(\w+)"\]$', text, re.MULTILINE)
    assert lines
    for line in lines:
        name, *words = shlex.split(line)
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_the_indexes_are_the_profiles() -> None:
    """Where ONNX Runtime for a JetPack comes from stands in devices/, and a Dockerfile says the same."""
    for generation in "67":
        text = (FOLDER / f"Dockerfile.jetpack{generation}").read_text(encoding="utf-8")
        (index,) = re.findall(r"^ARG INDEX=(\S+)$", text, re.MULTILINE)
        assert index == [release for release in load_jetpacks() if release.jetpack.startswith(generation)][-1].index
