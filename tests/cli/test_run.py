"""`edgecl run` as a process: what it prints, how it stops, and what it never imports."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EDGECL = [sys.executable, "-m", "edgecl"]
ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """As the tests' own, with the sources of this tree."""
    paths = [str(ROOT), str(ROOT / "export"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def started(place: Path, *arguments: str) -> "subprocess.Popen[str]":
    """`edgecl run` in `place`."""
    command = [*EDGECL, "run", "--store", "model", "--threads", "1", *arguments]
    return subprocess.Popen(command, cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_stops_in_an_orderly_way(place: Path, number: int, code: int) -> None:
    """systemd's signal is an end as planned, Ctrl-C has its own exit code; both print the summary, and no start is held against the version."""
    process = started(place, "--source", "test://gear?size=48", "--json")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert (first["format"], first["source"]) == ("edgecl.prediction/1", "test://gear?size=48")
    assert all(json.loads(line)["version"] == 1 for line in out.splitlines())
    assert " answered, 0 left out" in err
    assert "starts" not in json.loads((place / "model" / "state.json").read_text())


def test_it_imports_no_torch(place: Path) -> None:
    """Nor timm nor onnx: a camera's installation has none of them. Cameras, log and changes are all in it."""
    script = """
import os, signal, sys, threading
threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
from edgecl.cli import main
code = main(["run", "--store", "model", "--source", "test://gear?size=48", "--source", "colours", "--log", "a.log", "--log-all", "--json"])
print(code, sorted({"torch", "timm", "onnx", "torchvision"} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=place, env=environment(), capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stderr.splitlines()[-1] == "0 []"
    assert {json.loads(line)["format"] for line in (place / "a.log").read_text().splitlines()} == {"edgecl.prediction/1"}


def test_a_person_sees_changes_of_a_camera(place: Path) -> None:
    """One line per change instead of one per frame, and the program hears of each."""
    script = "import sys; open('events', 'a').write(sys.stdin.read() + chr(10))"
    (place / "hear.py").write_text(script)
    process = started(place, "--source", "colours", "--loop", "--hold", "0", "--on-change", f"{sys.executable} hear.py")
    assert process.stdout is not None
    deadline_s = time.monotonic() + 60
    while not (place / "events").exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    event = json.loads((place / "events").read_text().splitlines()[0])
    assert (event["format"], event["camera"], event["before"]) == ("edgecl.change/1", "colours", None)
    assert f"  colours  {event['label']}  " in out.splitlines()[0]


def test_cameras_of_the_settings_run_by_themselves(place: Path) -> None:
    """With their names and their region."""
    with (place / "model" / "settings.toml").open("a") as file:
        file.write('\n[cameras.left]\nsource = "colours"\n[cameras.right]\nsource = "colours"\nregion = [0.5, 0.5, 0.5, 0.5]\n')
    process = started(place, "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    answers = [json.loads(line) for line in out.splitlines()]
    assert {answer["source"] for answer in answers} == {"left", "right"}
    left, right = ([answer["score"] for answer in answers if answer["source"] == name] for name in ("left", "right"))
    assert len(left) == len(right) == 8
    assert left != right


def test_a_second_ctrl_c_stops_at_once() -> None:
    """When the first one does not help."""
    from edgecl.cli.stopping import stop_requests

    before = signal.getsignal(signal.SIGINT)
    with stop_requests() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        assert stop.interrupted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
