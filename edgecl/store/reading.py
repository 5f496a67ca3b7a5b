"""Reading the store's files with limits, so that a damaged file becomes a sentence and never a traceback or a full memory."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import BadInput, StoreDamaged
from edgecl.store.formats import migrated
from edgecl.tensors import parsed_tensors
from edgecl.typed import strict_json

JSON_LIMIT = 32 * 2**20  # bytes
PICTURE_LIMIT = 16 * 2**20  # bytes
TENSOR_LIMIT = 8 * 2**30  # bytes


def place(path: Path) -> str:
    """How a message names a file of the store: the last two parts of its path."""
    return "/".join(path.parts[-2:])


def without_waiting(path: str, flags: int) -> int:
    """An opener for `open` that comes back at once from a pipe that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_bytes(path: Path, *, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises:
        StoreDamaged: it is missing, no regular file (to read a pipe or a device may never end), unreadable or larger.
        BadInput: the user may not read it.
    """
    try:
        with open(path, "rb", opener=without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StoreDamaged(f"{place(path)} is no regular file. Restore it from a copy of the store.")
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise StoreDamaged(f"{place(path)} is missing. Run: edgecl verify") from error
    except PermissionError as error:
        raise BadInput(f"{place(path)} may not be read by this user. Run edgecl as the user who owns the store.") from error
    except OSError as error:
        raise StoreDamaged(f"{place(path)} cannot be read ({error.strerror}). Run: edgecl verify") from error
    if len(data) > limit:
        raise StoreDamaged(f"{place(path)} is larger than {limit} bytes, which edgecl never writes. Run: edgecl verify")
    return data


def read_json(path: Path, thing: str) -> dict[str, Any]:
    """The JSON object in `path`, a file of `thing` (a key of `formats.FORMATS`), as its newest format.

    Raises:
        StoreDamaged: missing, not a JSON object, changed, or of another format.
    """
    return migrated(thing, parse_json(read_bytes(path, limit=JSON_LIMIT), place(path)), place(path))


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object that the file `where` holds.

    Raises:
        StoreDamaged: it holds something else.
    """
    try:
        return strict_json(data)
    except ValueError as error:
        raise StoreDamaged(f"{where} is not JSON that edgecl writes ({error}). Run: edgecl verify") from error


def parse_arrays(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """All tensors of the safetensors file `where`.

    Raises:
        StoreDamaged: it is not a safetensors file.
    """
    try:
        return parsed_tensors(data)
    except ValueError as error:
        raise StoreDamaged(f"{where} is not a safetensors file ({error}). Run: edgecl verify --deep") from error


def same_shapes(arrays: dict[str, NDArray[Any]], shapes: dict[str, tuple[int, ...]], dtype: type[np.generic]) -> list[str]:
    """What is wrong with `arrays`, in words, empty when names, shapes and dtype are as expected."""
    problems = [f"{name} is missing" for name in shapes if name not in arrays]
    problems += [f"{name} is not expected" for name in arrays if name not in shapes]
    for name in shapes.keys() & arrays.keys():
        if arrays[name].shape != shapes[name]:
            problems.append(f"{name} has the shape {arrays[name].shape}, expected {shapes[name]}")
        elif arrays[name].dtype != dtype:
            problems.append(f"{name} has the type {arrays[name].dtype}, expected {np.dtype(dtype)}")
    return sorted(problems)


def file_sha256(path: Path) -> str:
    """sha256 of a file's content, read in pieces.

    Raises:
        StoreDamaged: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb", opener=without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StoreDamaged(f"{place(path)} is no regular file. Restore it from a copy of the store.")
            while piece := file.read(2**20):
                digest.update(piece)
    except OSError as error:
        raise StoreDamaged(f"{place(path)} cannot be read ({error.strerror}). Run: edgecl verify") from error
    return digest.hexdigest()
