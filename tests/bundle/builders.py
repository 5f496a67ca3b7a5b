"""A bundle for the tiny backbone, made without a store, with everything in it that a bundle can hold."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgecl.adapter import adapter_files, adapter_hash
from edgecl.bundle.container import MAGIC, UNSIGNED, packed, parse_sealed
from edgecl.bundle.content import Before, Bundle, Contents, Model, Provenance, header_of, opened, parts_of
from edgecl.bundle.keys import key_text
from edgecl.manifest import ClassEntry, KeptPicture, Recipe, RecipeStep, Thresholds, canonical_json
from edgecl.memory import candidate
from tests.store.builders import TINY, random_adapter

BASE = "b" * 64
TASK = "t0002-cans"


def jpeg(seed: int, class_id: str, role: Any) -> tuple[KeptPicture, bytes]:
    """A kept picture as the memory makes it."""
    rgb = np.random.default_rng(seed).integers(0, 255, (32, 36, 3), dtype=np.uint8)
    made = candidate(rgb, class_id=class_id, role=role, task=TASK, source=f"{seed:064x}", phash=seed)
    return made.kept, made.data


def contents_and_parts(**changes: Any) -> tuple[Contents, dict[str, bytes]]:
    """Task two of two: classes in rows 1 and 2 beside an older one in row 0, one picture of each role; `changes` are fields of Contents."""
    random = np.random.default_rng(0)
    files = adapter_files(random_adapter(3), TINY.backbone)
    classes = (ClassEntry(id="id-cola", row=1, name="cola", tasks=(TASK,)), ClassEntry(id="id-fanta", row=2, name="fanta", tasks=(TASK,)))
    pictures = [jpeg(1, "id-cola", "replay"), jpeg(2, "id-fanta", "holdout")]
    older = RecipeStep(task="t0001-tea", adapter="a" * 64, coefficients={"*": 0.5})
    model = Model(
        head_weight=random.normal(size=(3, TINY.width)).astype(np.float16),
        head_bias=random.normal(size=3).astype(np.float16),
        means=random.normal(size=(2, TINY.width)).astype(np.float32),
        covariance=np.eye(TINY.width, dtype=np.float32)[np.tril_indices(TINY.width)],
        probe=random.normal(size=(4, TINY.width)).astype(np.float32),
    )
    contents = Contents(
        backbone=TINY.backbone,
        base=BASE,
        architecture=TINY.key(),
        capacity=16,
        next_row=3,
        before=Before(version=1, next_row=1, rows={"id-tea": 0}),
        rows={"id-tea": 0, "id-cola": 1, "id-fanta": 2},
        recipe=Recipe(steps=(older, RecipeStep(task=TASK, adapter=adapter_hash(files), coefficients={"*": 1.0}))),
        tasks=(TASK,),
        classes=classes,
        thresholds=Thresholds(unknown_above=0.5),
        temperature=1.5,
        accuracy={"validation": 0.9, "holdout_before": None, "holdout_after": None},
        pictures=tuple(kept for kept, _ in pictures),
        provenance=Provenance(version=2, deterministic="d" * 64, edgecl="0.1.0"),
        files={},
    )
    contents = replace(contents, **changes)
    return contents, parts_of({adapter_hash(files): files}, model, {kept.hash: data for kept, data in pictures})


def bundle_bytes(*, signed: bool = False, **changes: Any) -> bytes:
    """The file, on request signed by a key that everybody knows."""
    contents, parts = contents_and_parts(**changes)
    header = header_of(contents, parts)
    return packed(header, parts, signature_of(canonical_json(header)) if signed else UNSIGNED)


def signature_of(header: bytes) -> tuple[bytes, bytes]:
    """(public key, signature) by the private key of 32 zeros."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    return private.public_key().public_bytes_raw(), private.sign(MAGIC + header)


KEY = key_text(signature_of(b"")[0])


def read(data: bytes, trusted_keys: Sequence[str] = ()) -> Bundle:
    """What a store of the tiny backbone makes of it."""
    path = Path("task.edgecl")
    return opened(parse_sealed(data, path, trusted_keys=trusted_keys), path, TINY, BASE)
