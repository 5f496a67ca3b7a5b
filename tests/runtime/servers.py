"""Servers that a camera or a broker would be, on this machine: MJPEG from the standard library, RTSP and MQTT from Debian's packages."""

import http.server
import io
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

RTSP_PACKAGES = ("gir1.2-gst-rtsp-server-1.0", "gstreamer1.0-plugins-good", "gstreamer1.0-plugins-ugly", "python3-gi")
MQTT_PACKAGES = ("mosquitto",)
SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's, which sees Debian's python3-gi

RTSP_SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
port, width, height, between = sys.argv[1:]
Gst.init(None)
server, factory = GstRtspServer.RTSPServer(), GstRtspServer.RTSPMediaFactory()
server.set_address("127.0.0.1")
server.set_service(port)
factory.set_shared(True)
factory.set_launch(
    f"( videotestsrc is-live=true pattern=red ! capsfilter name=size caps=video/x-raw,width={width},height={height},framerate=15/1 ! "
    f"x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 {between} ! rtph264pay name=pay0 config-interval=-1 )"
)

def configured(factory, media):
    size = media.get_element().get_by_name("size")

    def resize(stream, condition):
        words = stream.readline().split()
        if words:
            caps = "video/x-raw,width={},height={},framerate=15/1".format(*words)
            size.set_property("caps", Gst.Caps.from_string(caps))
        return bool(words)

    GLib.io_add_watch(sys.stdin, GLib.IO_IN | GLib.IO_HUP, resize)

factory.connect("media-configure", configured)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> bytes:
    """A plain picture, `size` is (width, height)."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


class MjpegServer:
    """Gives each client the frames that `frame(index)` makes, `fps` of them per second; None ends the connection. /snapshot gives one."""

    def __init__(self, frame: Callable[[int], bytes | None], *, port: int = 0, fps: float = 100.0, sized: bool = True) -> None:
        outer = self
        self.frame, self.fps, self.sized = frame, fps, sized
        self.authorization: list[str | None] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.authorization.append(self.headers.get("Authorization"))
                answers = {"/video": self._stream, "/snapshot": self._snapshot, "/page": self._page, "/moved": self._moved}
                answers.get(self.path, lambda: self.send_error(401 if self.path == "/locked" else 404))()

            def _head(self, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()

            def _moved(self) -> None:
                self.send_response(302)
                self.send_header("Location", f"{outer.url}/video")
                self.end_headers()

            def _page(self) -> None:
                self._head("text/html")

            def _snapshot(self) -> None:
                self._head("image/jpeg")
                self.wfile.write(outer.frame(0) or b"")

            def _stream(self) -> None:
                self._head("multipart/x-mixed-replace; boundary=edge")
                index = 0
                try:
                    while (body := outer.frame(index)) is not None and not outer.closing:
                        length = f"Content-Length: {len(body)}\r\n" if outer.sized else ""
                        self.wfile.write(f"--edge\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + body + b"\r\n")
                        index += 1
                        time.sleep(1 / outer.fps)
                except OSError:
                    return  # the client has gone

            def log_message(self, *_: Any) -> None:
                pass

        self.closing = False
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End, with all connections."""
        self.closing = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> "MjpegServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def installed(test: Callable[[], bool], packages: tuple[str, ...]) -> None:
    """Make sure that Debian's `packages` are there, of which `test` is a sign; the test is skipped by name where they cannot be had."""
    if test():
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        pytest.skip(f"needs the Debian packages {' '.join(packages)} (apt-get and root install them by themselves)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with policy_that_starts_nothing():
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            done = subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, timeout=240, check=False)
    if done.returncode or not test():
        pytest.skip(f"the Debian packages {' '.join(packages)} could not be installed: {done.stderr.decode(errors='replace')[-200:]}")


@contextmanager
def policy_that_starts_nothing() -> Iterator[None]:
    """Debian starts a service that is installed, unless /usr/sbin/policy-rc.d forbids it."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def has_rtsp() -> bool:
    """Whether the RTSP server's library and its H.264 encoder are there."""
    check = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; Gst.init(None); "
        "raise SystemExit(not (Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('rtph264pay')))"
    )
    return Path(SYSTEM_PYTHON).exists() and subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True, check=False).returncode == 0


class RtspServer:
    """A red picture in H.264 at rtsp://127.0.0.1:PORT/cam, by GStreamer's own RTSP server; it can be killed and started again.

    Args:
        damage: share of the bytes of the encoded stream that are overwritten at random.
    """

    def __init__(self, port: int, size: tuple[int, int] = (64, 48), *, damage: float = 0.0) -> None:
        between = f"! breakmydata set-to=-1 probability={damage}" if damage else ""
        command = [SYSTEM_PYTHON, "-c", RTSP_SERVER, str(port), *map(str, size), between]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def resize(self, width: int, height: int) -> None:
        """Of the same stream, from the next frame on; somebody must be watching."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{width} {height}\n".encode())
        self._process.stdin.flush()

    def kill(self) -> None:
        """Without a goodbye; may be called twice."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def __enter__(self) -> "RtspServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def mosquitto() -> str | None:
    """Where the broker is."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class MqttBroker:
    """mosquitto on a port of this machine, with a user `edge` whose password is `pass`; it can be killed and started again."""

    def __init__(self, port: int, folder: Path) -> None:
        program = mosquitto()
        assert program is not None
        passwords, settings = folder / "passwords", folder / "mosquitto.conf"
        passwords.write_text("edge:pass\n")
        subprocess.run([str(Path(program).with_name("mosquitto_passwd")).replace("/sbin/", "/bin/"), "-U", str(passwords)], check=True)
        passwords.chmod(0o644)
        folder.chmod(0o755)
        settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nuser root\n")
        self._process = subprocess.Popen([program, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert time.monotonic() < deadline_s, "mosquitto did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """Without a goodbye; may be called twice."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "MqttBroker":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def noisy(index: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture whose JPEG is some kilobytes long."""
    w, h = size
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(index).integers(0, 256, (h, w, 3), dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()
