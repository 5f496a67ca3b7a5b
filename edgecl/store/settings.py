"""`settings.toml`: what a person may edit in a store."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecl.errors import BadSettings
from edgecl.settings import KEY_PREFIX, AnnounceSettings, BundleSettings, CameraSettings, GateSettings, MemorySettings
from edgecl.store.reading import JSON_LIMIT, read_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTINGS_FILE = "settings.toml"


_KEY = re.compile(f"{KEY_PREFIX}[0-9a-f]{{64}}")
CAMERA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")  # becomes a part of topics and addresses


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that stands in `settings.toml`."""

    memory: MemorySettings = field(default_factory=MemorySettings)
    gate: GateSettings = field(default_factory=GateSettings)
    bundles: BundleSettings = field(default_factory=BundleSettings)
    announce: AnnounceSettings = field(default_factory=AnnounceSettings)
    cameras: Mapping[str, CameraSettings] = field(default_factory=dict)  # by name, in the order of the file


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """What one key may be: `check` returns the value as it is kept, or None for one that is not allowed."""

    check: Callable[[object], Any]
    words: str


def _number(kind: type, low: float, high: float, words: str) -> _Rule:
    def check(value: object) -> Any:
        number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        return kind(value) if number and low <= value <= high else None  # type: ignore[operator]

    return _Rule(check=check, words=words)


def _region(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, list) or len(value) != 4 or any(isinstance(part, bool) or not isinstance(part, int | float) for part in value):
        return None
    left, top, width, height = (float(part) for part in value)
    inside = min(left, top) >= 0 and min(width, height) > 0 and max(left + width, top + height) <= 1 + 1e-9
    return (left, top, width, height) if inside else None


def _words(value: object) -> tuple[str, ...] | None:
    return tuple(value) if isinstance(value, list) and value and all(isinstance(word, str) and word for word in value) else None


def _keys(value: object) -> tuple[str, ...] | None:
    """A key that cannot be understood must not turn into "no key, so anything goes"."""
    sound = isinstance(value, list) and all(isinstance(key, str) and _KEY.fullmatch(key) for key in value)
    return tuple(value) if sound else None  # type: ignore[arg-type]


_TEXT = _Rule(check=lambda value: value if isinstance(value, str) and value else None, words="a text in quotes")

# One row per key: what it may be.
_TABLES: dict[str, dict[str, _Rule]] = {
    "memory": {
        "per_class": _number(int, 1, 10_000, "a whole number from 1 to 10000"),
        "budget_mib": _number(float, 0.001, 1e6, "a number of MiB from 0.001 to 1000000"),
    },
    "gate": {
        "max_drop": _number(float, 0.0, 1.0, "a number from 0 to 1 (0.03 is 3 points)"),
        "significance": _number(float, 0.0, 1.0, "a number from 0 to 1"),
    },
    "bundles": {
        "trusted_keys": _Rule(check=_keys, words=f'a list of texts such as "{KEY_PREFIX}<64 hex digits>", which edgecl keygen prints'),
    },
    "announce": {
        "hold_s": _number(float, 0.0, 3600.0, "a number of seconds from 0 to 3600"),
        "mqtt": _TEXT,
        "webhook": _TEXT,
        "command": _Rule(check=_words, words='a list of words, such as ["/usr/bin/logger", "-t", "camera"]'),
    },
    "cameras": {
        "source": _TEXT,
        "region": _Rule(check=_region, words="[left, top, width, height] as parts of the frame, such as [0.25, 0, 0.5, 1]"),
        "max_fps": _number(float, 0.0, 1000.0, "a number of frames per second from 0 (no limit) to 1000"),
        "smoothing": _number(int, 1, 1000, "a whole number of frames from 1 (none) to 1000"),
        "loop": _Rule(check=lambda value: value if isinstance(value, bool) else None, words="true or false"),
    },
}


def settings_text(settings: Settings) -> str:
    """The file that `init` writes."""
    memory, gate, keys = settings.memory, settings.gate, settings.bundles.trusted_keys
    return (
        "# What you may change in this store. A key that is left out has its default.\n"
        "\n[memory]\n"
        f"per_class = {memory.per_class}  # kept pictures per class, 2 of them holdout\n"
        f"budget_mib = {float(memory.budget_mib)!r}  # MiB for all kept pictures\n"
        "\n[gate]\n"
        f"max_drop = {float(gate.max_drop)!r}  # how much accuracy on old classes a new version may lose, 0 to 1\n"
        f"significance = {float(gate.significance)!r}  # p of the one-sided McNemar test, below it the loss counts\n"
        "\n[bundles]\n"
        f"trusted_keys = {json.dumps(list(keys))}  # public keys (edgecl keygen); with one here, apply takes signed bundles only\n"
    )


def read_settings(root: Path) -> Settings:
    """Read and check `settings.toml`; an empty file means every default.

    Raises:
        BadSettings: not TOML, an unknown table or key, or a value of the wrong kind or out of range.
        StoreDamaged: the file is missing.
    """
    data = read_bytes(root / SETTINGS_FILE, limit=JSON_LIMIT)
    try:
        tables = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"{SETTINGS_FILE} is not TOML: {error}. Correct the file.") from error
    for name in tables:
        if name not in _TABLES:
            *most, last = ("[cameras.NAME]" if table == "cameras" else f"[{table}]" for table in _TABLES)
            raise BadSettings(f"{SETTINGS_FILE}: [{name}] is unknown, expected {', '.join(most)} or {last}. Remove it.")
    return Settings(
        memory=MemorySettings(**_table(tables, "memory")),
        gate=GateSettings(**_table(tables, "gate")),
        bundles=BundleSettings(**_table(tables, "bundles")),
        announce=AnnounceSettings(**_table(tables, "announce")),
        cameras={name: _camera(name, entry) for name, entry in _is_table(tables.get("cameras", {}), "cameras").items()},
    )


def _camera(name: str, entry: object) -> CameraSettings:
    if CAMERA_NAME.fullmatch(name) is None:
        raise BadSettings(
            f"{SETTINGS_FILE}: [cameras.{name}] is no camera's name, expected 1 to 40 letters, digits, - and _, such as [cameras.bench]. "
            "Correct its name."
        )
    place = f"cameras.{name}"
    found = {key: _checked("cameras", place, key, value) for key, value in _is_table(entry, place).items()}
    if "source" not in found:
        raise BadSettings(f'{SETTINGS_FILE}: [{place}] has no source, expected {_TEXT.words}, such as source = "/dev/video0". Add it.')
    return CameraSettings(**found)


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: _checked(name, name, key, value) for key, value in _is_table(tables.get(name, {}), name).items()}


def _is_table(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadSettings(f"{SETTINGS_FILE}: {place} = {value!r} stands where the table [{place}] belongs. Correct the file.")
    return value


def _checked(table: str, place: str, key: str, value: object) -> Any:
    rule = _TABLES[table].get(key)
    if rule is None:
        known = ", ".join(_TABLES[table])
        raise BadSettings(f"{SETTINGS_FILE}: [{place}] {key} is unknown, expected one of: {known}. Remove it or correct its name.")
    found = rule.check(value)
    if found is None:
        raise BadSettings(f"{SETTINGS_FILE}: [{place}] {key} = {value!r}, expected {rule.words}. Correct the value.")
    return found
