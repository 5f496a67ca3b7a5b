"""What is known of each board: the files of `edgecl.devices`, read strictly.

A number there is `{ value = ..., source = "..." }`; `verified = false` marks one that nobody looked up or measured. Units stand in the
names: `_gb` are 10^9 bytes as on the box, `_mib` are 2^20 bytes.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from edgecl.errors import BadSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TrtRoad = Literal["trt", "onnx-only", "none"]
"""`trt`: edgecl builds engines. `onnx-only`: it writes ONNX and the trtexec line. `none`: ONNX Runtime is all there is."""

DEVICE_FORMAT, JETPACK_FORMAT, SOURCES_FORMAT = "edgecl.device/1", "edgecl.jetpack/1", "edgecl.sources/1"


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """One board as data. None and () stand for what its file does not say."""

    name: str  # of its file, e.g. orin-nano-8
    title: str
    kind: Literal["jetson", "desktop", "cpu"]
    trt_road: TrtRoad
    opset: int  # of the ONNX graph that the board's TensorRT reads best
    precision: Literal["fp16", "fp32"]
    providers: tuple[str, ...]  # of ONNX Runtime, in the order in which they are tried
    learns: bool  # False: pictures are named there, but learned elsewhere
    memory_reserve_mib: int  # MiB of free memory that learning leaves to everything else
    engine_workspace_mib: int | None = None  # MiB for TensorRT while it builds; None leaves it to TensorRT
    threads: int | None = None  # CPU threads of learn
    batch: int | None = None  # pictures per training step
    soc: str | None = None
    modules: tuple[str, ...] = ()  # part numbers as they stand in /proc/device-tree/compatible
    last_jetpack: str | None = None
    memory_gb: tuple[float, ...] = ()  # GB, one per size that is sold
    memory_bandwidth_gb_per_s: float | None = None
    gpu: str | None = None  # generation
    compute_capability: str | None = None
    cpu_cores: int | None = None
    dla_cores: int | None = None
    int8_sparse_tops: float | None = None
    fp16_tflops: float | None = None
    fp4_sparse_tflops: float | None = None
    power_w: tuple[float, ...] = ()  # W of its power modes; the ids differ between releases and are read from the board
    sources: Mapping[str, str]  # field -> where its value comes from, in words
    unverified: tuple[str, ...]  # fields that nobody looked up or measured


@dataclass(frozen=True, kw_only=True)
class JetPack:
    """One release of NVIDIA's software for Jetson boards."""

    jetpack: str
    l4t_from: str  # the first L4T release that it belongs to
    python: str
    cuda: str
    cudnn: str
    tensorrt: str
    trt_road: TrtRoad
    opset: int
    providers: tuple[str, ...]
    index: str | None = None  # package index with torch and onnxruntime-gpu for it; None: there is none for a Python that edgecl runs on
    sources: Mapping[str, str]
    unverified: tuple[str, ...]


@dataclass(frozen=True)
class _Kind:
    """What a value may be."""

    words: str
    fits: Callable[[Any], bool]


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _whole(value: object) -> bool:
    return _number(value) and isinstance(value, int)


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


_TEXT = _Kind("a text", _text)
_VERSION = _Kind("a version such as '10.3'", lambda value: _text(value) and re.fullmatch(r"\d+(\.\d+)*", value) is not None)
_YES = _Kind("true or false", lambda value: isinstance(value, bool))
_WHOLE = _Kind("a whole number from 0 up", _whole)
_NUMBER = _Kind("a number from 0 up", _number)
_NUMBERS = _Kind("a list of numbers from 0 up", lambda value: isinstance(value, list) and all(map(_number, value)))
_TEXTS = _Kind("a list of texts", lambda value: isinstance(value, list) and value != [] and all(map(_text, value)))


def _one_of(*words: str) -> _Kind:
    return _Kind(f"one of {', '.join(words)}", lambda value: value in words)


