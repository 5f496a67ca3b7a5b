"""What the board found out about versions, in `state.json`: how often one was started without proving healthy, and which failed.

A start is counted before the version is loaded, so that one that takes the whole process down is counted too. It counts no longer once
the version is `good`, or when the app ended in an orderly way.
"""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from edgecl.store.store import Store

STARTS, FAILED = "starts", "failed"  # keys of state.json
MOST_STARTS = 2  # of a version that does not prove healthy; then `current` returns to `good`

State = Mapping[str, Any]


def starts(state: State, number: int) -> int:
    """How often version `number` was started without becoming good."""
    found = _table(state, STARTS).get(str(number), 0)
    return found if isinstance(found, int) else 0


def failure(state: State, number: int) -> str | None:
    """Why version `number` failed on this board; None when it did not."""
    found = _table(state, FAILED).get(str(number))
    reason = found.get("reason") if isinstance(found, Mapping) else found
    return None if reason is None else str(reason)


def exhausted(state: State, number: int) -> bool:
    """Whether version `number` had all its starts."""
    return starts(state, number) >= MOST_STARTS


def begin(store: Store, number: int) -> None:
    """Count a start of version `number`; a version that is good already is not counted."""
    if store.good != number:
        store.update_state(lambda state: _with(state, STARTS, number, starts(state, number) + 1))


def settle(store: Store, number: int) -> None:
    """The start of version `number` does not count: the app ended in an orderly way, or the version has served for a while."""
    if starts(store.state(), number):
        store.update_state(lambda state: _with(state, STARTS, number, max(starts(state, number) - 1, 0) or None))


def prove(store: Store, number: int) -> None:
    """Version `number` is good: `good` points at it, and what was held against it is gone."""
    if store.good != number:
        store.mark_good(number)
    state = store.state()
    if starts(state, number) or failure(state, number) is not None:
        store.update_state(lambda state: _with(_with(state, STARTS, number, None), FAILED, number, None))


def fail(store: Store, number: int, reason: str, runtime: str) -> None:
    """Version `number` does not answer as it should on this board."""
    record = {
        "reason": reason,
        "runtime": runtime,
        "starts": starts(store.state(), number),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    store.update_state(lambda state: _with(state, FAILED, number, record))


def forgive(store: Store, number: int) -> None:
    """A person wants version `number` all the same: it may be started again."""
    state = store.state()
    if starts(state, number) or failure(state, number) is not None:
        store.update_state(lambda state: _with(_with(state, STARTS, number, None), FAILED, number, None))


def return_to_good(store: Store, number: int) -> int | None:
    """Point `current` at `good` if it still points at `number`; returns the good version, None when there is none to return to.

    Raises:
        StoreBusy: the good version's weights must be built again, and somebody is learning.
    """
    good = store.good
    if good is None or good == number:
        return None
    store.promote(good, expected=number)
    return good


def _table(state: State, key: str) -> Mapping[str, Any]:
    found = state.get(key)
    return found if isinstance(found, Mapping) else {}


def _with(state: State, key: str, number: int, value: object) -> dict[str, Any]:
    """The state with one entry of a table set, or removed where `value` is None."""
    table = {**_table(state, key), str(number): value}
    kept = {name: entry for name, entry in table.items() if entry is not None}
    rest = {name: entry for name, entry in state.items() if name != key}
    return {**rest, key: kept} if kept else rest
