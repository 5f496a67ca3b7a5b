"""Whether a folder lies on a file system that can hold a store: renames that replace, symbolic links, locks."""

import os
from pathlib import Path

from edgecl.errors import BadInput, NoSpace
from edgecl.store.atomic import explained
from edgecl.store.locks import exclusive

# These have no symbolic links, or renames and locks that a power cut or a second machine can break.
UNFIT = {"vfat", "msdos", "exfat", "nfs", "nfs4", "cifs", "smb3"}


def check_file_system(folder: Path, *, within: Path) -> None:
    """Try what the store relies on in `within`, which lies in `folder`; leaves nothing behind.

    A kill in the middle leaves files in `within`, so whoever makes that folder also knows when to throw it away.

    Raises:
        BadInput: the file system cannot do it.
        NoSpace: it is full.
    """
    kind = file_system_of(folder)
    if kind in UNFIT:
        raise _unfit(folder, f"it is {kind}")
    link, fresh, lock = within / "link", within / "fresh", within / "lock"
    try:
        os.symlink("one", link)
        os.symlink("two", fresh)
        os.replace(fresh, link)
        if os.readlink(link) != "two":
            raise _unfit(folder, "a rename did not replace a symbolic link")
        with exclusive(lock, wait_s=0.0):
            pass
    except OSError as error:
        known = explained(error, f"writing into {folder}")
        raise (known if isinstance(known, NoSpace) else _unfit(folder, error.strerror or str(error))) from error
    finally:
        for path in (link, fresh, lock):
            path.unlink(missing_ok=True)


def _unfit(folder: Path, reason: str) -> BadInput:
    return BadInput(
        f"the file system of {folder} cannot hold a store ({reason}). Use a local one such as ext4, not a memory stick or share."
    )


def file_system_of(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The file system's name (`ext4`, `vfat` ...) as Linux tells it; None when it does not."""
    try:
        device = os.stat(folder).st_dev
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        fields, _, rest = line.partition(" - ")
        if fields.split(" ")[2:3] == [wanted] and rest:
            return rest.split(" ")[0]
    return None