_ROAD = _one_of("trt", "onnx-only", "none")
# One row per key: its table, its name, what it may be. The keys with a star must be there.
_PLAIN: dict[str, _Kind] = {"title*": _TEXT, "kind*": _one_of("jetson", "desktop", "cpu"), "soc": _TEXT, "modules": _TEXTS}
_TABLES: dict[str, dict[str, _Kind]] = {
    "hardware": {
        "memory_gb": _NUMBERS,
        "memory_bandwidth_gb_per_s": _NUMBER,
        "gpu": _TEXT,
        "compute_capability": _VERSION,
        "cpu_cores": _WHOLE,
        "dla_cores": _WHOLE,
        "int8_sparse_tops": _NUMBER,
        "fp16_tflops": _NUMBER,
        "fp4_sparse_tflops": _NUMBER,
        "power_w": _NUMBERS,
    },
    "run": {
        "last_jetpack": _VERSION,
        "trt_road*": _ROAD,
        "opset*": _WHOLE,
        "precision*": _one_of("fp16", "fp32"),
        "providers*": _TEXTS,
        "engine_workspace_mib": _WHOLE,
    },
    "learn": {"learns*": _YES, "memory_reserve_mib*": _WHOLE, "threads": _WHOLE, "batch": _WHOLE},
}
_RELEASE: dict[str, _Kind] = {
    **{f"{name}*": _VERSION for name in ("l4t_from", "python", "cuda", "cudnn", "tensorrt")},
    "trt_road*": _ROAD,
    "opset*": _WHOLE,
    "providers*": _TEXTS,
    "index": _TEXT,
}


