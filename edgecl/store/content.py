"""What versions share: the backbone, and adapters and kept pictures, named by their hash and checked at every read."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.adapter import CONFIG_FILE, TENSOR_FILE, Adapter, adapter_hash, read_adapter
from edgecl.architecture import Architecture, state_shapes
from edgecl.errors import StoreDamaged
from edgecl.store.atomic import folder_aside, move_folder, remove_folder, replace_file
from edgecl.store.names import checked_hash
from edgecl.store.reading import PICTURE_LIMIT, TENSOR_LIMIT, file_sha256, parse_arrays, place, read_bytes, same_shapes


def adapter_folder(root: Path, hash: str) -> Path:
    """`adapters/<hash>`"""
    return root / "adapters" / checked_hash(hash)


def picture_path(root: Path, hash: str) -> Path:
    """`memory/<hash>.jpg`"""
    return root / "memory" / f"{checked_hash(hash)}.jpg"


def load_adapter(root: Path, hash: str) -> Adapter:
    """The adapter with this hash.

    Raises:
        StoreDamaged: it is missing or was changed.
    """
    folder = adapter_folder(root, hash)
    if adapter_hash(_files(folder)) != hash:
        raise StoreDamaged(f"the adapter {hash[:12]} was changed. Restore adapters/{hash} from a copy of the store.")
    return read_adapter(folder)


def load_picture(root: Path, hash: str) -> bytes:
    """The JPEG of a kept picture.

    Raises:
        StoreDamaged: it is missing or was changed.
    """
    data = read_bytes(picture_path(root, hash), limit=PICTURE_LIMIT)
    if hashlib.sha256(data).hexdigest() != hash:
        raise StoreDamaged(f"the kept picture {hash[:12]} was changed. Restore memory/{hash}.jpg from a copy of the store.")
    return data


def load_base(path: Path, architecture: Architecture) -> dict[str, NDArray[Any]]:
    """The backbone's tensors, float32 under timm's names.

    Raises:
        StoreDamaged: the file is missing or holds something else.
    """
    arrays = parse_arrays(read_bytes(path, limit=TENSOR_LIMIT), place(path))
    problems = same_shapes(arrays, state_shapes(architecture), np.float32)
    if problems:
        raise StoreDamaged(f"{place(path)}: {'; '.join(problems[:4])}. Restore it from a copy of the store.")
    return arrays


def parse_head(data: bytes, where: str, capacity: int, width: int) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Weight `[capacity, width]` and bias `[capacity]` of the head file `where`.

    Raises:
        StoreDamaged: it holds something else.
    """
    arrays = parse_arrays(data, where)
    problems = same_shapes(arrays, {"weight": (capacity, width), "bias": (capacity,)}, np.float16)
    if problems:
        raise StoreDamaged(f"{where}: {'; '.join(problems)}. Restore it from a copy of the store, or run: edgecl rollback")
    return arrays["weight"], arrays["bias"]


def keep_adapter(root: Path, hash: str, files: Mapping[str, bytes]) -> None:
    """Add an adapter; nothing happens when it is already there and whole.

    Raises:
        ValueError: the bytes do not have this hash.
        NoSpace: the disk is full.
    """
    if adapter_hash(files) != hash:
        raise ValueError(f"the adapter {hash[:12]} does not have the hash it is named by")
    folder = adapter_folder(root, hash)
    if folder.exists():
        try:
            if _files(folder) == files:
                return
        except StoreDamaged:
            pass
        remove_folder(folder, tmp=root / "tmp")  # damaged, and a whole one is at hand
    with folder_aside(hash, files, tmp=root / "tmp") as fresh:
        move_folder(fresh, folder)


def keep_picture(root: Path, hash: str, data: bytes) -> None:
    """Add a kept picture; nothing happens when it is already there and whole.

    Raises:
        ValueError: the bytes do not have this hash.
        NoSpace: the disk is full.
    """
    if hashlib.sha256(data).hexdigest() != hash:
        raise ValueError(f"the picture {hash[:12]} does not have the hash it is named by")
    path = picture_path(root, hash)
    if not path.is_file() or file_sha256(path) != hash:
        replace_file(path, data, tmp=root / "tmp")


def _files(folder: Path) -> dict[str, bytes]:
    return {name: read_bytes(folder / name, limit=TENSOR_LIMIT) for name in (CONFIG_FILE, TENSOR_FILE)}
