"""A tiny backbone with random numbers, and the drafts, adapters and pictures that the store's tests are made of."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.adapter import Adapter, adapter_files, adapter_hash
from edgecl.architecture import Architecture, linear_targets, state_shapes, target_shape
from edgecl.manifest import ClassEntry, KeptPicture, Recipe, RecipeStep, Thresholds, allocate_rows
from edgecl.settings import AdapterShape, MemorySettings
from edgecl.store import Draft, Store
from edgecl.store.names import task_id

TINY = Architecture(
    backbone="vit_tiny_test",
    image_size=32,
    patch_size=8,
    width=32,
    depth=2,
    heads=2,
    mlp_width=64,
    norm_eps=1e-6,
    layer_scale=False,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    interpolation="bicubic",
    crop_pct=0.9,
)
CAPACITY = 16


def random_state(seed: int = 0, architecture: Architecture = TINY) -> dict[str, NDArray[np.float32]]:
    """A backbone of random numbers, timm names."""
    numbers = np.random.default_rng(seed)
    return {name: numbers.normal(0, 0.2, shape).astype(np.float32) for name, shape in state_shapes(architecture).items()}


def random_adapter(seed: int, *, rank: int = 2, first_block: int = 1, architecture: Architecture = TINY) -> Adapter:
    """An adapter whose B is not zero."""
    numbers = np.random.default_rng((seed, 1))
    shapes = {target: target_shape(architecture, target) for target in linear_targets(architecture, first_block)}
    return Adapter(
        rank=rank,
        alpha=2.0 * rank,
        a={target: numbers.normal(0, 0.1, (rank, into)).astype(np.float16) for target, (_, into) in shapes.items()},
        b={target: numbers.normal(0, 0.1, (out, rank)).astype(np.float16) for target, (out, _) in shapes.items()},
    )


def create(root: Path, seed: int = 0) -> Store:
    """A store without a version."""
    return Store.create(
        root,
        architecture=TINY,
        base=random_state(seed),
        source="random.safetensors",
        capacity=CAPACITY,
        adapter=AdapterShape(rank=2, alpha=4.0, first_block=1),
        memory=MemorySettings(),
    )


def first_draft() -> Draft:
    """What `init` commits: no class, no adapter."""
    return Draft(
        parent=None,
        operation="init",
        task=None,
        capacity=CAPACITY,
        next_row=0,
        classes=(),
        recipe=Recipe(),
        thresholds=Thresholds(),
        temperature=1.0,
        seeds={"learn": 0},
        checks={},
        head_weight=np.zeros((CAPACITY, TINY.width), np.float16),
        head_bias=np.zeros(CAPACITY, np.float16),
        memory=(),
        new_pictures={},
        new_adapters={},
        graph=b"graph",
        canary=b"canary",
        run={"seconds": 0.5},
    )


def learn_draft(store: Store, names: Sequence[str], *, parent: int | None = None, pictures: int = 3, seed: int = 7) -> Draft:
    """What `learn` would commit for a task with the new classes `names`, on top of `parent` (default: current)."""
    parent = store.current if parent is None else parent
    assert parent is not None
    before = store.manifest(parent)
    task = task_id(store.next_number(), "-".join(names))
    rows, next_row = allocate_rows(len(names), capacity=before.capacity, next_row=before.next_row, used=before.rows())
    new = tuple(
        ClassEntry(id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{task}/{name}")), row=row, name=name, tasks=(task,))
        for name, row in zip(names, rows, strict=True)
    )
    weight, bias = store.head(parent)
    numbers = np.random.default_rng((seed, parent))
    weight[rows] = numbers.normal(0, 1, (len(rows), weight.shape[1])).astype(np.float16)
    bias[rows] = 0.25
    kept = {entry.id: [kept_picture(f"{task}/{entry.name}/{i}", entry.id, task, holdout=i == 0) for i in range(pictures)] for entry in new}
    adapter = random_adapter(seed + parent)
    files = adapter_files(adapter, TINY.backbone)
    step = RecipeStep(task=task, adapter=adapter_hash(files), coefficients={"*": 0.75})
    return Draft(
        parent=parent,
        operation="learn",
        task=task,
        capacity=before.capacity,
        next_row=next_row,
        classes=(*before.classes, *new),
        recipe=replace(before.recipe, steps=(*before.recipe.steps, step)),
        thresholds=Thresholds(parameters={"smoothing": 0.5}, unknown_above=0.625),
        temperature=1.5,
        seeds={"learn": seed},
        checks={"accuracy": {"validation": 0.9375, "holdout_before": 1.0, "holdout_after": 0.96875}},
        head_weight=weight,
        head_bias=bias,
        memory=(*store.memory(parent), *(picture for pairs in kept.values() for picture, _ in pairs)),
        new_pictures={picture.hash: data for pairs in kept.values() for picture, data in pairs},
        new_adapters={adapter_hash(files): files},
        graph=b"graph",
        canary=b"canary",
        run={"seconds": 1.5, "host": "board"},
    )


def kept_picture(text: str, class_id: str, task: str, *, holdout: bool = False) -> tuple[KeptPicture, bytes]:
    """An entry of the memory's index and the bytes that it names."""
    data = f"picture {text}".encode()
    digest = hashlib.sha256(data).hexdigest()
    role: Any = "holdout" if holdout else "replay"
    entry = KeptPicture(hash=digest, class_id=class_id, role=role, task=task, source=digest[::-1], phash=digest[:16], bytes=len(data))
    return entry, data


def initialised(root: Path) -> Store:
    """A store whose version 0 is current."""
    store = create(root)
    store.commit(first_draft())
    assert store.promote(0, expected=None)
    return store


def learn(store: Store, *names: str, promote: bool = True, **options: Any) -> int:
    """Commit a learned version, promote it, return its number."""
    before = store.current
    number = store.commit(learn_draft(store, names, **options)).number
    if promote:
        assert store.promote(number, expected=before)
    return number


def snapshot(root: Path) -> Mapping[str, bytes | str]:
    """Everything below `root` but locks: path -> content, or the target of a link."""
    found: dict[str, bytes | str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file() and path.suffix != ".lock":
            found[name] = path.read_bytes()
    return found
