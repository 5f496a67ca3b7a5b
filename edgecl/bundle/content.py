"""What a bundle says and holds, as values: read with every shape, hash and name checked, or refused in a sentence."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgecl.adapter import CONFIG_FILE, TENSOR_FILE, Adapter, adapter_hash, parse_adapter
from edgecl.architecture import Architecture, linear_targets, target_shape
from edgecl.bundle.container import Sealed, entries, read_sealed
from edgecl.errors import BadInput
from edgecl.gaussians import Gaussians
from edgecl.layout import safetensors_bytes
from edgecl.manifest import ClassEntry, FileEntry, KeptPicture, Recipe, RecipeStep, Thresholds, class_problems
from edgecl.merge import coefficient_of
from edgecl.preprocess import UnreadablePicture, decode, geometry_of
from edgecl.runtime.decide import UNKNOWN_SCORES
from edgecl.store.names import is_hash
from edgecl.store.reading import PICTURE_LIMIT
from edgecl.tensors import parsed_tensors
from edgecl.typed import typed

MODEL_FILE = "model.safetensors"
LARGEST_COEFFICIENT = 100.0
LARGEST_TEMPERATURE = 1e6
MOST_PROBES = 64
ROUNDING = 1e-4  # part of the largest eigenvalue by which another may lie below zero

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Before:
    """The version that the packed one was built on: what a store must be like to become the packed version itself."""

    version: int
    next_row: int
    rows: Mapping[str, int]  # class id -> row


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a bundle comes from."""

    version: int
    deterministic: str  # of that version's manifest
    edgecl: str  # which packed it


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The header of a bundle."""

    format: Literal["edgecl.bundle/1"] = "edgecl.bundle/1"
    backbone: str
    base: str  # sha256 of base.safetensors
    architecture: str  # its key
    capacity: int
    next_row: int
    before: Before
    rows: Mapping[str, int]  # class id -> row, of every class of the packed version
    recipe: Recipe  # of the packed version, whole: `tasks` come along, the steps before them are needed
    tasks: tuple[str, ...]
    classes: tuple[ClassEntry, ...]  # that these tasks taught
    thresholds: Thresholds
    temperature: float
    accuracy: Mapping[str, float | None]  # as the packed version's checks say
    pictures: tuple[KeptPicture, ...]
    provenance: Provenance
    files: Mapping[str, FileEntry]

    @property
    def needed(self) -> tuple[RecipeStep, ...]:
        """Steps whose adapters a store must have already."""
        return tuple(step for step in self.recipe.steps if step.task not in self.tasks)

    @property
    def carried(self) -> tuple[RecipeStep, ...]:
        """Steps whose adapters come along."""
        return tuple(step for step in self.recipe.steps if step.task in self.tasks)


@dataclass(frozen=True, eq=False)
class Model:
    """The numbers of a bundle, one safetensors part."""

    head_weight: NDArray[np.float16]  # [k, d], used rows of the packed version in ascending order
    head_bias: NDArray[np.float16]  # [k]
    means: NDArray[np.float32]  # [c, d], of `classes`, by the packed version's backbone
    covariance: NDArray[np.float32]  # [d (d + 1) / 2], lower triangle row by row, within classes, of what the version was taught
    probe: NDArray[np.float32]  # [p, d], features that the packed version's graph gave for the probe pictures

    def to_bytes(self) -> bytes:
        """`model.safetensors`"""
        return safetensors_bytes({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    def gaussians(self, classes: Sequence[ClassEntry]) -> Gaussians:
        """Means by class id, and the covariance as a square."""
        d = self.means.shape[1]
        square = np.zeros((d, d), np.float32)
        square[np.tril_indices(d)] = self.covariance
        return Gaussians({entry.id: mean for entry, mean in zip(classes, self.means, strict=True)}, square + np.tril(square, -1).T)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle, read and checked."""

    contents: Contents
    model: Model
    adapters: Mapping[str, Mapping[str, bytes]]  # hash -> the two files
    parsed: Mapping[str, Adapter]  # hash -> what they hold
    pictures: Mapping[str, bytes]  # hash -> JPEG
    sha256: str  # of the whole file
    signed_by: str | None


def parts_of(adapters: Mapping[str, Mapping[str, bytes]], model: Model, pictures: Mapping[str, bytes]) -> dict[str, bytes]:
    """The named parts of a file."""
    parts = {f"{hash}/{name}": data for hash, files in adapters.items() for name, data in files.items()}
    return parts | {MODEL_FILE: model.to_bytes()} | {f"{hash}.jpg": data for hash, data in pictures.items()}


