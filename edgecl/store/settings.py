"""`settings.toml`: what a person may edit in a store."""

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecl.errors import BadSettings
from edgecl.settings import KEY_PREFIX, BundleSettings, GateSettings, GuardSettings, MemorySettings
from edgecl.store.reading import JSON_LIMIT, read_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTINGS_FILE = "settings.toml"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that stands in `settings.toml`."""

    memory: MemorySettings = field(default_factory=MemorySettings)
    gate: GateSettings = field(default_factory=GateSettings)
    bundles: BundleSettings = field(default_factory=BundleSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)


@dataclass(frozen=True, kw_only=True)
class _Rule:
    kind: type
    low: float
    high: float
    words: str


# One row per key: its table, its name, what it may be.
_RULES: dict[tuple[str, str], _Rule] = {
    ("memory", "per_class"): _Rule(kind=int, low=1, high=10_000, words="a whole number from 1 to 10000"),
    ("memory", "budget_mib"): _Rule(kind=float, low=0.001, high=1e6, words="a number of MiB from 0.001 to 1000000"),
    ("gate", "max_drop"): _Rule(kind=float, low=0.0, high=1.0, words="a number from 0 to 1 (0.03 is 3 points)"),
    ("gate", "significance"): _Rule(kind=float, low=0.0, high=1.0, words="a number from 0 to 1"),
    ("guard", "checkpoint_s"): _Rule(kind=float, low=1.0, high=86_400, words="a number of seconds from 1 to 86400"),
    ("guard", "hot_c"): _Rule(kind=float, low=0.0, high=150.0, words="degrees Celsius from 0 to 150"),
    ("guard", "cool_c"): _Rule(kind=float, low=0.0, high=150.0, words="degrees Celsius from 0 to 150"),
    ("guard", "reserve_mib"): _Rule(kind=int, low=0, high=1_000_000, words="a whole number of MiB from 0 to 1000000"),
}
_KEY = re.compile(f"{KEY_PREFIX}[0-9a-f]{{64}}")


def settings_text(settings: Settings) -> str:
    """The file that `init` writes."""
    memory, gate, guard, keys = settings.memory, settings.gate, settings.guard, settings.bundles.trusted_keys
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
    known = [*dict.fromkeys(table for table, _ in _RULES), "bundles"]
    for name in tables:
        if name not in known:
            raise BadSettings(
                f"{SETTINGS_FILE}: [{name}] is unknown, expected one of: {', '.join(f'[{table}]' for table in known)}. Remove it."
            )
    memory, gate, guard = (_checked_table(tables, name) for name in ("memory", "gate", "guard"))
    settings = Settings(
        memory=MemorySettings(**memory),
        gate=GateSettings(**gate),
        guard=GuardSettings(**guard),
        bundles=_bundles(_table(tables, "bundles")),
    )
    if settings.guard.cool_c > settings.guard.hot_c:
        raise BadSettings(
            f"{SETTINGS_FILE}: [guard] cool_c = {settings.guard.cool_c:g} is above hot_c = {settings.guard.hot_c:g}. "
            "Learning would wait for ever; lower cool_c."
        )
    return settings


def _checked_table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: _checked(name, key, value) for key, value in _table(tables, name).items()}


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise BadSettings(f"{SETTINGS_FILE}: {name} = {table!r} stands where the table [{name}] belongs. Correct the file.")
    return table


def _bundles(table: dict[str, Any]) -> BundleSettings:
    unknown = sorted(set(table) - {"trusted_keys"})
    if unknown:
        raise BadSettings(f"{SETTINGS_FILE}: [bundles] {unknown[0]} is unknown, expected trusted_keys. Remove it or correct its name.")
    keys = table.get("trusted_keys", [])
    for key in keys if isinstance(keys, list) else [keys]:
        # A key that cannot be understood must not turn into "no key, so anything goes".
        if not isinstance(keys, list) or not isinstance(key, str) or _KEY.fullmatch(key) is None:
            raise BadSettings(
                f'{SETTINGS_FILE}: [bundles] trusted_keys holds {key!r}, expected a list of texts such as "{KEY_PREFIX}<64 hex digits>", '
                "which edgecl keygen prints. Correct the value."
            )
    return BundleSettings(trusted_keys=tuple(keys))


def _checked(table: str, key: str, value: object) -> float:
    rule = _RULES.get((table, key))
    if rule is None:
        known = ", ".join(name for where, name in _RULES if where == table)
        raise BadSettings(f"{SETTINGS_FILE}: [{table}] {key} is unknown, expected one of: {known}. Remove it or correct its name.")
    number = isinstance(value, int if rule.kind is int else (int, float)) and not isinstance(value, bool)
    if not number or not rule.low <= value <= rule.high:  # type: ignore[operator]
        raise BadSettings(f"{SETTINGS_FILE}: [{table}] {key} = {value!r}, expected {rule.words}. Correct the value.")
    return rule.kind(value)  # type: ignore[no-any-return]
