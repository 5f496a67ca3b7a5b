"""The power may be cut at any moment of any command. The whole exploration is benchmarks/crash_explorer.py."""

import shutil
from pathlib import Path

import pytest

from tests.crash.commands import AFTERWARDS, COMMANDS, PAIRS, Pair, fresh
from tests.crash.explore import CommandFailed, Count, Recording, faults, kills, place_in_code, record, without
from tests.crash.recording import Op


def recorded(name: str, template: Path, bench: Path) -> Recording:
    """What a command does to a copy of the store."""
    place = fresh(template, bench / "place", name)
    try:
        return record(COMMANDS[name], place)
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("name", ["learn", "apply", "rollback", "forget", "gc --keep", "export"])
def test_a_power_cut_leaves_the_old_store_or_the_new_one(name: str, template: Path, bench: Path) -> None:
    """After every operation and in every state that a disk allows: whole, old or new; and what was answered stays."""
    count = Count()
    assert list(faults(recorded(name, template, bench), bench / "scratch", count=count)) == []
    assert count.states > count.cuts > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "forget --purge"])
def test_every_command_survives_a_power_cut(name: str, template: Path, bench: Path) -> None:
    """As above, for each command that changes a store."""
    assert list(faults(recorded(name, template, bench), bench / "scratch")) == []


def after_kills(pair: Pair, template: Path, bench: Path, chosen: slice) -> int:
    """Explore the second command after some of the kills of the first; returns how many were explored."""
    first = recorded(pair.killed, template, bench)
    explored = 0
    for at in kills(first)[chosen]:
        try:
            second = record(AFTERWARDS[pair.then], bench / "place", killed=first, at=at)
        except CommandFailed:
            continue  # a sentence instead of a change
        finally:
            shutil.rmtree(bench / "place", ignore_errors=True)
        assert list(faults(second, bench / "scratch")) == []
        explored += 1
    return explored


@pytest.mark.parametrize("pair", [Pair("gc --keep", "gc --keep"), Pair("gc", "gc")], ids=lambda pair: pair.killed)
def test_a_power_cut_after_a_kill(pair: Pair, template: Path, bench: Path) -> None:
    """What a killed gc left visible but not durable must not be built upon by the next one, and does not come back after its answer."""
    assert after_kills(pair, template, bench, slice(None)) >= 2


@pytest.mark.parametrize("at", [2, 40, 70])
def test_init_after_a_killed_one(at: int, template: Path, bench: Path) -> None:
    """All that the first one left lies in the folder that it was building, which the second one removes; no power cut brings a fault with it."""
    first = recorded("init", template, bench)
    try:
        second = record(COMMANDS["init"], bench / "place", killed=first, at=at)
        assert [path.name for path in (bench / "place").iterdir() if "model" in path.name] == ["model"]
    finally:
        shutil.rmtree(bench / "place", ignore_errors=True)
    assert list(faults(second, bench / "scratch")) == []


def test_purged_pictures_do_not_come_back(template: Path, bench: Path) -> None:
    """A gc after a purge that was killed when it had removed them all, but not durably, answers only when they stay away."""
    assert after_kills(Pair("forget --purge", "gc --keep"), template, bench, slice(-2, None)) == 2


@pytest.mark.parametrize("name", ["learn", "learn --stage", "apply"])
def test_what_is_found_done_stays_done(name: str, template: Path, bench: Path) -> None:
    """Given again after a late kill, a command finds its work on the disk, and answers only when no power cut takes it away any more."""
    assert after_kills(Pair(name, name), template, bench, slice(-6, None)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("pair", [pair for pair in PAIRS if "purge" not in pair.killed], ids=lambda pair: f"{pair.killed}, {pair.then}")
def test_every_pair_survives_a_power_cut_after_a_kill(pair: Pair, template: Path, bench: Path) -> None:
    """As above, for the pairs that build on each other's work."""
    assert after_kills(pair, template, bench, slice(None, None, 9)) >= 1


@pytest.mark.parametrize(
    ("kind", "asked_by", "reason"),
    [
        ("sync", "folder_aside", "is missing"),  # names in the folder of the version
        ("sync", "appear", "is missing"),  # its own name
        ("sync", "keep_pictures", "is missing"),  # names of pictures
        ("rename", "keep_adapters", "is missing"),
        ("rename", "appear", "state.json is not as it was"),
    ],
)
def test_a_missing_step_is_found(kind: str, asked_by: str, reason: str, template: Path, bench: Path) -> None:
    """The exploration itself is not blind: taken out of learn, each of these leaves a store that it complains about."""
    whole = recorded("learn --stage", template, bench)
    lines = [place_in_code(op) for op in whole.ops if op.kind == kind and asked_by in place_in_code(op)]

    def gone(op: Op) -> bool:
        return op.kind == kind and place_in_code(op) == lines[-1]

    fault = next(faults(without(whole, gone), bench / "scratch", last_first=True))
    assert reason in fault.reason


def test_what_is_not_moved_away_is_deleted_where_it_lies(template: Path, bench: Path) -> None:
    """Without the move into tmp/, gc takes a version apart in its place, and a power cut in the middle leaves half of it."""
    whole = recorded("gc --keep", template, bench)
    moved = [op for op in whole.ops if op.kind == "rename" and "remove_all" in place_in_code(op)]
    assert moved
    found = list(faults(without(whole, lambda op: op in moved), bench / "scratch"))
    assert any("versions/" in fault.reason for fault in found)
