"""What takes minutes runs as an `edgecl` command of its own, with the lowest priority, so that the app's answers do not wait for it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

NICENESS = 19
OOM_SCORE = "800"  # when memory runs out, the kernel takes the child and not the app
_EDGECL = (sys.executable, "-m", "edgecl")


def learn_command(store: Path, task: Path, name: str, *, stage: bool) -> list[str]:
    """Learn a task folder."""
    command = [*_EDGECL, "learn", "--json", "--progress-json", f"--store={store}", f"--task={task}", f"--name={name}"]
    return [*command, *(["--stage"] if stage else [])]


def apply_command(store: Path, bundle: Path, *, stage: bool) -> list[str]:
    """Apply a bundle."""
    return [*_EDGECL, "apply", "--json", f"--store={store}", *(["--stage"] if stage else []), "--", str(bundle)]


def report_command(store: Path, number: int, out: Path) -> list[str]:
    """Write the report of a version."""
    return [*_EDGECL, "report", str(number), "--json", f"--store={store}", f"--out={out}"]


def start(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start the command with the lowest priority; its threads inherit it, for they come later. Ctrl-C at the app's terminal does not reach it."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
    )
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    with suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(OOM_SCORE)
    return process
