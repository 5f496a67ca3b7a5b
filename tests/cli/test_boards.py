"""`edgecl devices` and `edgecl doctor` on any machine."""

import json
from pathlib import Path

import pytest

from edgecl.cli import main
from edgecl.profile import profile_names

BOARDS = Path(__file__).parents[1] / "boards"


def test_devices_lists_every_board(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, the one that this machine is taken for marked."""
    assert main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-2]] == list(profile_names())
    assert sum("(here)" in line for line in lines) == 1


def test_devices_tells_one_board_with_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    """Each value, whether it was verified, and where it comes from."""
    assert main(["devices", "orin-nano-4"]) == 0
    out = capsys.readouterr().out
    assert "modules: p3767-0004" in out
    (line,) = [line for line in out.splitlines() if line.startswith("engine_workspace_mib")]
    assert line.split()[1:5] == ["512", "unverified", "a", "choice"]


def test_devices_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object with every profile."""
    assert main(["devices", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["format"] == "edgecl.devices/1"
    assert answer["this"] in profile_names()
    assert [device["name"] for device in answer["devices"]] == list(profile_names())
    assert answer["devices"][0]["sources"]["opset"]


@pytest.mark.parametrize("board", sorted(path.name for path in BOARDS.iterdir() if path.is_dir()))
def test_doctor_on_recorded_files(board: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Says which board and JetPack it is and prints lines to type."""
    assert main(["doctor", "--root", str(BOARDS / board)]) == 0
    out = capsys.readouterr().out
    assert f"JetPack {board.rpartition('-')[2]} " in out.splitlines()[0]
    assert "             pip install " in out
    assert out.splitlines()[-1] == "the board's Python is not at hand: the lines are those for a board on which nothing is installed yet"


@pytest.mark.slow  # imports PyTorch in a child process
def test_doctor_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With or without a GPU: exit code 0, one JSON object, every finding with a level."""
    assert main(["doctor", "--json", "--store", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {finding["level"] for finding in answer["findings"]} <= {"ok", "note", "missing", "wrong"}
    assert {"board", "torch", "onnxruntime", "opencv", "store"} <= {finding["topic"] for finding in answer["findings"]}
    assert answer["ready"]["run"] is True
