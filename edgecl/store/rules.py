"""What a key of `settings.toml` may be: one row per key. A check returns the value as it is kept, or None for one that is not allowed."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from edgecl.settings import DEVICES, KEY_PREFIX


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One key's check, and what a message says that it expects."""

    check: Callable[[Any], Any]
    words: str


def number(kind: type, low: float, high: float, words: str) -> Rule:
    """A number from `low` to `high`; true and false are none."""

    def check(value: Any) -> Any:
        fits = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        return kind(value) if fits and low <= value <= high else None

    return Rule(check=check, words=words)


def one_of(names: Collection[str]) -> Rule:
    """One of a few words."""
    return Rule(check=lambda value: value if value in names else None, words=f"one of {', '.join(names)}")


def _public_keys(value: Any) -> tuple[str, ...] | None:
    # A key that cannot be understood must not turn into "no key, so anything goes".
    fits = isinstance(value, list) and all(isinstance(key, str) and _KEY.fullmatch(key) for key in value)
    return tuple(value) if fits else None


_KEY = re.compile(f"{KEY_PREFIX}[0-9a-f]{{64}}")


def _region(value: Any) -> tuple[float, ...] | None:
    if not isinstance(value, list) or len(value) != 4 or any(isinstance(part, bool) or not isinstance(part, int | float) for part in value):
        return None
    left, top, width, height = (float(part) for part in value)
    inside = min(left, top) >= 0 and min(width, height) > 0 and max(left + width, top + height) <= 1 + 1e-9
    return (left, top, width, height) if inside else None


def _words(value: Any) -> tuple[str, ...] | None:
    return tuple(value) if isinstance(value, list) and value and all(isinstance(word, str) and word for word in value) else None


TEXT = Rule(check=lambda value: value if isinstance(value, str) and value else None, words="a text in quotes")

RULES: dict[str, dict[str, Rule]] = {
    "memory": {
        "per_class": number(int, 1, 10_000, "a whole number from 1 to 10000"),
        "budget_mib": number(float, 0.001, 1e6, "a number of MiB from 0.001 to 1000000"),
    },
    "gate": {
        "max_drop": number(float, 0.0, 1.0, "a number from 0 to 1 (0.03 is 3 points)"),
        "significance": number(float, 0.0, 1.0, "a number from 0 to 1"),
    },
    "guard": {
        "checkpoint_s": number(float, 1.0, 86_400, "a number of seconds from 1 to 86400"),
        "hot_c": number(float, 0.0, 150.0, "degrees Celsius from 0 to 150"),
        "cool_c": number(float, 0.0, 150.0, "degrees Celsius from 0 to 150"),
        "reserve_mib": number(int, 0, 1_000_000, "a whole number of MiB from 0 to 1000000"),
    },
    "learn": {
        "device": one_of(DEVICES),
        "threads": number(int, 0, 1024, "a whole number from 0 to 1024"),
        "batch": number(int, 1, 4096, "a whole number from 1 to 4096"),
    },
    "bundles": {
        "trusted_keys": Rule(
            check=_public_keys, words=f'a list of texts such as "{KEY_PREFIX}<64 hex digits>", which edgecl keygen prints'
        ),
    },
    "announce": {
        "hold_s": number(float, 0.0, 3600.0, "a number of seconds from 0 to 3600"),
        "mqtt": TEXT,
        "webhook": TEXT,
        "command": Rule(check=_words, words='a list of words, such as ["/usr/bin/logger", "-t", "camera"]'),
    },
    "cameras": {  # [cameras.NAME]
        "source": TEXT,
        "region": Rule(check=_region, words="[left, top, width, height] as parts of the frame, such as [0.25, 0, 0.5, 1]"),
        "max_fps": number(float, 0.0, 1000.0, "a number of frames per second from 0 (no limit) to 1000"),
        "smoothing": number(int, 1, 1000, "a whole number of frames from 1 (none) to 1000"),
        "loop": Rule(check=lambda value: value if isinstance(value, bool) else None, words="true or false"),
    },
}
