"""Requests made from the OpenAPI description: some that fit, many that nearly do, and a few that are nothing at all."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

ODD_TEXTS = (
    "", " ", ".", "..", "../..", "%2e%2e%2f", "/", "\\", "\0", "-", "_x", "_background", "red", "RED", "tea", "' OR 1=1 --", "<script>", "{}",
    "💥", "e\u0301", "\u202e", "\ufffd", "x" * 101, "x" * 3000, "null", "NaN", "-1", "0", "1", "3", "99999999999999999999", "1e9", "0x10",
    "con", "~", "$HOME", "%s%n", "a\r\nX-Injected: yes", "0" * 64, "f" * 64,
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**70), 1.5, 1e308, "", "x", [], [1], {}, {"a": 1}, [[[[[]]]]], *ODD_TEXTS[:12],
)  # fmt: skip


@dataclass(frozen=True)
class Fuzzed:
    """One request."""

    method: str
    path: str
    operation: Mapping[str, Any] | None  # of the description; None where the path or the method is made up
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Fuzzer:
    """A row of requests, the same for the same seed."""

    def __init__(self, document: Mapping[str, Any], seed: int, pictures: tuple[bytes, ...]) -> None:
        self._random = random.Random(seed)
        self._pictures = pictures
        self._operations = [
            (path, method.upper(), operation) for path, methods in document["paths"].items() for method, operation in methods.items()
        ]

    def request(self) -> Fuzzed:
        """The next one."""
        chance = self._random
        path, method, operation = chance.choice(self._operations)
        filled = self._fill(path, operation)
        headers, body = self._body(operation)
        headers |= self._headers()
        if chance.random() < 0.06:  # something that is not described
            method, described = chance.choice(("PUT", "PATCH", "TRACE", "OPTIONS", "HEAD", "DELETE", "POST")), None
            return Fuzzed(method, filled, described, body, headers)
        return Fuzzed(method, filled, operation, body, headers)

    def _fill(self, path: str, operation: Mapping[str, Any]) -> str:
        query = []
        for parameter in operation.get("parameters", []):
            value = self._text(parameter["schema"])
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=self._random.choice(("", "/."))))
            elif self._random.random() < 0.7:
                query.append(f"{parameter['name']}={quote(value)}")
        if self._random.random() < 0.1:
            query.append(f"{quote(self._random.choice(ODD_TEXTS))}={quote(self._random.choice(ODD_TEXTS))}")
        return path + (f"?{'&'.join(query)}" if query else "")

    def _text(self, schema: Mapping[str, Any]) -> str:
        if self._random.random() < 0.5:
            return str(self._value(schema))
        return self._random.choice(ODD_TEXTS)

    def _value(self, schema: Mapping[str, Any]) -> Any:
        """Something that fits the schema, or nearly."""
        chance = self._random
        if chance.random() < 0.15:
            return chance.choice(ODD_VALUES)
        if schema["type"] == "integer":
            low, high = schema["minimum"], schema["maximum"]
            return chance.choice((low, low + 1, 2, 3, high, low - 1, high + 1))
        if schema["type"] == "boolean":
            return chance.random() < 0.5
        if schema["type"] == "object":
            names = list(schema["properties"]) + (["more"] if chance.random() < 0.1 else [])
            kept = [name for name in names if name in schema["required"] or chance.random() < 0.6]
            return {name: self._value(schema["properties"].get(name, {"type": "boolean"})) for name in kept if chance.random() < 0.95}
        return chance.choice(("red", "tea", "0" * 64, "index.html", *ODD_TEXTS))

    def _body(self, operation: Mapping[str, Any]) -> tuple[dict[str, str], bytes | None]:
        chance = self._random
        if "requestBody" not in operation:
            return ({"Content-Type": "application/json"}, b"{}") if chance.random() < 0.1 else ({}, None)
        content = operation["requestBody"]["content"]
        kind = chance.choice(list(content))
        if "schema" in content[kind] and content[kind]["schema"].get("format") != "binary":
            data = json.dumps(self._value(content[kind]["schema"])).encode()
        else:
            data = chance.choice(self._pictures)
        if chance.random() < 0.3:
            data = self._spoilt(data)
        if chance.random() < 0.1:
            kind = chance.choice(("text/plain", "", "application/json; charset=x", "image/gif", "multipart/form-data"))
        return {"Content-Type": kind}, data

    def _spoilt(self, data: bytes) -> bytes:
        chance = self._random
        if not data or chance.random() < 0.2:
            return chance.randbytes(chance.randrange(200))
        if chance.random() < 0.5:
            return data[: chance.randrange(len(data))]
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 20)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed)

    def _headers(self) -> dict[str, str]:
        chance = self._random
        found = {}
        if chance.random() < 0.2:
            name = chance.choice(
                ("Cookie", "Authorization", "X-CSRF-Token", "Accept", "Range", "If-None-Match", "Content-Encoding", "X-Forwarded-For")
            )
            odd = chance.choice(ODD_TEXTS).encode("utf-8").decode("latin-1")
            found[name] = "".join(each for each in odd if each >= " " and each != "\x7f") + chance.choice(
                ("", "edgecl_session=x", "Bearer x")
            )
        return found
