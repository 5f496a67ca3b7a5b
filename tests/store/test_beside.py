"""Folders that are built next to their place, and what becomes of those that nobody finishes."""

import os
from pathlib import Path

import pytest

from edgecl.store.beside import folder_beside


def test_it_is_moved_or_removed(tmp_path: Path) -> None:
    """Parents are made; what was not moved goes, with the parents that nothing lies in; what was moved stays."""
    target = tmp_path / "a" / "b" / "model"
    with pytest.raises(RuntimeError, match=r"model\.making-"), folder_beside(target) as fresh:
        raise RuntimeError(fresh.name)
    assert list(tmp_path.iterdir()) == []
    with folder_beside(target) as fresh:
        (fresh / "file").write_text("mine")
        os.rename(fresh, target)
    assert (target / "file").read_text() == "mine"
    assert list(target.parent.iterdir()) == [target]


def test_what_a_killed_command_left_goes_first(tmp_path: Path) -> None:
    """Only folders of the same target that nobody holds: one that is being built in, another target's, and a file of that name stay."""
    with folder_beside(tmp_path / "model") as held:
        (tmp_path / ".model.making-0123456789ab").mkdir()
        (tmp_path / ".model.making-0123456789ab" / "file").write_text("left")
        (tmp_path / ".other.making-0123456789ab").mkdir()
        (tmp_path / ".model.making-file").write_text("mine")
        with folder_beside(tmp_path / "model") as second:
            names = {path.name for path in tmp_path.iterdir()}
            assert names == {held.name, second.name, ".other.making-0123456789ab", ".model.making-file"}
