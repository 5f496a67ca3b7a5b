"""What a version's folder holds, made from a draft: the files byte for byte and the manifest that binds them."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.architecture import Architecture
from edgecl.gaussians import Gaussians
from edgecl.layout import FREE_BIAS, deployment_shapes, safetensors_bytes, to_deployment
from edgecl.manifest import (
    ClassEntry,
    FileEntry,
    KeptPicture,
    Manifest,
    Operation,
    Recipe,
    Thresholds,
    labels_text,
    manifest_to_json,
    memory_to_json,
    pretty_json,
)
from edgecl.store.formats import sealed

Array = NDArray[Any]
MANIFEST_FILE, RUN_FILE = "manifest.json", "run.json"
GRAPH_FILE, WEIGHTS_FILE, HEAD_FILE = "model.onnx", "weights.safetensors", "head.safetensors"
LABELS_FILE, MEMORY_FILE, CANARY_FILE = "labels.txt", "memory.json", "canary.safetensors"
STATISTICS_FILE = "statistics.safetensors"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Everything a new version is made of, before it has a number."""

    parent: int | None
    operation: Operation
    task: str | None
    capacity: int
    next_row: int
    classes: tuple[ClassEntry, ...]
    recipe: Recipe
    thresholds: Thresholds
    temperature: float  # already folded into the head's values
    seeds: Mapping[str, int]
    checks: Mapping[str, Any]  # JSON values; deterministic figures only
    head_weight: NDArray[np.float16]  # [capacity, d]
    head_bias: NDArray[np.float16]  # [capacity]
    memory: tuple[KeptPicture, ...]
    new_pictures: Mapping[str, bytes]  # hash -> JPEG
    new_adapters: Mapping[str, Mapping[str, bytes]]  # hash -> file name -> content
    graph: bytes  # model.onnx
    canary: bytes  # canary.safetensors
    run: Mapping[str, Any]  # JSON values for run.json: times, host, memory peak
    statistics: Gaussians | None = None  # the spread within classes, and means of those without pictures, by this version's backbone


def check_draft(draft: Draft, architecture: Architecture) -> None:
    """Refuse a draft that contradicts itself; it would become a version that nobody can serve.

    Raises:
        ValueError: it does, and the caller has a bug.
    """
    rows = [entry.row for entry in draft.classes]
    names = [entry.name.casefold() for entry in draft.classes]
    ids = [entry.id for entry in draft.classes]
    problems = [f"two classes share {value!r}" for kind in (rows, names, ids) for value, count in Counter(kind).items() if count > 1]
    if any(not 0 <= row < draft.next_row for row in rows) or not 0 <= draft.next_row <= draft.capacity:
        problems.append(f"rows {rows} do not lie below next_row {draft.next_row} <= capacity {draft.capacity}")
    if draft.capacity < 8 or draft.capacity % 8:
        problems.append(f"capacity {draft.capacity} is not a multiple of 8")
    if draft.head_weight.shape != (draft.capacity, architecture.width) or draft.head_bias.shape != (draft.capacity,):
        problems.append(f"the head is {draft.head_weight.shape} and {draft.head_bias.shape}, not [{draft.capacity}, {architecture.width}]")
    elif draft.head_weight.dtype != np.float16 or draft.head_bias.dtype != np.float16:
        problems.append(f"the head is {draft.head_weight.dtype} and {draft.head_bias.dtype}, not float16")
    elif not (np.isfinite(draft.head_weight[rows]).all() and np.isfinite(draft.head_bias[rows]).all()):
        problems.append("the head is not finite in float16")
    strangers = sorted({picture.class_id for picture in draft.memory} - set(ids))
    if strangers:
        problems.append(f"the memory holds pictures of unknown classes {strangers}")
    if problems:
        raise ValueError(f"a draft contradicts itself: {'; '.join(problems)}")


def enforce_free_rows(draft: Draft) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """The head with weight 0 and bias `FREE_BIAS` in every row that no class has."""
    weight, bias = draft.head_weight.copy(), draft.head_bias.copy()
    free = np.ones(draft.capacity, dtype=bool)
    free[[entry.row for entry in draft.classes]] = False
    weight[free], bias[free] = 0, FREE_BIAS
    return weight, bias


def head_bytes(weight: NDArray[np.float16], bias: NDArray[np.float16]) -> bytes:
    """`head.safetensors`: `weight` `[capacity, d]`, `bias` `[capacity]`, float16."""
    return safetensors_bytes({"weight": weight, "bias": bias})


def weights_bytes(state: Mapping[str, Array], weight: NDArray[np.float16], bias: NDArray[np.float16], architecture: Architecture) -> bytes:
    """`weights.safetensors`: a pure function of the merged backbone and the head."""
    return safetensors_bytes(to_deployment(state, weight.astype(np.float32), bias.astype(np.float32), architecture))


def written_out(
    draft: Draft, number: int, state: Mapping[str, Array], architecture: Architecture, created: str
) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest of `draft` as version `number`, and all its files in the order in which they are written, the manifest last.

    Args:
        state: the backbone with the draft's recipe merged in, timm names.
        created: the wall time, which nothing is ordered by.
    """
    weight, bias = enforce_free_rows(draft)
    files = version_files(draft, weight, bias, weights_bytes(state, weight, bias, architecture))
    manifest = build_manifest(draft, number, files)
    return manifest, {**files, RUN_FILE: run_bytes(draft.run, created), MANIFEST_FILE: manifest_bytes(manifest)}


def version_bytes(architecture: Architecture, capacity: int) -> int:
    """Room that a version with so many rows takes on the disk, its canary estimated."""
    canary = 16 * 3 * architecture.image_size**2
    weights = sum(4 * math.prod(shape) for shape in deployment_shapes(architecture, capacity).values())
    return weights + 2 * capacity * (architecture.width + 1) + canary + 4 * architecture.width**2


def version_files(draft: Draft, weight: NDArray[np.float16], bias: NDArray[np.float16], weights: bytes) -> dict[str, bytes]:
    """The deterministic files of a version, all but the manifest."""
    files = {
        GRAPH_FILE: draft.graph,
        WEIGHTS_FILE: weights,
        HEAD_FILE: head_bytes(weight, bias),
        LABELS_FILE: labels_text(draft.classes, draft.capacity).encode(),
        MEMORY_FILE: pretty_json(memory_to_json(draft.memory)),
        CANARY_FILE: draft.canary,
    }
    return files | ({STATISTICS_FILE: draft.statistics.to_bytes()} if draft.statistics is not None else {})


def build_manifest(draft: Draft, number: int, files: Mapping[str, bytes]) -> Manifest:
    """The sealed manifest of `draft` as version `number`."""
    return Manifest(
        number=number,
        parent=draft.parent,
        operation=draft.operation,
        task=draft.task,
        capacity=draft.capacity,
        next_row=draft.next_row,
        classes=draft.classes,
        recipe=draft.recipe,
        thresholds=draft.thresholds,
        temperature=draft.temperature,
        seeds=draft.seeds,
        checks=draft.checks,
        files={name: FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)) for name, data in files.items()},
    ).sealed()


def manifest_bytes(manifest: Manifest) -> bytes:
    """`manifest.json`"""
    return pretty_json(manifest_to_json(manifest))


def run_bytes(run: Mapping[str, Any], created: str) -> bytes:
    """`run.json`; `created` is the wall time, which nothing is ordered by."""
    return pretty_json(sealed("run", {"created": created, **run}))
