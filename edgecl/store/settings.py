"""`settings.toml`: what a person may edit in a store."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecl.errors import BadSettings
from edgecl.settings import AnnounceSettings, BundleSettings, CameraSettings, GateSettings, GuardSettings, MemorySettings
from edgecl.store.reading import JSON_LIMIT, read_bytes
from edgecl.store.rules import RULES, TEXT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTINGS_FILE = "settings.toml"
CAMERA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")  # becomes a part of topics and addresses


@dataclass(frozen=True, kw_only=True)
class LearnDefaults:
    """What `learn` takes where no flag says otherwise; None leaves it to the device profile."""

    device: str | None = None  # auto | cpu | cuda
    threads: int | None = None  # CPU threads, 0 = as many as torch takes by itself
    batch: int | None = None  # pictures per training step


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that stands in `settings.toml`."""

    memory: MemorySettings = field(default_factory=MemorySettings)
    gate: GateSettings = field(default_factory=GateSettings)
    learn: LearnDefaults = field(default_factory=LearnDefaults)
    bundles: BundleSettings = field(default_factory=BundleSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    announce: AnnounceSettings = field(default_factory=AnnounceSettings)
    cameras: Mapping[str, CameraSettings] = field(default_factory=dict)  # by name, in the order of the file


def settings_text(settings: Settings) -> str:
    """The file that `init` writes."""
    memory, gate, guard = settings.memory, settings.gate, settings.guard
    return (
        "# What you may change in this store. A key that is left out has its default.\n"
        "\n[memory]\n"
        f"per_class = {memory.per_class}  # kept pictures per class, 2 of them holdout\n"
        f"budget_mib = {float(memory.budget_mib)!r}  # MiB for all kept pictures\n"
        "\n[gate]\n"
        f"max_drop = {float(gate.max_drop)!r}  # how much accuracy on old classes a new version may lose, 0 to 1\n"
        f"significance = {float(gate.significance)!r}  # p of the one-sided McNemar test, below it the loss counts\n"
        "\n[guard]\n"
        f"checkpoint_s = {float(guard.checkpoint_s)!r}  # seconds of learning that a power cut may cost\n"
        f"hot_c = {float(guard.hot_c)!r}  # degrees Celsius from which learning waits\n"
        f"cool_c = {float(guard.cool_c)!r}  # degrees Celsius at which it goes on\n"
        f"reserve_mib = {guard.reserve_mib}  # MiB of memory that stay available to others\n"
        "\n[learn]\n"
        "# device, threads and batch, where those of the board's profile are not wanted; docs/formats.md\n"
        "\n[bundles]\n"
        f"trusted_keys = {json.dumps(list(settings.bundles.trusted_keys))}  "
        "# public keys (edgecl keygen); with one here, apply takes signed bundles only\n"
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
        if name not in RULES:
            *most, last = ("[cameras.NAME]" if table == "cameras" else f"[{table}]" for table in RULES)
            raise BadSettings(f"{SETTINGS_FILE}: [{name}] is unknown, expected {', '.join(most)} or {last}. Remove it.")
    guard = GuardSettings(**_table(tables, "guard"))
    if guard.cool_c > guard.hot_c:
        raise BadSettings(
            f"{SETTINGS_FILE}: [guard] cool_c = {guard.cool_c:g} is above hot_c = {guard.hot_c:g}, so learning would wait for ever. "
            "Lower cool_c."
        )
    return Settings(
        memory=MemorySettings(**_table(tables, "memory")),
        gate=GateSettings(**_table(tables, "gate")),
        guard=guard,
        learn=LearnDefaults(**_table(tables, "learn")),
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
        raise BadSettings(f'{SETTINGS_FILE}: [{place}] has no source, expected {TEXT.words}, such as source = "/dev/video0". Add it.')
    return CameraSettings(**found)


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: _checked(name, name, key, value) for key, value in _is_table(tables.get(name, {}), name).items()}


def _is_table(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadSettings(f"{SETTINGS_FILE}: {place} = {value!r} stands where the table [{place}] belongs. Correct the file.")
    return value


def _checked(table: str, place: str, key: str, value: object) -> Any:
    """`value` as it is kept; `place` is the table as the file calls it."""
    rule = RULES[table].get(key)
    if rule is None:
        known = ", ".join(RULES[table])
        raise BadSettings(f"{SETTINGS_FILE}: [{place}] {key} is unknown, expected one of: {known}. Remove it or correct its name.")
    found = rule.check(value)
    if found is None:
        raise BadSettings(f"{SETTINGS_FILE}: [{place}] {key} = {value!r}, expected {rule.words}. Correct the value.")
    return found
