"""Learning that is stopped from outside, the app that asks it to hold back, and a copy on another board."""

import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from edgecl.cli import main
from edgecl.runtime.latency import LatencyReport, latency_file, read_latency
from edgecl.store import Store
from edgecl.store.checkpoints import read_checkpoint
from edgecl.store.verify import verify
from tests.store.builders import snapshot

ROOT = Path(__file__).parents[2]
LEARN = ["learn", "--task", "more", "--epochs", "300", "--threads", "1"]


def test_sigterm_stops_a_learn_and_the_same_command_goes_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 130, a sentence that says how to go on, a whole store; the next run does only what is left."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'export'}"}
    process = subprocess.Popen([sys.executable, "-m", "edgecl", *LEARN], stderr=subprocess.PIPE, text=True, env=environment, cwd=place)
    assert process.stderr is not None
    said = process.stderr.readline()  # the first line of progress comes after a second of training
    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=120)[1]
    assert said.startswith("training: ")
    assert process.returncode == 130
    found = re.search(
        r"^stopped after (\d+) of (\d+) steps: SIGTERM. What was learned so far is kept. The same command goes on", rest, re.M
    )
    assert found, rest
    store = Store.open(place / "model")
    checkpoint = read_checkpoint(store.root)
    assert checkpoint is not None
    assert (checkpoint.steps, store.numbers(), store.current) == (int(found[1]), [0, 1], 1)
    assert verify(store, deep=True) == []
    assert main(LEARN) == 0
    assert f"goes on after {found[1]} steps of a learn that was interrupted" in capsys.readouterr().err
    assert (store.current, read_checkpoint(store.root)) == (2, None)
    assert main(["show"]) == 0
    assert f"while it was learned: goes on after {found[1]} steps of a learn that was interrupted" in capsys.readouterr().out


@pytest.mark.usefixtures("place")
def test_max_minutes_stop_resumably(capsys: pytest.CaptureFixture[str]) -> None:
    """130 without the word error; time is up before anything has begun here, so nothing is there but what was."""
    before = snapshot(Path("model"))
    assert main(["learn", "--task", "more", "--max-minutes", "0"]) == 130
    err = capsys.readouterr().err
    assert err == "stopped: the 0 minutes of --max-minutes are over. Nothing is lost. The same command goes on from there.\n"
    assert snapshot(Path("model")) == before


@pytest.mark.usefixtures("place")
def test_at_waits_for_the_time_without_holding_the_store(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how long it waits; a stop ends the waiting; the store is free meanwhile; and now means now."""
    from edgecl.guard import Guard

    waited: list[float] = []

    def wait(guard: Guard, seconds: float) -> None:
        waited.append(seconds)
        with Store.open(Path("model")).learning_lock():
            guard.stop("SIGTERM")
        guard.check()

    monkeypatch.setattr(Guard, "wait", wait)
    now = datetime.now()
    assert main(["learn", "--task", "more", "--at", f"{(now.hour + 2) % 24}:{now.minute:02d}"]) == 130
    assert 6900 < waited[0] <= 7200
    assert re.search(r"waits until \d\d:\d\d, in (119|120) minutes", capsys.readouterr().err)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("text", ["25:00", "2", "02:60", "٠٢:٠٠", "02:00:00"])
def test_what_is_no_time_of_the_day(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """2, and the value in the message."""
    assert main(["learn", "--task", "more", "--at", text]) == 2
    assert f"{text!r} is not a time of the day such as 02:00." in capsys.readouterr().err


def test_run_tells_its_latency_while_it_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a budget a learner can read it, and when the app ends it is gone; without one nothing is told."""
    told: list[object] = []
    close = LatencyReport.close

    def look(report: LatencyReport) -> None:
        told.append(read_latency(latency_file(place / "model"), place / "model"))
        close(report)

    monkeypatch.setattr(LatencyReport, "close", look)
    assert main(["run", "--source", "colours/red"]) == 0
    assert told == []
    assert main(["run", "--source", "colours/red", "--budget-ms", "0.01"]) == 0
    [latency] = told
    assert latency is not None
    assert latency.over_budget  # type: ignore[attr-defined]
    assert not latency_file(place / "model").exists()


def documented(word: str) -> str:
    """The command of README's section about copies that holds this word."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Power cuts, full disks, and a copy elsewhere")[2]
    return next(line.strip() for line in text.splitlines() if line.startswith("    ") and word in line)


def test_the_documented_backup_comes_back_whole(place: Path) -> None:
    """While a learn holds the store it waits; unpacked elsewhere every byte is there, and learning goes on."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'export'}", "PATH": f"{place}{os.pathsep}{os.environ['PATH']}"}
    (place / "edgecl").write_text(f'#!/bin/sh\nexec {sys.executable} -m edgecl "$@"\n')
    (place / "edgecl").chmod(0o755)
    store = Store.open(place / "model")
    with store.learning_lock():
        process = subprocess.Popen(["bash", "-c", documented("flock")], cwd=place)
        time.sleep(0.3)
        assert process.poll() is None
    assert process.wait(timeout=60) == 0
    other = place / "replacement"
    other.mkdir()
    (place / "backup.tar").rename(other / "backup.tar")
    done = subprocess.run(["bash", "-c", documented("tar -xf")], cwd=other, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "the store model is intact\n"), done.stderr
    kept = {path: content for path, content in snapshot(store.root).items() if not path.startswith("tmp/")}
    assert {path: content for path, content in snapshot(other / "model").items() if not path.startswith("tmp/")} == kept
    assert main(["learn", "--task", "more", "--epochs", "1", "--store", str(other / "model")]) == 0
