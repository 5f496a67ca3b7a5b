"""What a board found out about its engines, kept in state.json: how long each kind takes, and which one failed with which version."""

from collections.abc import Callable, Mapping
from typing import Any

from edgecl.runtime.engines import EngineFacts
from edgecl.store import Store

FAILURES_KEPT = 50


def timing(store: Store, family: str) -> Mapping[str, Any] | None:
    """`{"refit_ms", "frozen_ms", "ratio"}` of an engine family, or None while nobody measured it; None within: no refit engine serves."""
    found = _engines(store.state())["timings"].get(family)
    return found if isinstance(found, dict) else None


def record_timing(store: Store, family: str, *, refit_ms: float | None, frozen_ms: float) -> None:
    """Median inference of both kinds; `ratio` above 1 says what being refittable costs. Without `refit_ms` no refit engine serves here."""
    ratio = None if refit_ms is None else round(refit_ms / frozen_ms, 4)
    entry = {"refit_ms": None if refit_ms is None else round(refit_ms, 4), "frozen_ms": round(frozen_ms, 4), "ratio": ratio}
    _change(store, lambda engines: {**engines, "timings": {**engines["timings"], family: entry}})


def failure(store: Store, facts: EngineFacts, version: int) -> str | None:
    """Why this very plan cannot serve this version, when that was found out before."""
    for entry in _engines(store.state())["failed"]:
        if entry.get("sha256") == facts.sha256 and entry.get("version") == version:
            return str(entry.get("reason"))
    return None


def record_failure(store: Store, facts: EngineFacts, version: int, reason: str) -> None:
    """Never serve this plan with this version again. A plan that is built anew has another hash and a new chance."""
    entry = {"engine": facts.name, "sha256": facts.sha256, "version": version, "reason": reason}

    def add(engines: dict[str, Any]) -> dict[str, Any]:
        others = [old for old in engines["failed"] if (old.get("sha256"), old.get("version")) != (facts.sha256, version)]
        return {**engines, "failed": [*others, entry][-FAILURES_KEPT:]}

    _change(store, add)


def forget_failures(store: Store, facts: EngineFacts) -> None:
    """A plan that was built anew and passed begins without a past, even where its bytes are those of one that was damaged."""
    if any(entry.get("sha256") == facts.sha256 for entry in _engines(store.state())["failed"]):
        _change(store, lambda engines: {**engines, "failed": [old for old in engines["failed"] if old.get("sha256") != facts.sha256]})


def _engines(state: Mapping[str, Any]) -> dict[str, Any]:
    """The part of state.json that is about engines; whatever else stands there is not ours and is replaced."""
    found = state.get("engines")
    found = found if isinstance(found, dict) else {}
    timings, failed = found.get("timings"), found.get("failed")
    failed = [entry for entry in failed if isinstance(entry, dict)] if isinstance(failed, list) else []
    return {**found, "timings": timings if isinstance(timings, dict) else {}, "failed": failed}


def _change(store: Store, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    store.update_state(lambda state: {**state, "engines": change(_engines(state))})
