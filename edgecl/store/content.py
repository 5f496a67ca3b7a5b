"""What versions share: the backbone, and adapters and kept pictures, named by their hash and checked at every read."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.adapter import CONFIG_FILE, TENSOR_FILE, Adapter, adapter_hash, read_adapter
from edgecl.architecture import Architecture, state_shapes
from edgecl.errors import StoreDamaged
from edgecl.store.atomic import aside, folder_aside, move_folder, os_errors, ready, sync_folder
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


def keep_adapters(root: Path, adapters: Mapping[str, Mapping[str, bytes]]) -> None:
    """Add adapters, hash -> file name -> content, durably; one that is already there and whole stays.

    Raises:
        ValueError: the bytes do not have this hash.
        NoSpace: the disk is full.
    """
    for hash, files in adapters.items():
        if adapter_hash(files) != hash:
            raise ValueError(f"the adapter {hash[:12]} does not have the hash it is named by")
        folder = adapter_folder(root, hash)
        if not _holds(folder, files):
            with folder_aside(hash, files, tmp=root / "tmp") as fresh, os_errors(f"keeping {hash[:12]}"):
                if folder.exists():  # damaged, and a whole one is at hand
                    os.rename(folder, aside(root / "tmp", hash))
                move_folder(fresh, folder)
    # Also where nothing was added: the name may be of a command that was killed before it could make it durable.
    with os_errors("keeping adapters"):
        sync_folder(root / "adapters")


def keep_pictures(root: Path, pictures: Mapping[str, bytes]) -> None:
    """Add kept pictures, hash -> JPEG, durably; one that is already there and whole stays.

    Raises:
        ValueError: the bytes do not have this hash.
        NoSpace: the disk is full.
    """
    for hash, data in pictures.items():
        if hashlib.sha256(data).hexdigest() != hash:
            raise ValueError(f"the picture {hash[:12]} does not have the hash it is named by")
    paths = {picture_path(root, hash): hash for hash in pictures}
    missing = {path: pictures[hash] for path, hash in paths.items() if not path.is_file() or file_sha256(path) != hash}
    with ready(missing, tmp=root / "tmp") as put, os_errors("keeping pictures"):
        put()
        sync_folder(root / "memory")


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    if not folder.exists():
        return False
    try:
        return _files(folder) == files
    except StoreDamaged:
        return False


def _files(folder: Path) -> dict[str, bytes]:
    return {name: read_bytes(folder / name, limit=TENSOR_LIMIT) for name in (CONFIG_FILE, TENSOR_FILE)}
