"""A new store: built beside its place and moved there when it is complete."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.architecture import Architecture, state_shapes
from edgecl.errors import BadInput, BadWeights, UsageError
from edgecl.layout import safetensors_bytes
from edgecl.manifest import LARGEST_CAPACITY, FileEntry, pretty_json
from edgecl.settings import AdapterShape
from edgecl.store.atomic import os_errors, sync_folder, write_file
from edgecl.store.beside import folder_beside, sync_above
from edgecl.store.facts import FACTS_FILE, Facts
from edgecl.store.filesystem import check_file_system
from edgecl.store.reading import same_shapes
from edgecl.store.settings import SETTINGS_FILE, Settings, settings_text
from edgecl.store.state import STATE_FILE, fresh_state, state_bytes

BASE_FILE = "base.safetensors"
FOLDERS = ("adapters", "memory", "versions")
MADE_WHEN_NEEDED = ("exports", "engines", "tmp")  # copies that leave out empty folders lose them, and nothing is lost


@contextmanager
def empty_place(root: Path) -> Iterator[Path]:
    """A folder beside `root` to build in; it becomes `root` when the body ends without an exception, else it is removed.

    Raises:
        UsageError: `root` is a file or a folder with something in it.
        BadInput: the file system cannot hold a store.
        NoSpace: it is full.
    """
    refuse_occupied(root)
    with os_errors(f"creating {root.name} in {root.parent}"), folder_beside(root) as building:
        check_file_system(root.parent, within=building)
        for name in (*FOLDERS, *MADE_WHEN_NEEDED):
            (building / name).mkdir()
        yield building
        refuse_occupied(root)
        sync_folder(building)
        os.rename(building, root)
        sync_above(root)


def refuse_occupied(root: Path) -> None:
    """Only an absent or empty folder becomes a store.

    Raises:
        UsageError: there is something.
    """
    with os_errors(f"looking into {root}"):
        if (root / FACTS_FILE).exists():
            raise UsageError(f"{root} is already a store. Learn into it with: edgecl learn --store {root} --task FOLDER")
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise UsageError(f"{root} is not an empty folder. Choose another place for the store, or empty it first.")


def write_facts(
    folder: Path,
    *,
    architecture: Architecture,
    base: Mapping[str, NDArray[Any]],
    source: str,
    capacity: int,
    adapter: AdapterShape,
    settings: Settings,
) -> Facts:
    """Write what a store has before its first version: the backbone, its facts, settings and state; returns the facts.

    Raises:
        UsageError: `capacity` is not a multiple of 8, or the adapter does not fit the backbone.
        BadWeights: `base` does not hold the tensors of `architecture`.
    """
    if not 8 <= capacity <= LARGEST_CAPACITY or capacity % 8:
        raise UsageError(
            f"--capacity {capacity} is not a multiple of 8, such as 128, up to {LARGEST_CAPACITY}. TensorRT and the graph need one."
        )
    if not 0 <= adapter.first_block < architecture.depth or adapter.rank < 1:
        raise UsageError(
            f"an adapter of rank {adapter.rank} from block {adapter.first_block} does not fit {architecture.backbone}, "
            f"which has {architecture.depth} blocks. Choose a rank from 1 and a block below {architecture.depth}."
        )
    if Path(source).is_absolute():
        raise BadInput(f"the source {source!r} is an absolute path. Hand in the file's name or the hub id.")
    data = safetensors_bytes(checked_base(base, architecture))
    entry = FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    facts = Facts(architecture=architecture, base=entry, source=source, capacity=capacity, adapter=adapter)
    files = {
        BASE_FILE: data,
        SETTINGS_FILE: settings_text(settings).encode(),
        STATE_FILE: state_bytes(fresh_state()),
        FACTS_FILE: pretty_json(facts.to_json()),
    }
    with os_errors(f"creating {folder.name}"):
        for name, content in files.items():
            write_file(folder / name, content)
    return facts


def checked_base(base: Mapping[str, NDArray[Any]], architecture: Architecture) -> dict[str, NDArray[np.float32]]:
    """`base` as float32 in forward order, when it is the backbone and nothing else.

    Raises:
        BadWeights: a tensor is missing, unexpected, of another shape, or not finite.
    """
    shapes = state_shapes(architecture)
    arrays = {name: np.asarray(value, dtype=np.float32) for name, value in base.items()}
    problems = same_shapes(arrays, shapes, np.float32)
    problems += [f"{name} is not finite" for name, value in arrays.items() if not np.isfinite(value).all()]
    if problems:
        raise BadWeights(
            f"these are not the weights of {architecture.backbone}: {'; '.join(problems[:4])}. Check --backbone and --weights."
        )
    return {name: np.ascontiguousarray(arrays[name]) for name in shapes}
