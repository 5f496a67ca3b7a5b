"""The folder `engines/` of a store: what each plan is, which one fits a version on this machine, and why another does not.

A plan lies there as TensorRT made it, so that trtexec reads it, with a JSON file of the same name beside it. The JSON is written last:
a plan without one does not exist. Plans hold code for the GPU, so only one whose hash stands in its JSON is ever loaded.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgecl.errors import EngineUnusable, StoreDamaged
from edgecl.manifest import pretty_json
from edgecl.runtime.cudart import Gpu
from edgecl.runtime.selftest import Precision
from edgecl.store.atomic import os_errors, replace_all
from edgecl.store.formats import newest
from edgecl.store.reading import file_sha256, read_bytes, read_json

PLAN_LIMIT = 4 * 2**30  # bytes
Kind = Literal["refit", "frozen"]
BUILD = "edgecl export --trt"


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """One plan: what it was built from, with what, for what."""

    kind: Kind
    graph: str  # key of the graph that it was built from, without the graph's precision
    architecture: str  # key of the architecture
    capacity: int  # rows of the head
    base: str  # sha256 of base.safetensors, whose norms and biases are part of a refit engine
    weights: str | None  # sha256 of the weights that a frozen engine holds
    version: int  # that it was built for
    opset: int
    graph_precision: Precision  # fp32 where TensorRT itself chooses fp16 kernels
    precision: Precision  # in which it computes
    tensorrt: str
    gpu: Gpu
    batch: int  # pictures per inference, fixed
    refittable: Literal["individual", "all"] | None  # exactly the weights that learning changes, or all of them
    built: str  # ISO 8601
    seconds: float  # of the build
    edgecl: str
    sha256: str = ""  # of the plan; `keep` fills it
    bytes: int = 0

    @property
    def name(self) -> str:
        """The plan's file name."""
        end = "refit" if self.weights is None else f"frozen-{self.weights[:16]}"
        return f"{self.family}-{end}.plan"

    @property
    def family(self) -> str:
        """What the two kinds of one engine share: graph, TensorRT, GPU, precision. Timings are kept under it."""
        return f"{self.graph}-trt{self.tensorrt}-{self.gpu.key}-{self.precision}"

    def to_json(self) -> dict[str, Any]:
        """`edgecl.engine/1`"""
        return {"format": newest("engine"), "name": self.name, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a version needs on this machine."""

    version: int
    architecture: str
    capacity: int
    base: str
    weights: str
    tensorrt: str
    gpu: Gpu
    precision: Precision | None = None  # None: any, fp16 first


def engines_folder(root: Path) -> Path:
    """Where the store at `root` keeps its engines; made if it is missing."""
    folder = root / "engines"
    with os_errors("making the folder engines"):
        folder.mkdir(exist_ok=True)
    return folder


def keep(root: Path, facts: EngineFacts, plan: bytes) -> EngineFacts:
    """Write plan and JSON, all or nothing; returns the facts with hash and size.

    Raises:
        NoSpace, BadInput, StoreDamaged: the system refused.
    """
    folder = engines_folder(root)
    whole = replace(facts, sha256=hashlib.sha256(plan).hexdigest(), bytes=len(plan))
    # Not the store's own tmp/: a learn that begins meanwhile would sweep it.
    replace_all({folder / whole.name: plan}, tmp=folder / "tmp")
    replace_all({_sidecar(folder / whole.name): pretty_json(whole.to_json())}, tmp=folder / "tmp")
    return whole


def remove(root: Path, facts: EngineFacts) -> None:
    """Delete a plan, its JSON first, so that it never exists in part."""
    path = root / "engines" / facts.name
    with os_errors(f"removing {facts.name}"):
        _sidecar(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def listed(root: Path) -> list[EngineFacts]:
    """The engines of a store in the order of their names; a JSON that cannot be read is left out, for it can be built anew."""
    return list(_read(root / "engines"))


def fitting(root: Path, wanted: Wanted) -> list[EngineFacts]:
    """The engines for `wanted`, best first: frozen with the very weights before one to refit, fp16 before fp32.

    Raises:
        EngineUnusable: none fits; says what was found and how it differs.
    """
    found = listed(root)
    faults = {facts.name: mismatch(facts, wanted) for facts in found}
    fit = [facts for facts in found if not faults[facts.name]]
    if fit:
        return sorted(fit, key=lambda facts: (facts.kind != "frozen", facts.precision != "fp16", facts.name))
    if not found:
        raise EngineUnusable(f"version {wanted.version} has no TensorRT engine yet. Build one with: {BUILD}")
    reasons = "; ".join(f"{name} {fault}" for name, fault in list(faults.items())[:3])
    raise EngineUnusable(f"no TensorRT engine fits version {wanted.version} on this machine: {reasons}. Build one with: {BUILD}")


def mismatch(facts: EngineFacts, wanted: Wanted) -> str:
    """How an engine differs from what is wanted, in words that follow its name; nothing when it fits."""
    if facts.tensorrt != wanted.tensorrt:
        return f"was built with TensorRT {facts.tensorrt}, but {wanted.tensorrt} is installed"
    if facts.gpu != wanted.gpu:
        return f"was built on {facts.gpu.name} ({facts.gpu.key}), but this is {wanted.gpu.name} ({wanted.gpu.key})"
    if facts.architecture != wanted.architecture or facts.base != wanted.base:
        return "was built from another backbone"
    if facts.capacity != wanted.capacity:
        return f"has {facts.capacity} rows, but the version has {wanted.capacity}"
    if wanted.precision not in (None, facts.precision):
        return f"computes in {facts.precision}, but {wanted.precision} is asked for"
    if facts.weights not in (None, wanted.weights):
        return f"is frozen with the weights of version {facts.version}"
    return ""


def read_plan(root: Path, facts: EngineFacts) -> bytes:
    """The plan's bytes, when they are those that were built.

    Raises:
        EngineUnusable: missing, cut short or changed.
    """
    path = root / "engines" / facts.name
    try:
        if path.stat().st_size != facts.bytes or file_sha256(path) != facts.sha256:
            raise EngineUnusable(f"the engine {facts.name} was changed or cut short since it was built. Build it anew with: {BUILD}")
        return read_bytes(path, limit=PLAN_LIMIT)
    except (OSError, StoreDamaged) as error:
        raise EngineUnusable(f"the engine {facts.name} cannot be read ({error}). Build it anew with: {BUILD}") from error


def _read(folder: Path) -> Iterator[EngineFacts]:
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            yield from_json(read_json(path, "engine"))
        except (StoreDamaged, KeyError, TypeError, ValueError):
            continue


def from_json(fields: Mapping[str, Any]) -> EngineFacts:
    """Read what `to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: a field is missing, unknown or of another kind.
    """
    values = {name: value for name, value in fields.items() if name not in ("format", "name")}
    values["gpu"] = Gpu(**{**fields["gpu"], "compute": tuple(fields["gpu"]["compute"])})
    facts = EngineFacts(**values)
    if facts.name != fields["name"]:
        raise ValueError(f"the engine {fields['name']} describes itself as {facts.name}")
    return facts


def _sidecar(plan: Path) -> Path:
    return plan.with_suffix(".json")