def header_of(contents: Contents, parts: Mapping[str, bytes]) -> dict[str, Any]:
    """The header as JSON values, with the parts listed."""
    return dataclasses.asdict(dataclasses.replace(contents, files=entries(parts)))


def read_bundle(path: Path, architecture: Architecture, base: str, *, trusted_keys: Sequence[str] = ()) -> Bundle:
    """Read a bundle for stores whose backbone has this `architecture` and whose base.safetensors has the sha256 `base`.

    Raises:
        BadInput: it cannot be read, is not signed as it must be, contradicts itself, or was packed for another backbone.
        MissingExtra: a signature must be checked, and `cryptography` is not installed.
    """
    return opened(read_sealed(path, trusted_keys=trusted_keys), path, architecture, base)


def opened(sealed: Sealed, path: Path, architecture: Architecture, base: str) -> Bundle:
    """What `read_bundle` makes of a sealed file."""
    try:
        contents = typed(Contents, dict(sealed.header), "header")
        _check_header(contents)
    except ValueError as error:
        raise BadInput(f"the bundle {path} contradicts itself: {error}. Fetch it again from who packed it.") from error
    if (contents.base, contents.architecture) != (base, architecture.key()):
        raise BadInput(
            f"the bundle {path} is for {contents.backbone} with the weights {contents.base[:12]}, but this store was made from "
            f"{architecture.backbone} with {base[:12]}. Apply it to a store that was made from the same weights."
        )
    try:
        return _filled(contents, sealed, architecture)
    except ValueError as error:
        raise BadInput(f"the bundle {path} contradicts itself: {error}. Fetch it again from who packed it.") from error


def _filled(contents: Contents, sealed: Sealed, architecture: Architecture) -> Bundle:
    hashes = [step.adapter for step in contents.carried]
    adapters = {hash: {name: sealed.parts[f"{hash}/{name}"] for name in (CONFIG_FILE, TENSOR_FILE)} for hash in hashes}
    parsed = {}
    for hash, files in adapters.items():
        if adapter_hash(files) != hash:
            raise ValueError(f"the adapter {hash[:12]} does not have the hash that it is named by")
        parsed[hash] = parse_adapter(files)
        _check_adapter(parsed[hash], architecture)
    model = _parsed_model(sealed.parts[MODEL_FILE], contents, architecture.width)
    pictures = {kept.hash: sealed.parts[f"{kept.hash}.jpg"] for kept in contents.pictures}
    for kept in contents.pictures:
        _check_picture(kept, pictures[kept.hash], contents.files[f"{kept.hash}.jpg"], geometry_of(architecture).keep_short)
    return Bundle(contents, model, adapters, parsed, pictures, sealed.sha256, sealed.signed_by)


def _check_header(contents: Contents) -> None:
    """Raises ValueError where the header's fields do not go together."""
    tasks = [step.task for step in contents.recipe.steps]
    problems = class_problems(contents.classes, capacity=contents.capacity, next_row=contents.next_row)
    if not contents.tasks or tasks[len(tasks) - len(contents.tasks) :] != list(contents.tasks) or len(set(tasks)) != len(tasks):
        problems.append(f"its tasks {list(contents.tasks)[:4]} are not the last steps of its recipe {tasks[-4:]}")
    if contents.recipe.method != Recipe().method:
        problems.append(f"its recipe is merged by {contents.recipe.method[:40]!r}, expected {Recipe().method!r}")
    for step in contents.recipe.steps:
        finite = all(abs(value) <= LARGEST_COEFFICIENT for value in step.coefficients.values())
        if not is_hash(step.adapter) or not finite or "*" not in step.coefficients:
            problems.append(f"the step of {step.task[:80]!r} names no adapter, or coefficients beyond {LARGEST_COEFFICIENT:g}")
    rows, known = contents.rows, {entry.id for entry in contents.classes}
    if any(not 0 <= row < contents.next_row for row in rows.values()) or len(set(rows.values())) != len(rows):
        problems.append("its classes do not have a row each")
    if any(rows.get(entry.id) != entry.row or not set(entry.tasks) & set(contents.tasks) for entry in contents.classes):
        problems.append("a class has another row than its head, or was taught by none of its tasks")
    for kept in contents.pictures:
        hashes = is_hash(kept.hash) and is_hash(kept.source) and len(kept.phash) == 16 and not set(kept.phash) - set("0123456789abcdef")
        if not hashes or kept.class_id not in known or kept.task not in tasks:
            problems.append(f"the picture {kept.hash[:12]!r} belongs to no class or task of it")
    if len({kept.hash for kept in contents.pictures}) != len(contents.pictures):
        problems.append("a picture is there twice")
    if contents.thresholds.score not in UNKNOWN_SCORES or not 0 < contents.temperature <= LARGEST_TEMPERATURE:
        problems.append(f"its unknown score {contents.thresholds.score[:40]!r} or its temperature {contents.temperature} is none")
    expected = {f"{step.adapter}/{name}" for step in contents.carried for name in (CONFIG_FILE, TENSOR_FILE)}
    expected |= {MODEL_FILE} | {f"{kept.hash}.jpg" for kept in contents.pictures}
    odd = sorted(set(contents.files) ^ expected)
    if odd:
        problems.append(f"the part {odd[0][:80]!r} is {'missing' if odd[0] in expected else 'not expected'}")
    if problems:
        raise ValueError("; ".join(problems[:4]))


