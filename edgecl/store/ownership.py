"""Who may change a store: the user it belongs to, within folders that are its own."""

import os
import pwd
from pathlib import Path

from edgecl.errors import BadInput, StoreDamaged
from edgecl.store.atomic import os_errors

FOLDERS = ("adapters", "memory", "versions", "exports", "engines", "inbox", "reports", "tmp")


def check_changeable(root: Path) -> None:
    """Refuse to change a store that belongs to another user, or whose folders are links. Anybody who may read it may serve it.

    The superuser is refused, too: what root writes into somebody's folder its owner cannot change afterwards, and where that owner has put
    a link, root would write and delete behind it.

    Raises:
        BadInput: the store belongs to another user.
        StoreDamaged: one of its folders is a link, which edgecl never makes.
    """
    with os_errors(f"looking into {root}"):
        owner = root.stat().st_uid
        linked = [name for name in FOLDERS if (root / name).is_symlink()]
    if owner != os.geteuid():
        raise BadInput(
            f"the store {root.name!r} belongs to {user_name(owner)}, and you are {user_name(os.geteuid())}: only its owner changes it. "
            f"Run: sudo -u {user_name(owner)} edgecl ..., or give it to yourself with chown -R"
        )
    if linked:
        raise StoreDamaged(
            f"{linked[0]} in the store {root.name!r} is a link to another place, where nothing of edgecl's should be changed or deleted. "
            "Replace it by a folder: to keep a store elsewhere, link the store as a whole."
        )


def user_name(uid: int) -> str:
    """The user's name, or its number where the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
