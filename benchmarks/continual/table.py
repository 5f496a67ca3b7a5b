"""Prints what is there, and says "not measured" of what is not."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from continual import measures, ours, rows
from continual.method import Method
from continual.running import of_today
from continual.scenarios import SCENARIOS

COLUMNS = ("A_T", "average", "forgetting", "transfer", "gap", "bytes/class", "s/task", "MiB", "cost")


def print_table(methods: Mapping[str, Method], *, seed: int, earlier: bool = False) -> None:
    """One line per method, each figure the mean over the orders that were run."""
    for name, meaning in measures.DEFINITIONS.items():
        print(f"{name}: {meaning}")
    titles = {ours.NAME: "edgecl", **{name: method.title for name, method in methods.items()}}
    known = rows.find(rows.read(), seed=seed, scenario="")
    found = {ours.NAME: rows.find(ours.rows(), seed=seed), **_newest(methods, known, titles, earlier=earlier)}
    ceiling = max((_mean(found[name], "a_t") for name, method in methods.items() if method.joint and found[name]), default=float("nan"))
    print("\n" + " ".join([f"{'':58}", f"{'orders':6}", *(f"{name:>11}" for name in COLUMNS)]))
    for name, title in titles.items():
        print(f"{title:58} {_line(found[name], ceiling) if found[name] else 'not measured'}")
    for kind, joint in (("joint", True), ("other", False)):
        rivals = [name for name, method in methods.items() if method.joint == joint and found[name]]
        if rivals and found[ours.NAME]:
            _print_difference(kind, titles, found, max(rivals, key=lambda name: _mean(found[name], "a_t")))


def print_scenario(scenario: str, methods: Mapping[str, Method], *, seed: int, earlier: bool = False) -> None:
    """One line per method."""
    print(SCENARIOS[scenario].__doc__)
    known = rows.find(rows.read(), seed=seed, scenario=scenario)
    titles = {name: method.title for name, method in methods.items()}
    found = _newest(methods, known, titles, earlier=earlier)
    ceiling = max((_mean(found[name], "a_t") for name, method in methods.items() if method.joint and found[name]), default=float("nan"))
    print("\n" + " ".join([f"{'':58}", *(f"{name:>11}" for name in ("A_T", "average", "forgetting", "gap"))]))
    for name in methods:
        print(f"{titles[name]:58} {_short_line(found[name], ceiling) if found[name] else 'not measured'}")
    together = rows.find(ours.rows(), order=0, seed=seed)
    if scenario == "one-by-one" and found[ours.NAME] and together:
        less = _mean(together, "a_t") - _mean(found[ours.NAME], "a_t")
        print(f"edgecl, the last nine classes as one task minus one at a time, A_T: {100 * less:+.1f} points")


def _newest(
    methods: Mapping[str, Method], known: list[dict[str, str]], titles: dict[str, str], *, earlier: bool
) -> dict[str, list[dict[str, str]]]:
    """Each method's rows by what it is set to now; with `earlier`, where there are none, those from before edgecl or its head was changed."""
    found = {name: of_today(method, known) for name, method in methods.items()}
    before = {name: rows.find(known, row=name, split="test") for name in methods if earlier and not found[name]}
    titles.update({name: f"{titles[name]} *" for name, those in before.items() if those})
    if any(before.values()):
        print("*: before edgecl or its head was changed")
    return found | before


def _print_difference(kind: str, titles: Mapping[str, str], found: Mapping[str, list[dict[str, str]]], best: str) -> None:
    mean, half, n = measures.paired(*({row["order"]: float(row["a_t"]) for row in found[name]} for name in (ours.NAME, best)))
    reach = "no interval from one order" if np.isnan(half) else f"95 % interval +- {100 * half:.1f}"
    print(f"edgecl minus the best {kind} row ({titles[best]}), A_T paired by order, {n} orders: {100 * mean:+.1f} points, {reach}")


def _line(found: list[dict[str, str]], ceiling: float) -> str:
    a_t = _mean(found, "a_t")
    figures = [_percent(_mean(found, name)) for name in ("a_t", "average", "forgetting", "transfer")] + [_percent(ceiling - a_t)]
    figures += [f"{_mean(found, name):.0f}" for name in ("bytes_per_class", "seconds_per_task", "peak_memory_mib")] + [
        f"{_mean(found, 'cost'):.2f}"
    ]
    orders = ",".join(sorted(row["order"] for row in found))
    return " ".join([f"{orders:6}", *(f"{'-' if 'nan' in figure else figure:>11}" for figure in figures)])


def _short_line(found: list[dict[str, str]], ceiling: float) -> str:
    a_t = _mean(found, "a_t")
    figures = [_percent(figure) for figure in (a_t, _mean(found, "average"), _mean(found, "forgetting"), ceiling - a_t)]
    return " ".join(f"{'-' if figure == 'nan' else figure:>11}" for figure in figures)


def _mean(found: list[dict[str, str]], name: str) -> float:
    return float(np.mean([float(row[name] or "nan") for row in found]))


def _percent(value: Any) -> str:
    return f"{100 * value:.1f}"
