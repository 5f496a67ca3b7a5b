"""A headless Chromium, driven through chromedriver by plain HTTP: W3C WebDriver, with no library between."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key under which the protocol names an element
START_S = 30.0


def missing_browser() -> str:
    """Which of the two programs is not there, or nothing."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(absent)} missing (Debian: apt-get install chromium chromium-driver)" if absent else ""


class StaleElement(AssertionError):
    """The element that a command names is no longer part of the page."""


class Browser:
    """One window."""

    def __init__(self, driver: str, session: str) -> None:
        self._base = f"{driver}/session/{session}"

    def go(self, url: str) -> None:
        """Open a page."""
        self._ask("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a piece of JavaScript returns; promises are waited for."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, condition: str, *, limit_s: float = 10.0) -> Any:
        """Wait until an expression of JavaScript is true; returns its value."""
        end_s = time.monotonic() + limit_s
        while True:
            value = self.run(f"return {condition}")
            if value:
                return value
            if time.monotonic() > end_s:
                text = self.run("return document.body.innerText.slice(0, 1500)")
                raise AssertionError(f"not within {limit_s:g} s: {condition}; the page says:\n{text}")
            time.sleep(0.1)

    def find(self, selector: str, *, limit_s: float = 10.0) -> dict[str, str]:
        """An element by its CSS selector, once it is there and visible."""
        self.wait(f"!!document.querySelector({json.dumps(selector)})?.checkVisibility()", limit_s=limit_s)
        found: dict[str, str] = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return found

    def click(self, selector: str) -> None:
        """As a person would, who scrolls there first: it must be visible and nothing may lie over it.

        What the page draws anew between the look and the click is looked for again, once.
        """
        try:
            self._click(selector)
        except StaleElement:
            self._click(selector)

    def _click(self, selector: str) -> None:
        element = self.find(selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        self._ask("POST", f"/element/{element[ELEMENT]}/click", {})

    def click_text(self, within: str, text: str) -> None:
        """Click the button below `within` whose text begins so."""
        mark = f"[...document.querySelectorAll({json.dumps(f'{within} button')})].find((each) => each.innerText.trim().startsWith({json.dumps(text)}))"
        self.wait(f"!!{mark}")
        self.run(f"{mark}.setAttribute('data-wanted', 'yes')")
        self.click("[data-wanted=yes]")
        self.run("document.querySelector('[data-wanted=yes]')?.removeAttribute('data-wanted')")

    def type(self, selector: str, text: str) -> None:
        """Empty a field and type into it."""
        element = self.find(selector)[ELEMENT]
        self._ask("POST", f"/element/{element}/clear", {})
        self._ask("POST", f"/element/{element}/value", {"text": text})

    def hold(self, selector: str, seconds: float) -> None:
        """Press an element for so long."""
        self.run(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        origin = self.find(selector)
        steps = [
            {"type": "pointerMove", "origin": origin, "x": 0, "y": 0, "duration": 50},
            {"type": "pointerDown", "button": 0},
            {"type": "pause", "duration": round(seconds * 1000)},
            {"type": "pointerUp", "button": 0},
        ]
        pointer = {"type": "pointer", "id": "thumb", "parameters": {"pointerType": "touch"}, "actions": steps}
        self._ask("POST", "/actions", {"actions": [pointer]})

    def text(self, selector: str) -> str:
        """What an element says."""
        return str(self.run(f"return document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def picture(self, path: Path) -> None:
        """Write what is to be seen as a PNG."""
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def complaints(self) -> list[str]:
        """Errors and warnings of the browser's console since the last call, such as a breach of the content-security policy."""
        entries = self._ask("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def resize(self, width: int, height: int) -> None:
        """Give the page this many CSS pixels, and a phone's touch below 600."""
        phone = width < 600
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self._ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})
        self._ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setTouchEmulationEnabled", "params": {"enabled": phone}})

    def dark(self, wanted: bool) -> None:
        """As a device that prefers dark pages, or light ones."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}]
        self._ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}})

    def close(self) -> None:
        """End the window."""
        self._ask("DELETE", "")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return ask(method, self._base + path, body)


def ask(method: str, url: str, body: Any = None) -> Any:
    """One command of the protocol."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        answer = json.load(error)["value"]
        kind = StaleElement if answer.get("error") == "stale element reference" else AssertionError
        raise kind(f"{method} {url} {str(body)[:200]}: {answer.get('message', '')[:500]}") from None


@contextmanager
def browser(profile: Path, *, flags: tuple[str, ...] = ()) -> Iterator[Browser]:
    """A browser with an empty profile, ended with the body."""
    port = _free_port()
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        _wait_ready(base)
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}", *flags]
        options = {"args": arguments}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = ask("POST", f"{base}/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        window = Browser(base, session)
        try:
            yield window
        finally:
            window.close()
    finally:
        driver.terminate()
        driver.wait(10)


def _wait_ready(base: str) -> None:
    end_s = time.monotonic() + START_S
    while True:
        try:
            if ask("GET", f"{base}/status")["ready"]:
                return
        except OSError:
            pass
        if time.monotonic() > end_s:
            raise AssertionError("chromedriver did not start")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
