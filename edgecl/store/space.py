"""Is there room for what is about to be written? Asked before the work, so that minutes of learning do not end at a full disk."""

import os
from pathlib import Path

from edgecl.errors import NoSpace
from edgecl.store.atomic import os_errors

SPARE_BYTES = 2**20  # for folders, JSON and what the file system itself needs


def require_space(place: Path, needed_bytes: int, doing: str) -> None:
    """Refuse `doing` ("learning this task") when the file system of `place`, or of its first parent that exists, has too little room.

    Quotas are not looked at: where one ends, writing fails, and nothing is changed either.

    Raises:
        NoSpace: with how much is needed and how much there is.
    """
    there = next((folder for folder in (place, *place.parents) if folder.exists()), Path("/"))
    with os_errors(f"looking at the disk of {there}"):
        disk = os.statvfs(there)
    free, needed = disk.f_bavail * disk.f_frsize, needed_bytes + SPARE_BYTES
    if free < needed:
        raise NoSpace(
            f"{doing} needs {_mib(needed)} on the disk of {there}, but {_mib(free)} are free. Nothing was changed. "
            "Free some space, for example with: edgecl gc"
        )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB"
