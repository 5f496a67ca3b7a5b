"""Older formats are migrated in memory, newer ones refused, and a seal shows what was changed."""

import json
from pathlib import Path

import pytest

from edgecl.errors import StoreDamaged
from edgecl.manifest import pretty_json
from edgecl.store import Store, formats
from edgecl.store.formats import FORMATS, SEALED_FROM, STEPS, migrated, newest, sealed
from tests.store.builders import learn


def test_each_format_but_the_last_has_a_step() -> None:
    """A thing of n formats has n - 1 steps, and all are numbered from 1."""
    for thing, names in FORMATS.items():
        assert names == tuple(f"edgecl.{thing}/{number}" for number in range(1, len(names) + 1))
        assert len(STEPS.get(thing, ())) == len(names) - 1
        assert SEALED_FROM.get(thing, 1) <= len(names)


def test_a_sealed_file_reads_as_it_was_written() -> None:
    """Without its seal; one changed value, a missing seal, and a seal that an old format cannot have are told apart."""
    fields = sealed("state", {"next_version": 3, "name": "缶"})
    assert list(fields) == ["format", "next_version", "name", "sha256"]
    assert migrated("state", fields, "state.json") == {"format": newest("state"), "next_version": 3, "name": "缶"}
    with pytest.raises(StoreDamaged, match=r"^state.json was changed: its sha256 does not match its content. Run: edgecl verify$"):
        migrated("state", {**fields, "next_version": 4}, "state.json")
    with pytest.raises(StoreDamaged, match=r"was changed: it lacks a sha256"):
        migrated("state", {key: value for key, value in fields.items() if key != "sha256"}, "state.json")
    with pytest.raises(StoreDamaged, match=r"was changed: it has a sha256"):
        migrated("state", {**fields, "format": "edgecl.state/1"}, "state.json")


@pytest.mark.parametrize(
    "found", [None, 1, "", "edgecl.state", "edgecl.state/", "edgecl.state/0", "edgecl.state/x", "edgecl.run/1", "edgecl.state/٣"]
)
def test_what_is_no_format_of_this_thing_is_refused(found: object) -> None:
    """The message names what was found and what was expected."""
    with pytest.raises(StoreDamaged, match=r"has the format .*, expected 'edgecl.state/2'"):
        migrated("state", {"format": found}, "state.json")


@pytest.mark.parametrize("number", ["3", "10", "99999999999999999999"])
def test_a_format_of_the_future_says_upgrade(number: str) -> None:
    """Also a far one."""
    with pytest.raises(StoreDamaged, match=rf"'edgecl.state/{number}', but this edgecl reads up to 2. Upgrade edgecl"):
        migrated("state", {"format": f"edgecl.state/{number}"}, "state.json")


def test_steps_are_taken_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of format 1 goes through both, one of format 2 through the second alone."""
    monkeypatch.setitem(formats.FORMATS, "memory", ("edgecl.memory/1", "edgecl.memory/2", "edgecl.memory/3"))
    monkeypatch.setitem(formats.STEPS, "memory", (lambda f: {**f, "a": 1}, lambda f: {**f, "b": f.get("a", 0) + 1}))
    assert migrated("memory", {"format": "edgecl.memory/1"}, "x") == {"format": "edgecl.memory/3", "a": 1, "b": 2}
    assert migrated("memory", {"format": "edgecl.memory/2"}, "x") == {"format": "edgecl.memory/3", "b": 1}


def test_numbers_that_json_knows_and_edgecl_does_not_are_a_changed_file(tmp_path: Path, store: Store) -> None:
    """NaN and lone surrogates in a sealed file end in a sentence."""
    for odd in ("NaN", '"\\ud800"', "Infinity"):
        text = (store.root / "state.json").read_text().replace('"promoted"', f'"odd": {odd},\n "promoted"')
        (tmp_path / "state.json").write_text(text)
        with pytest.raises(StoreDamaged, match="was changed"):
            migrated("state", json.loads(text), "state.json")


def test_an_old_state_is_written_anew_in_the_newest_format(store: Store) -> None:
    """By the next change; what others put into it stays."""
    path = store.root / "state.json"
    path.write_bytes(pretty_json({"format": "edgecl.state/1", "failed": {"1": "engine"}}))
    assert store.next_number() == 2
    learn(store, "sprite")
    fields = json.loads(path.read_text())
    assert (fields["format"], fields["next_version"], fields["failed"]) == ("edgecl.state/2", 3, {"1": "engine"})
    assert len(fields["sha256"]) == 64
