"""SIGKILL in front of any operation. The 200 kills are benchmarks/sigkill.py, which runs here with a few."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def killed(kills: int, seed: int) -> str:
    """What the benchmark prints; a process of its own, for forks must come before threads."""
    command = [sys.executable, str(ROOT / "benchmarks" / "sigkill.py"), "--kills", str(kills), "--committing", "2", "--seed", str(seed)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'export'}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(said: str, kills: int) -> None:
    """Nothing broken, nothing lost, nothing different."""
    assert re.search(rf"kills: {kills}, of them inside commit: [1-9]", said) or kills < 5
    assert "broken stores: 0, lost versions: 0, results that differ: 0" in said


def test_a_killed_command_can_be_given_again() -> None:
    """A few moments of learn, rollback, forget and gc."""
    check(killed(3, seed=1), 3)


@pytest.mark.slow
def test_many_killed_commands_can_be_given_again() -> None:
    """Forty moments."""
    check(killed(40, seed=2), 40)
