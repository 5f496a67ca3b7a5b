"""The folders that `edgecl export` wrote into a store, looked at by verify: each describes itself and needs nothing else."""

from collections.abc import Iterator
from pathlib import Path

from edgecl.errors import EdgeclError
from edgecl.store.finding import Finding, check_file, check_spelling
from edgecl.store.names import is_hash
from edgecl.store.reading import read_json

EXPORT_FILE = "export.json"
AGAIN = "Delete the folder and export it again: edgecl export"


def check_exports(root: Path, *, deep: bool) -> Iterator[Finding]:
    """Everything below `exports/`: what its export.json lists, and what a killed export left behind."""
    for folder in sorted((root / "exports").glob("*/*")):
        where = str(folder.relative_to(root))
        if folder.name.startswith(".") and folder.is_dir():
            yield Finding(
                path=where, problem="left by an export that was interrupted", remedy="The next export of it removes it.", damage=False
            )
        elif folder.is_dir():
            yield from _export(root, folder, deep)


def _export(root: Path, folder: Path, deep: bool) -> Iterator[Finding]:
    path = folder / EXPORT_FILE
    where = str(path.relative_to(root))
    try:
        listed = read_json(path, "export")["files"]
        entries = [(str(name), entry["sha256"], entry["bytes"]) for name, entry in listed.items()]
    except EdgeclError as error:
        yield Finding(path=where, problem=str(error), remedy=AGAIN)
        return
    except (AttributeError, KeyError, TypeError) as error:
        yield Finding(path=where, problem=f"cannot be understood ({error!r})", remedy=AGAIN)
        return
    if deep:
        yield from check_spelling(root, path, AGAIN)
    for name, sha256, size_bytes in entries:
        if "/" in name or not is_hash(sha256):
            yield Finding(path=where, problem=f"lists {name!r}, which is no file of an export", remedy=AGAIN)
        else:
            yield from check_file(root, folder / name, sha256, size_bytes, deep, AGAIN)
