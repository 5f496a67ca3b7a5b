"""Which file systems can hold a store."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from edgecl.errors import BadInput, NoSpace
from edgecl.store import filesystem
from edgecl.store.filesystem import check_file_system, file_system_of
from tests.store.builders import create


def test_a_local_file_system_passes_and_stays_clean(tmp_path: Path) -> None:
    """The probe leaves nothing behind."""
    check_file_system(tmp_path.parent, within=tmp_path)
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
        create(tmp_path / "model")


def test_a_full_one_is_not_taken_for_an_unfit_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for the probe is exit code 7, not the advice to use another file system."""

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "symlink", refuse)
    with pytest.raises(NoSpace, match=r"writing into .*: No space left on device. Nothing was changed. Free some space"):
        create(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_probe_lies_in_the_folder_that_is_being_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what an init that is killed there leaves goes with that folder, which the next init throws away."""
    seen: list[Path] = []
    replace = os.replace

    def look(source: Path, target: Path) -> None:
        seen.extend(path for path in tmp_path.rglob("*") if path.is_symlink())
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    create(tmp_path / "model")
    assert len(seen) >= 2
    assert {path.relative_to(tmp_path).parts[0].startswith(".model.making-") for path in seen} == {True}
    left = tmp_path / f"{seen[0].relative_to(tmp_path).parts[0]}-killed"
    left.mkdir()
    (left / "link").symlink_to("one")
    shutil.rmtree(tmp_path / "model")
    create(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
