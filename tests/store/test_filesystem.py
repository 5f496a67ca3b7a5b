"""Which file systems can hold a store."""

import os
from pathlib import Path

import pytest

from edgecl.errors import BadInput
from edgecl.store import filesystem
from edgecl.store.filesystem import check_file_system, file_system_of
from tests.store.builders import create


def test_a_local_file_system_passes_and_stays_clean(tmp_path: Path) -> None:
    """The probe leaves nothing behind."""
    check_file_system(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What vfat answers to a symbolic link ends in a sentence, with nothing left behind and no store."""

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    with pytest.raises(BadInput, match=r"cannot hold a store \(Operation not permitted\). Use a local one such as ext4"):
        create(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_share_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS does all that the probe asks, but not when the power goes; so its name is enough."""
    monkeypatch.setattr(filesystem, "file_system_of", lambda folder: "nfs4")
    with pytest.raises(BadInput, match=r"cannot hold a store \(it is nfs4\)"):
        create(tmp_path / "model")


def test_the_name_is_read_from_the_mounts(tmp_path: Path) -> None:
    """The line with the folder's device names the file system; garbage or nothing names none."""
    device = os.stat(tmp_path).st_dev
    line = f"36 35 {os.major(device)}:{os.minor(device)} / /data rw,noatime shared:1 - vfat /dev/sda1 rw\n"
    mounts = tmp_path / "mountinfo"
    mounts.write_text("25 1 0:99 / /proc rw - proc proc rw\ngarbage\n\n" + line)
    assert file_system_of(tmp_path, mounts) == "vfat"
    mounts.write_text("garbage")
    assert file_system_of(tmp_path, mounts) is None
    assert file_system_of(tmp_path, tmp_path / "absent") is None


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No permission is bad input with the remedy."""

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(BadInput, match=r"Permission denied. Run edgecl as the user who owns the store"):
        check_file_system(tmp_path)