def profile_names() -> tuple[str, ...]:
    """Every board that has a file, in the order of their names."""
    names = (entry.name for entry in resources.files("edgecl.devices").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml") and not name.startswith("_")))


def load_profile(name: str) -> DeviceProfile:
    """The profile of a board by the name of its file.

    Raises:
        BadSettings: there is no such board (the message names all), or its file is faulty.
    """
    if name not in profile_names():
        raise BadSettings(
            f"there is no device profile {name!r}, expected one of: {', '.join(profile_names())}. List them with: edgecl devices"
        )
    return parse_profile(_text_of(f"{name}.toml"), name=name, sources=load_sources())


def load_sources() -> dict[str, str]:
    """Key of a source -> the source in words."""
    fields = _toml(_text_of("_sources.toml"), "_sources.toml", SOURCES_FORMAT)
    sources = fields.pop("sources", {})
    faults = [f"{key} is unknown, expected [sources]" for key in fields]
    _raise(
        faults + [f"{key} = {words!r}, expected {_TEXT.words}" for key, words in sources.items() if not _TEXT.fits(words)], "_sources.toml"
    )
    return dict(sources)


def load_jetpacks() -> tuple[JetPack, ...]:
    """Every known JetPack, the oldest first."""
    return parse_jetpacks(_text_of("_jetpack.toml"), sources=load_sources())


def parse_profile(text: str, *, name: str, sources: Mapping[str, str]) -> DeviceProfile:
    """Read the text of a board's file.

    Raises:
        BadSettings: every fault at once: not TOML, another format, unknown or missing keys, values of the wrong kind, unknown sources.
    """
    file = f"{name}.toml"
    fields = _toml(text, file, DEVICE_FORMAT)
    tables = {key: fields.pop(key) for key in list(fields) if isinstance(fields[key], dict)}
    faults = _faults(fields, _PLAIN, "")
    faults += [f"[{table}] is unknown, expected one of: {', '.join(_TABLES)}" for table in tables if table not in _TABLES]
    facts: dict[str, Any] = {}
    if fields.get("kind") == "jetson":
        faults += [f"{key} is missing, a jetson is told by it" for key in ("soc", "modules") if key not in fields]
        faults += [f"{key} is missing, a jetson is told by it" for key in ("memory_gb", "last_jetpack") if key not in _keys(tables)]
    for table, kinds in _TABLES.items():
        faults += _faults_of_facts(tables.get(table, {}), kinds, sources, f"[{table}] ")
        facts |= tables.get(table, {})
    _raise(faults, file)
    return DeviceProfile(name=name, **_frozen(fields), **_values(facts, sources))


def parse_jetpacks(text: str, *, sources: Mapping[str, str]) -> tuple[JetPack, ...]:
    """Read the text of `_jetpack.toml`; releases come back in the order of their L4T.

    Raises:
        BadSettings: as `parse_profile`.
    """
    fields = _toml(text, "_jetpack.toml", JETPACK_FORMAT)
    releases = fields.pop("release", None)
    faults = [f"{key} is unknown, expected [[release]]" for key in fields]
    if not isinstance(releases, list) or not all(isinstance(release, dict) for release in releases):
        faults.append(f"release = {releases!r}, expected tables [[release]]")
    _raise(faults, "_jetpack.toml")
    names = [release.pop("jetpack", None) for release in releases]
    for name, facts in zip(names, releases, strict=True):
        faults += _faults({"jetpack": name}, {"jetpack*": _VERSION}, "")
        faults += _faults_of_facts(facts, _RELEASE, sources, f"release {name}: ")
    _raise(faults, "_jetpack.toml")
    found = [JetPack(jetpack=name, **_values(facts, sources)) for name, facts in zip(names, releases, strict=True)]
    return tuple(sorted(found, key=lambda release: version_tuple(release.l4t_from)))


def version_tuple(version: str) -> tuple[int, ...]:
    """`10.3.0.30` -> `(10, 3, 0, 30)`; what follows the numbers is left out."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()


def _keys(tables: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {key for table in tables.values() for key in table}


def _text_of(file: str) -> str:
    return (resources.files("edgecl.devices") / file).read_text(encoding="utf-8")


def _toml(text: str, file: str, expected: str) -> dict[str, Any]:
    try:
        fields = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"{file} is not TOML: {error}. Correct the file, or install edgecl again.") from error
    found = fields.pop("format", None)
    if found != expected:
        raise BadSettings(f"{file} has the format {found!r}, expected {expected!r}. It may belong to another edgecl; install edgecl again.")
    return fields


def _faults_of_facts(facts: Mapping[str, Any], kinds: Mapping[str, _Kind], sources: Mapping[str, str], where: str) -> list[str]:
    """As `_faults`, for values that carry their source."""
    faults = []
    for key, fact in facts.items():
        if not isinstance(fact, dict) or not {"value", "source"} <= set(fact) <= {"value", "source", "verified"}:
            faults.append(f"{where}{key} = {fact!r}, expected {{ value = ..., source = ... }} and perhaps verified = false")
        elif fact["source"] not in sources:
            faults.append(f"{where}{key} names the source {fact['source']!r}, which _sources.toml does not have")
        elif not isinstance(fact.get("verified", True), bool):
            faults.append(f"{where}{key}: verified = {fact['verified']!r}, expected true or false")
    return faults or _faults({key: fact["value"] for key, fact in facts.items()}, kinds, where)


def _faults(values: Mapping[str, Any], kinds: Mapping[str, _Kind], where: str) -> list[str]:
    known = {key.removesuffix("*"): kind for key, kind in kinds.items()}
    faults = [f"{where}{key} is missing" for key in (k[:-1] for k in kinds if k.endswith("*")) if key not in values]
    for key, value in values.items():
        if key not in known:
            faults.append(f"{where}{key} is unknown, expected one of: {', '.join(known)}")
        elif not known[key].fits(value):
            faults.append(f"{where}{key} = {value!r}, expected {known[key].words}")
    return faults


def _raise(faults: list[str], file: str) -> None:
    if faults:
        raise BadSettings(f"{file}: {'; '.join(faults)}. Correct the file; docs/formats.md lists the keys.")


def _values(facts: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Any]:
    return {
        **_frozen({key: fact["value"] for key, fact in facts.items()}),
        "sources": {key: sources[fact["source"]] for key, fact in facts.items()},
        "unverified": tuple(key for key, fact in facts.items() if not fact.get("verified", True)),
    }


def _frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
