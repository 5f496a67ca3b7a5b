"""`state.json`: what the board found out, replaced atomically and never part of a version."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecl.errors import StoreDamaged
from edgecl.manifest import pretty_json
from edgecl.store.formats import newest, sealed
from edgecl.store.reading import read_json

STATE_FILE = "state.json"
HAND_WRITTEN = "edgecl.state/1"  # the last format that a person can write, without a seal


def fresh_state() -> dict[str, Any]:
    """Of a store without a version: `next_version` is the first number never given away, `promoted` the versions that ever were current."""
    return {"format": newest("state"), "next_version": 0, "promoted": []}


def read_state(root: Path) -> dict[str, Any]:
    """Read `state.json`; the keys of `fresh_state` are always there, others belong to whoever wrote them.

    Raises:
        StoreDamaged: missing, of another format, or with values that make no sense.
    """
    try:
        state = fresh_state() | read_json(root / STATE_FILE, "state")
    except StoreDamaged as error:
        remedy = f'Put this into {STATE_FILE}: {{"format": "{HAND_WRITTEN}"}}, and edgecl continues after the highest number that it finds.'
        raise StoreDamaged(f"{error} {remedy}") from error
    numbers = [state["next_version"], *(state["promoted"] if isinstance(state["promoted"], list) else [None])]
    if any(isinstance(number, bool) or not isinstance(number, int) or number < 0 for number in numbers):
        raise StoreDamaged(
            f"{STATE_FILE} has next_version or promoted that are no version numbers: {numbers}. Correct or remove these keys."
        )
    return state


def state_bytes(state: Mapping[str, Any]) -> bytes:
    """`state.json`; whoever writes it holds pointer.lock."""
    return pretty_json(sealed("state", state))
