"""Changing valid files so that a reader gets past their checksums: JSON bent node by node, bytes bent at random, sums mended."""

import json
import random
from collections.abc import Callable
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 7, 255, 2**31, 2**63, 2**64, -(2**63), 10**30, 1e308, -0.0, 0.5, float("inf"), float("nan")),
    *("", "-", "a", "a" * 300, "\0", "../../etc/passwd", "\ud800", "e\u0301", "\x1b[2J", "0" * 64, "f" * 64, "*", "F16", "I64", "BF16"),
    *([], {}, [[]], [0], [1, 2, 3], [2**62, 2**62], {"": None}, {"a": {"b": []}}),
)

Bend = Callable[[bytes, random.Random], bytes]


def bent_json(value: Any, rng: random.Random) -> Any:
    """One node replaced, removed, doubled, swapped with another one, or wrapped deeply."""
    places = list(_places(value))
    if not places:
        return rng.choice(ODD)
    holder, key = rng.choice(places)
    how = rng.randrange(6)
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif how == 2 and isinstance(holder, dict):
        holder[str(rng.choice(ODD))[:80]] = holder[key]
    elif how == 3:
        other, place = rng.choice(places)
        holder[key] = other[place] if other is not holder[key] else rng.choice(ODD)
    elif how == 4:
        for _ in range(rng.choice((1, 10, 900, 5000))):
            holder[key] = [holder[key]]
    else:
        holder[key] = _nearby(holder[key], rng)
    return value


def _nearby(value: Any, rng: random.Random) -> Any:
    """A number a little off, a text with one character changed, or something odd."""
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice((-8, -1, 1, 8))
    if isinstance(value, str) and value and rng.random() < 0.5:
        place = rng.randrange(len(value))
        return value[:place] + chr(rng.randrange(32, 1000)) + value[place + 1 :]
    return rng.choice(ODD)


def _places(value: Any) -> Any:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


def bent_bytes(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, inserted, removed, or a piece copied to somewhere else."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(len(changed) + 1)
        how = rng.randrange(5)
        if how == 0:
            changed[place : place + 1] = bytes([rng.randrange(256)])
        elif how == 1:
            changed[place:place] = bytes(rng.choices((0, 1, 127, 128, 255), k=rng.choice((1, 4, 64))))
        elif how == 2:
            del changed[place : place + rng.choice((1, 2, 8, 100))]
        elif how == 3:
            start = rng.randrange(len(changed) + 1)
            changed[place : place + 8] = changed[start : start + 8]
        else:
            changed[place : place + 8] = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)).to_bytes(8, "little")
    return bytes(changed)


def dumped(value: Any) -> bytes:
    """JSON however wrong it is: NaN stays, surrogates are escaped."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")
