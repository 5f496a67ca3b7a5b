"""One thing that is not as edgecl left it, and the checks of single files that find such things. Nothing here changes or raises."""

import json
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgecl.errors import EdgeclError
from edgecl.manifest import pretty_json
from edgecl.store.reading import JSON_LIMIT, file_sha256, read_bytes

RESTORE = "Restore it from a copy of the store."


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong where, and what to do."""

    path: str  # relative to the store
    problem: str
    remedy: str
    damage: bool = True  # False: untidy, but everything can still be served and learned


def findings_json(findings: list[Finding]) -> dict[str, Any]:
    """`edgecl.verify/1`; `intact` when nothing is damaged."""
    intact = not any(finding.damage for finding in findings)
    return {"format": "edgecl.verify/1", "intact": intact, "findings": [asdict(finding) for finding in findings]}


def attempt(path: str, read: Callable[[], object], remedy: str, *, damage: bool = True) -> Iterator[Finding]:
    """What `read` complains about."""
    try:
        read()
    except EdgeclError as error:
        yield Finding(path=path, problem=str(error), remedy=remedy, damage=damage)


def check_file(root: Path, path: Path, sha256: str, size_bytes: int | None, deep: bool, remedy: str) -> Iterator[Finding]:
    """A real file of this size (None: any) and, with `deep`, of this content."""
    where = str(path.relative_to(root))
    try:
        found = path.lstat()
    except FileNotFoundError:
        yield Finding(path=where, problem="is missing", remedy=remedy)
        return
    except OSError as error:
        yield Finding(path=where, problem=f"cannot be looked at ({error.strerror})", remedy=remedy)
        return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        yield Finding(path=where, problem="is a link or no file; ONNX Runtime refuses such files", remedy=remedy)
    elif size_bytes is not None and found.st_size != size_bytes:
        yield Finding(path=where, problem=f"has {found.st_size} bytes, expected {size_bytes}", remedy=remedy)
    elif deep:
        yield from _content(path, where, sha256, remedy)


def _content(path: Path, where: str, sha256: str, remedy: str) -> Iterator[Finding]:
    try:
        found = file_sha256(path)
    except EdgeclError as error:
        yield Finding(path=where, problem=str(error), remedy=remedy)
        return
    if found != sha256:
        yield Finding(path=where, problem=f"was changed: its sha256 begins with {found[:12]}, expected {sha256[:12]}", remedy=remedy)


def check_spelling(root: Path, path: Path, remedy: str) -> Iterator[Finding]:
    """A JSON file that says what it should but not in edgecl's spelling: a space or line end was changed, which no seal sees."""
    try:
        data = read_bytes(path, limit=JSON_LIMIT)
        as_written = pretty_json(json.loads(data)) == data
    except (EdgeclError, ValueError, RecursionError):
        return  # whoever reads it says more
    if not as_written:
        yield Finding(path=str(path.relative_to(root)), problem="was changed: edgecl spells the same content otherwise", remedy=remedy)
