"""`checkpoint.safetensors`: how far a learn has come, so that the next one of the same lesson goes on from there.

One file, replaced atomically, that belongs to the lesson whose hash it names: a learn of anything else never takes it. It is removed when
the learn has finished. Losing it loses minutes and nothing else.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from edgecl.errors import StoreDamaged
from edgecl.manifest import canonical_json
from edgecl.store.atomic import remove_all, replace_all
from edgecl.store.formats import SEAL, newest
from edgecl.store.reading import TENSOR_LIMIT, parse_arrays, read_bytes

Array = NDArray[Any]
CHECKPOINT_FILE = "checkpoint.safetensors"
REMEDY = "Delete it: the next learn then begins from the start."
_HEADER_LIMIT = 4 * 2**20  # bytes


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a learn stands."""

    lesson: str  # sha256 of everything that its result depends on
    parent: int  # the version it starts from
    number: int  # of the version that it will write
    steps: int = 0  # of training that are done
    economy: Mapping[str, int] = field(default_factory=dict)  # how it got along with less memory, `edgecl.economy.Economy`
    incidents: tuple[str, ...] = ()  # what run.json will say: pauses, less memory, earlier interruptions
    seconds: float = 0.0  # worked so far
    tensors: Mapping[str, Array] = field(default_factory=dict)  # float32: adapter, training head, optimiser


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """The file: safetensors, everything but the tensors as JSON in its metadata, sealed by a hash over both."""
    fields = {
        "format": newest("checkpoint"),
        "lesson": checkpoint.lesson,
        "parent": checkpoint.parent,
        "number": checkpoint.number,
        "steps": checkpoint.steps,
        "economy": dict(checkpoint.economy),
        "incidents": list(checkpoint.incidents),
        "seconds": round(checkpoint.seconds, 1),
    }
    text = canonical_json({**fields, SEAL: _hash(fields, checkpoint.tensors)}).decode()
    return save(dict(checkpoint.tensors), metadata={"edgecl": text})


def parse_checkpoint(data: bytes) -> Checkpoint:
    """Read what `checkpoint_bytes` wrote.

    Raises:
        StoreDamaged: it holds something else, a byte was changed, or a newer edgecl wrote it.
    """
    where = CHECKPOINT_FILE
    tensors = parse_arrays(data, where)
    try:
        length = int.from_bytes(data[:8], "little")
        if length > _HEADER_LIMIT:
            raise ValueError(f"its header has {length} bytes")
        fields = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["edgecl"])
        found = fields.get("format")
        if found != newest("checkpoint"):
            raise StoreDamaged(f"{where} has the format {found!r}, expected {newest('checkpoint')!r}. {REMEDY}")
        seal = fields.pop(SEAL)
        if seal != _hash(fields, tensors):
            raise ValueError("its hash does not match its content")
        values = {key: value for key, value in fields.items() if key != "format"}
        checkpoint = Checkpoint(**{**values, "incidents": tuple(values["incidents"]), "tensors": tensors})
        if checkpoint_bytes(checkpoint) != data:
            raise ValueError("edgecl spells the same content otherwise")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged(f"{where} was changed ({error}). {REMEDY}") from error
    return checkpoint


def read_checkpoint(root: Path) -> Checkpoint | None:
    """The checkpoint of the store, None when no learn was interrupted.

    Raises:
        StoreDamaged: it cannot be used.
    """
    path = root / CHECKPOINT_FILE
    return parse_checkpoint(read_bytes(path, limit=TENSOR_LIMIT)) if path.exists() else None


def write_checkpoint(root: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint, all or nothing; the caller holds learn.lock.

    Raises:
        NoSpace: the disk is full; the one before stays.
    """
    replace_all({root / CHECKPOINT_FILE: checkpoint_bytes(checkpoint)}, tmp=root / "tmp")


def remove_checkpoint(root: Path) -> None:
    """There is nothing to go on with any more; the caller holds learn.lock."""
    path = root / CHECKPOINT_FILE
    if path.exists():
        remove_all([path], tmp=root / "tmp")


def _hash(fields: Mapping[str, Any], tensors: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(canonical_json(fields))
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode() + array.tobytes())
    return digest.hexdigest()
