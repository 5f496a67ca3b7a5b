"""How long a learn will take: from the last one of this store, else from the speed of the app's own answers."""

from collections.abc import Mapping
from contextlib import suppress

from edgecl.errors import EdgeclError
from edgecl.settings import LearnSettings
from edgecl.store import Store

START_S = 8.0  # until the learner has loaded its libraries
SHARES: Mapping[str, float] = {"reading pictures": 0.04, "looking at pictures": 0.16, "training": 0.7, "choosing the coefficient": 0.1}
"""Stage of a learn -> about its part of the time, in their order."""
LOOKS = 1.0  # answers' time that one picture takes to be looked at
TRAININGS = 2.5  # answers' time that one picture takes in one epoch
TRUSTED_PART = 0.1  # from here on the time that has passed says more than the estimate


def _work(new: int, kept: int, epochs: int) -> float:
    """How much there is to do with `new` pictures beside `kept` ones, in answers' time."""
    replayed = LearnSettings().replay_per_new * new if kept else 0
    return LOOKS * (new + kept) + TRAININGS * epochs * (new + replayed)


def seconds_to_learn(store: Store, new: int, latency_ms: float | None) -> float:
    """About how many seconds learning `new` pictures will take; `latency_ms` is what one answer of the app takes."""
    settings = LearnSettings()
    kept = _kept(store)
    work = _work(new, kept, settings.epochs)
    before = _last_learn(store)
    if before is not None:
        seconds, counts, epochs = before
        was = _work(counts["new"] + counts["validation"], counts["replay"] + counts["holdout"], epochs)
        return START_S + max(0.0, seconds) * work / max(was, 1.0)
    return START_S + work * (latency_ms or 50.0) / 1000


def _kept(store: Store) -> int:
    with suppress(EdgeclError):
        return len(store.memory(store.current)) if store.current is not None else 0
    return 0


def _last_learn(store: Store) -> tuple[float, Mapping[str, int], int] | None:
    """Seconds, pictures and epochs of the newest version that was learned here."""
    for number in reversed(store.numbers()):
        with suppress(EdgeclError, KeyError, TypeError, ValueError):
            run = store.run_info(number)
            return float(run["seconds"]), {name: int(count) for name, count in run["pictures"].items()}, int(run["settings"]["epochs"])
    return None


def seconds_left(stage: str, done: int, total: int, *, passed_s: float, expected_s: float) -> tuple[float, float]:
    """(part that is done 0..1, seconds left) of a learn.

    It stands at `done` of `total` in `stage`, began its first stage `passed_s` ago, and was expected to take `expected_s`.
    """
    names = list(SHARES)
    if stage not in names:
        return 0.0, expected_s
    part = sum(SHARES[name] for name in names[: names.index(stage)]) + SHARES[stage] * (done / total if total > 0 else 0.0)
    if part >= TRUSTED_PART:
        return part, passed_s * (1 - part) / part
    return part, max(0.0, expected_s - START_S - passed_s)
