"""The steps by which a store changes: which name is on the disk before which, so that a power cut finds the old state or the new one.

Whoever calls these holds the locks. A step relies on nothing that a killed command may have left visible only: what is pointed at is made
durable before the pointer, and what is removed stays removed before anything that it needed goes. `benchmarks/crash_explorer.py` takes
each fsync and each rename out and shows what breaks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecl.store.atomic import move_folder, os_errors, ready, replace_all, sweep, sync_folder
from edgecl.store.names import version_folder
from edgecl.store.pointers import pointer_target
from edgecl.store.state import STATE_FILE, state_bytes


def appear(root: Path, number: int, fresh: Path, state: Mapping[str, Any]) -> None:
    """Move the finished folder of version `number` into place, durably, and record the number as given away.

    The record needs no fsync of its own: until the next change in the store's folder makes it durable, the version's folder itself tells.
    """
    after = {**state, "next_version": max(state["next_version"], number + 1)}
    # What there may be no room for is written before the version appears.
    with ready({root / STATE_FILE: state_bytes(after)}, tmp=root / "tmp") as put:
        move_folder(fresh, root / "versions" / version_folder(number))
        sync(root, "versions")
        put()


def point(root: Path, name: str, number: int, state: Mapping[str, Any] | None = None) -> None:
    """Move the pointer `name` to version `number`, durably, and replace state.json with it where `state` is given."""
    # The version, or its weights, may be of a command that was killed before it could make the names durable.
    sync(root, "versions")
    sync(root, f"versions/{version_folder(number)}")
    also = {} if state is None else {root / STATE_FILE: state_bytes(state)}
    replace_all({**also, root / name: pointer_target(number)}, tmp=root / "tmp")


def settle(root: Path, state: Mapping[str, Any], next_number: int) -> None:
    """Make pointers and numbers durable that a killed command may have left visible only; before anything is removed.

    A version's number is recorded after its folder appears, so a power cut in between leaves that to this.
    """
    after = {**state, "next_version": max(state["next_version"], next_number)}
    stale = {root / STATE_FILE: state_bytes(after)} if after != state else {}
    with ready(stale, tmp=root / "tmp") as put:
        put()
        sync(root, ".")


def confirm(root: Path) -> None:
    """Make pointers durable that a killed command may have left visible only, before another one answers that all is done already.

    A version whose own name is not durable was left together with its record in `tmp/`, and the sweep has seen to it.
    """
    sync(root, ".")


def sweep_scratch(root: Path) -> None:
    """Delete what commands left in `tmp/`; the caller holds both locks."""
    tmp = root / "tmp"
    if tmp.is_dir() and any(tmp.iterdir()):
        # A killed gc may have moved something here, and a power cut would bring it back to where it was, without what is deleted now.
        for folder in ("versions", "adapters", "exports"):
            if (root / folder).is_dir():
                sync(root, folder)
    sweep(tmp)


def sync(root: Path, folder: str) -> None:
    """Make the names in a folder of the store durable.

    Raises:
        NoSpace, BadInput, StoreDamaged: the system refused.
    """
    with os_errors(f"making {folder} durable"):
        sync_folder(root / folder)
