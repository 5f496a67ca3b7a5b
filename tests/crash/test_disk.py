"""What the model of a disk allows after a power cut, and what it does not."""

from pathlib import Path

import pytest

from tests.crash.disk import Disk, Impossible, Tree, tree_of, write_tree
from tests.crash.recording import Op, Recorder


def left(before: Tree, *ops: Op) -> list[Tree]:
    """Every tree that may be found after these operations and a power cut."""
    disk = Disk.holding(before)
    for op in ops:
        disk.play(op)
    found: list[Tree] = []
    for tree in disk.after_power_cut(seed=0):
        if tree not in found:
            found.append(tree)
    return found


def test_nothing_is_lost_of_what_was_there() -> None:
    """A durable tree comes back as it is, links and folders included."""
    before: Tree = {"a": None, "a/file": b"1234", "link": "a"}
    assert left(before) == [before]


def test_a_file_that_was_not_fsynced_may_hold_anything() -> None:
    """Its name may be missing, its content whole, empty, half or zeros; fsync of both leaves one tree."""
    make, write = Op("create", "new"), Op("data", "new", content=b"1234")
    assert left({}, make, write) == [{}, {"new": b"1234"}, {"new": b""}, {"new": b"12"}, {"new": bytes(4)}]
    assert left({}, make, write, Op("sync", "new")) == [{}, {"new": b"1234"}]
    assert left({}, make, write, Op("sync", "new"), Op("sync", ".")) == [{"new": b"1234"}]
    assert {"new": b""} in left({}, make, write, Op("sync", "."))


def test_what_is_written_over_may_be_old_or_torn() -> None:
    """A file that was durable and is changed in place."""
    assert left({"file": b"1234"}, Op("data", "file", content=b"56")) == [
        {"file": b"56"},
        {"file": b"1234"},
        {"file": b"5"},
        {"file": bytes(2)},
    ]


def test_a_rename_is_one_step() -> None:
    """Over an existing file: the old one or the new one, never neither; durable when either folder is fsynced."""
    before: Tree = {"tmp": None, "tmp/new": b"2", "file": b"1"}
    rename = Op("rename", "tmp/new", other="file")
    done: Tree = {"tmp": None, "file": b"2"}
    assert left(before, rename) == [before, done]
    assert left(before, rename, Op("sync", ".")) == [done]
    assert left(before, rename, Op("sync", "tmp")) == [done]


def test_what_the_system_refuses_is_refused() -> None:
    """A folder does not take the place of one that holds something, and what is not there is not moved."""
    disk = Disk.holding({"a": None, "b": None, "b/file": b"1"})
    with pytest.raises(Impossible, match="rename a -> b: there is a folder with something in it"):
        disk.play(Op("rename", "a", other="b"))
    with pytest.raises(Impossible, match="unlink c/file: 'c' is not there"):
        disk.play(Op("unlink", "c/file"))
    disk.play(Op("rename", "b", other="a"))
    assert disk.tree() == {"a": None, "a/file": b"1"}


def test_names_are_independent() -> None:
    """Of two new names either may be missing, whatever came first."""
    found = left({}, Op("mkdir", "a"), Op("mkdir", "b"))
    assert found == [{}, {"a": None}, {"b": None}, {"a": None, "b": None}]


def test_a_folder_keeps_its_unsynced_inside_when_it_moves() -> None:
    """Moving a folder durably says nothing about the names in it."""
    ops = (Op("mkdir", "tmp/v"), Op("create", "tmp/v/file"), Op("sync", "tmp/v/file"), Op("rename", "tmp/v", other="v"), Op("sync", "."))
    found = left({"tmp": None}, *ops)
    assert {"tmp": None, "v": None} in found
    assert {"tmp": None, "v": None, "v/file": b""} in found


def test_what_an_older_step_did_to_a_name_is_history() -> None:
    """A durable removal cannot be undone by the creation before it."""
    ops = (Op("create", "file"), Op("unlink", "file"), Op("sync", "."))
    assert left({}, *ops) == [{}]


def test_the_recorder_sees_what_python_does_to_files(tmp_path: Path) -> None:
    """Played on the tree from before, a recording gives the tree from after; what happens elsewhere, or is only read, is not in it."""
    place = tmp_path / "place"
    write_tree({"old": b"1", "folder": None, "folder/inner": b"2"}, place)
    before, recorder = tree_of(place), Recorder(place)
    with recorder.running():
        (place / "new").write_bytes(b"3")
        (place / "new").rename(place / "folder" / "new")
        (place / "link").symlink_to("folder")
        (place / "link" / "inner").read_bytes()
        (place / "old").unlink()
        (tmp_path / "elsewhere").write_bytes(b"4")
    disk = Disk.holding(before)
    for op in recorder.ops:
        disk.play(op)
    assert disk.tree() == tree_of(place)
    assert [op.kind for op in recorder.ops] == ["create", "data", "rename", "symlink", "unlink"]


@pytest.mark.parametrize("name", ["open", "rename"])
def test_the_recorder_leaves_no_trace(tmp_path: Path, name: str) -> None:
    """After the body Python's own functions are back."""
    import os

    before = getattr(os, name)
    with Recorder(tmp_path).running():
        assert getattr(os, name) is not before
    assert getattr(os, name) is before
