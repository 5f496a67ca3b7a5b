"""Whether a folder lies on a file system that can hold a store: renames that replace, symbolic links, locks."""

import os
import uuid
from pathlib import Path

from edgecl.errors import BadInput
from edgecl.store.atomic import explained
from edgecl.store.locks import exclusive

# These have no symbolic links, or renames and locks that a power cut or a second machine can break.
UNFIT = {"vfat", "msdos", "exfat", "nfs", "nfs4", "cifs", "smb3"}


def check_file_system(folder: Path) -> None:
    """Try in `folder` what the store relies on; leaves nothing behind.

    Raises:
        BadInput: the file system cannot do it, or the folder is not writable.
        NoSpace: it is full.
    """
    kind = file_system_of(folder)
    if kind in UNFIT:
        raise _unfit(folder, f"it is {kind}")
    probe = folder / f".edgecl-probe-{uuid.uuid4().hex[:12]}"
    link, fresh, lock = probe / "link", probe / "fresh", probe / "lock"
    try:
        os.mkdir(probe)
    except OSError as error:
        raise explained(error, f"writing into {folder}") from error
    try:
        os.symlink("one", link)
        os.symlink("two", fresh)
        os.replace(fresh, link)
        if os.readlink(link) != "two":
            raise _unfit(folder, "a rename did not replace a symbolic link")
        with exclusive(lock, wait_s=0.0):
            pass
    except OSError as error:
        raise _unfit(folder, error.strerror or str(error)) from error
    finally:
        for path in (link, fresh, lock):
            path.unlink(missing_ok=True)
        probe.rmdir()


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