def _check_adapter(adapter: Adapter, architecture: Architecture) -> None:
    strangers = sorted(set(adapter.targets) - set(linear_targets(architecture)))
    if strangers or not adapter.targets:
        raise ValueError(f"an adapter changes {strangers[:1] or 'nothing'}, which {architecture.backbone} does not have")
    for target in adapter.targets:
        out, into = target_shape(architecture, target)
        if adapter.a[target].shape[1] != into or adapter.b[target].shape[0] != out:
            raise ValueError(f"an adapter changes {target} as if it were {adapter.b[target].shape[0]} x {adapter.a[target].shape[1]}")


def _parsed_model(data: bytes, contents: Contents, width: int) -> Model:
    arrays = parsed_tensors(data)
    used, taught = len(contents.rows), len(contents.classes)
    probes = arrays["probe"].shape[0] if "probe" in arrays and arrays["probe"].ndim == 2 else 1
    if not 1 <= probes <= MOST_PROBES:
        raise ValueError(f"it speaks of {probes} probe pictures, expected 1 to {MOST_PROBES}")
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "head_weight": ((used, width), np.float16),
        "head_bias": ((used,), np.float16),
        "means": ((taught, width), np.float32),
        "covariance": ((width * (width + 1) // 2,), np.float32),
        "probe": ((probes, width), np.float32),
    }
    if set(arrays) != set(shapes):
        raise ValueError(f"{MODEL_FILE} holds {sorted(arrays)[:8]}, expected {sorted(shapes)}")
    for name, (shape, dtype) in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype != dtype or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} is {arrays[name].dtype} {list(arrays[name].shape)}, expected finite {np.dtype(dtype)} {list(shape)}")
    model = Model(**arrays)
    # A head is solved from it: what no pictures can have would end there without a word, or in a head that answers anything.
    spread = np.linalg.eigvalsh(model.gaussians(contents.classes).covariance.astype(np.float64))
    if spread[0] < -ROUNDING * max(float(spread[-1]), 0.0) or spread[-1] < 0:
        raise ValueError(f"covariance has the eigenvalue {spread[0]:.3g} beside {spread[-1]:.3g}, expected none below zero")
    return model


def _check_picture(kept: KeptPicture, data: bytes, listed: FileEntry, keep_short: int) -> None:
    """A kept picture is a JPEG as edgecl keeps them: anything else would be decoded at every learn to come."""
    if listed.sha256 != kept.hash or kept.bytes != len(data) or len(data) > PICTURE_LIMIT or not data.startswith(b"\xff\xd8\xff"):
        raise ValueError(f"the picture {kept.hash[:12]} is no JPEG of {kept.bytes} bytes with that hash")
    try:
        height, width, _ = decode(data, pixel_limit=100 * keep_short**2).shape
    except UnreadablePicture as error:
        raise ValueError(f"the picture {kept.hash[:12]} cannot be read ({error})") from error
    if min(height, width) > keep_short:
        raise ValueError(f"the picture {kept.hash[:12]} is {width} x {height} pixels, kept ones have a short side of {keep_short} at most")


def has_effect(step: RecipeStep, adapter: Adapter) -> bool:
    """Whether merging the step changes a weight at all; a step that only taught the head does not."""
    return any(coefficient_of(step.coefficients, target) != 0.0 and adapter.b[target].any() for target in adapter.targets)
