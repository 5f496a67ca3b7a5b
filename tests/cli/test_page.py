"""The page's options on the command line, against real runs."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgecl.cli import main
from edgecl.store import Store
from edgecl.web.access import token_fits


@contextmanager
def run(*options: str) -> Iterator[tuple[str, list[str]]]:
    """`edgecl run` on the drawn camera with a page; (its address, the lines of stderr before the first answer). Ended as systemd does."""
    command = [sys.executable, "-m", "edgecl", "run", "--source", "test://gear", "--page", "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    app = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert app.stderr is not None
    try:
        first = app.stderr.readline()
        more = [app.stderr.readline() for _ in range(2)] if "0.0.0.0" in options else []
        address = re.fullmatch(r"page: (http://\S+)\n", first)
        assert address is not None, first + app.stderr.read()
        yield address.group(1), more
    finally:
        app.send_signal(signal.SIGTERM)
        assert (app.wait(30), "Traceback" in app.stderr.read()) == (0, False)
        app.stderr.close()


def asked(address: str, path: str, **headers: str) -> tuple[int, bytes]:
    """Status and body."""
    port = address.rstrip("/").rpartition(":")[2]
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.usefixtures("place")
def test_a_run_serves_its_page_without_torch() -> None:
    """The address is told; the page answers from the run itself, by the names that were given, and the process has loaded no torch."""
    with run("--page-name", "camera.example.com") as (address, _):
        status, body = asked(address, "/api/status")
        found = json.loads(body)
        assert (status, found["version"], found["runtime"]) == (200, 1, "onnxruntime")
        assert [camera["name"] for camera in found["cameras"]] == ["test://gear"]
        assert asked(address, "/healthz", Host="camera.example.com")[0] == 200
        assert asked(address, "/healthz", Host="other.example.com")[0] == 403
        loaded = [Path(line.split()[-1]).name for line in Path(f"/proc/{_pid(address)}/maps").read_text().splitlines() if "/" in line]
        assert not [name for name in loaded if "torch" in name]
        assert [name for name in loaded if "onnxruntime" in name]


def _pid(address: str) -> int:
    """The process that listens there."""
    port = int(address.rstrip("/").rpartition(":")[2])
    wanted = f"{port:04X}"
    inode = next(line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[1].endswith(f":{wanted}"))
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            links = [os.readlink(entry) for entry in folder.iterdir()]
        except OSError:
            continue
        if f"socket:[{inode}]" in links:
            return int(folder.parent.name)
    raise AssertionError("nobody listens")


def test_the_token_is_shown_once(place: Path) -> None:
    """Beyond this machine the first run shows a token and a link with it, later ones do not; a private page shows nothing without it."""
    with run("--host", "0.0.0.0", "--page-private") as (address, lines):
        token = lines[0].removeprefix("token, shown this once: ").strip()
        assert lines[1].endswith(f"{address}#token={token}\n")
        assert token_fits(Store.open(place / "model"), token)
        afar = {"X-Forwarded-For": "192.0.2.7"}
        assert asked(address, "/api/status", **afar)[0] == 401
        assert asked(address, "/api/status", **afar, Authorization=f"Bearer {token}")[0] == 200


@pytest.mark.usefixtures("place")
def test_a_second_page_on_one_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The run ends with 2 and says which port is taken, and the first one goes on."""
    with run() as (address, _):
        port = address.rstrip("/").rpartition(":")[2]
        assert main(["run", "--source", "test://gear", "--page", "--port", port]) == 2
        assert f"cannot listen on 127.0.0.1 port {port} (Address already in use)" in capsys.readouterr().err
        assert asked(address, "/healthz")[0] == 200


def test_without_the_web_server_the_extra_is_named(place: Path) -> None:
    """A page without uvicorn is exit code 8 and the line that installs it, before a camera or a model is touched."""
    arguments = ["run", "--source", "test://gear", "--page", "--port", "0"]
    code = f"import sys; sys.modules['uvicorn'] = None; from edgecl.cli import main; sys.exit(main({arguments!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    before = (place / "model" / "state.json").read_bytes()
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 8
    assert "'uvicorn', which is not installed. Install it with: pip install 'edgecl[camera]'" in found.stderr
    assert (place / "model" / "state.json").read_bytes() == before
