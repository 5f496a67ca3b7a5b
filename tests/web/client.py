"""A client of the page over a real socket, and pictures to hand in."""

import http.client
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecl.preprocess import encode_jpeg
from edgecl.runtime.base import Frame, Prediction
from edgecl.web.server import PageServer

AFAR = {"X-Forwarded-For": "192.0.2.7"}  # what a proxy on this machine adds: the request then counts as one from elsewhere


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]  # names in lower case
    data: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.data)

    @property
    def problem(self) -> str:
        """What the page says is wrong."""
        return str(self.json()["problem"])


class Client:
    """Sends one request per connection; changes carry the proof that the page's script would send."""

    def __init__(self, page: PageServer, **headers: str) -> None:
        self.page = page
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._proof: str | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        kind: str | None = None,
        headers: dict[str, str] | None = None,
        proof: bool = True,
    ) -> Answer:
        """One request; a dict goes as JSON, bytes as a JPEG unless `kind` says otherwise."""
        sent = {**self._headers, **(headers or {})}
        if isinstance(body, bytes):
            data, sent["Content-Type"] = body, kind or "image/jpeg"
        elif body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), kind or "application/json"
        else:
            data = None
        if proof and method != "GET" and "X-CSRF-Token" not in sent:
            sent["X-CSRF-Token"] = self._csrf()
        connection = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=20)
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, **more: Any) -> Answer:
        """A GET."""
        return self.ask("GET", path, **more)

    def post(self, path: str, body: object = None, **more: Any) -> Answer:
        """A POST."""
        return self.ask("POST", path, body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        """A DELETE."""
        return self.ask("DELETE", path, **more)

    def _csrf(self) -> str:
        if self._proof is None:
            self._proof = str(self.get("/api/session").json()["csrf"])
        return self._proof


def scene(seed: int) -> np.ndarray:
    """A picture `[60, 80, 3]` that is sharp, neither dark nor bright, and different for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def jpeg(seed: int) -> bytes:
    """The same as a file."""
    return encode_jpeg(scene(seed))


def frame(index: int) -> Frame:
    """A camera's frame that shows `scene(index)`."""
    return Frame(scene(index), 0, "2026-01-31T09:30:00.250+01:00", "bench", index)


def prediction(index: int, label: str = "red", *, version: int = 3, unknown: bool = False) -> Prediction:
    """An answer."""
    top = ((label, 0.9), ("green", 0.1))
    return Prediction("bench", index, "2026-01-31T09:30:00.250+01:00", label, "id", 0.9, unknown, top, version, 7.0)
