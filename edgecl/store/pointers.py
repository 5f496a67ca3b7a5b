"""`current` and `good`: two relative symbolic links to a version's folder."""

import os
from pathlib import Path

from edgecl.errors import StoreDamaged
from edgecl.store.atomic import explained
from edgecl.store.names import version_folder, version_number


def read_pointer(root: Path, name: str) -> int | None:
    """The version that `name` points at; None when there is no such link.

    Raises:
        StoreDamaged: it is not a link, or points elsewhere than to `versions/<number>`.
    """
    try:
        target = os.readlink(root / name)
    except FileNotFoundError:
        return None
    except OSError as error:
        if (root / name).exists():
            raise StoreDamaged(f"{name} is not a symbolic link to a version. Remove it, then run: edgecl promote NUMBER") from error
        raise explained(error, f"reading {name}") from error
    folder, _, number = target.partition("/")
    found = version_number(number) if folder == "versions" else None
    if found is None:
        raise StoreDamaged(f"{name} points at {target!r}, expected versions/<number>. Remove it, then run: edgecl promote NUMBER")
    return found


def pointer_target(number: int) -> str:
    """What a pointer to version `number` holds; whoever writes one holds pointer.lock."""
    return f"versions/{version_folder(number)}"
