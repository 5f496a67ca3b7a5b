"""The order in which bytes, names and pointers become durable, and what a full or forbidden disk leaves behind."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgecl.errors import BadInput, NoSpace, StoreDamaged
from edgecl.store import Store
from edgecl.store.atomic import explained, folder_aside, move_folder, remove_all, replace_all, sweep
from tests.store.builders import learn, learn_draft, snapshot


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every fsync (with the name of what was synced), rename, replace and symlink, in order."""
    seen: list[str] = []

    def named(descriptor: int) -> str:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.partition(".")[0]

    def record(name: str, describe: Callable[..., str]) -> None:
        original = getattr(os, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            seen.append(f"{name} {describe(*arguments)}")
            return original(*arguments, **options)

        monkeypatch.setattr(os, name, wrapped)

    record("fsync", named)
    record("rename", lambda source, target: f"{Path(source).parent.name} -> {Path(target).parent.name}/{Path(target).name}")
    record("replace", lambda source, target: f"{Path(source).parent.name} -> {Path(target).name}")
    record("symlink", lambda target, link: f"{target}")
    return seen


def test_a_file_is_durable_before_its_name(tmp_path: Path, calls: list[str]) -> None:
    """Written aside, fsynced, replaced, parent fsynced."""
    replace_all({tmp_path / "state.json": b"new"}, tmp=tmp_path / "tmp")
    assert calls == ["fsync state", "replace tmp -> state.json", f"fsync {tmp_path.name}"]
    assert (tmp_path / "state.json").read_bytes() == b"new"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_pointer_is_replaced_and_never_absent(tmp_path: Path, calls: list[str]) -> None:
    """A new link is made aside and renamed over the old one; the old one is never removed first."""
    replace_all({tmp_path / "current": "versions/000001"}, tmp=tmp_path / "tmp")
    replace_all({tmp_path / "current": "versions/000002"}, tmp=tmp_path / "tmp")
    half = ["replace tmp -> current", f"fsync {tmp_path.name}"]
    assert calls == ["symlink versions/000001", *half, "symlink versions/000002", *half]
    assert os.readlink(tmp_path / "current") == "versions/000002"


def test_a_version_appears_whole(store: Store, calls: list[str]) -> None:
    """Shared content first; then each file, manifest last, the folder, the new state aside; one rename; the parent; the number."""
    store.commit(learn_draft(store, ["sprite"], pictures=1))
    picture = calls.index("fsync memory")
    adapter = calls.index("fsync adapters")
    assert adapter < picture < calls.index("fsync model")
    files = ["model", "weights", "head", "labels", "memory", "canary", "run", "manifest"]
    start = calls.index("fsync model")
    assert calls[start:] == [
        *(f"fsync {name}" for name in files),
        "fsync 000002",
        "fsync state",
        "rename tmp -> versions/000002",
        "fsync versions",
        "replace tmp -> state.json",
    ]


def test_a_rename_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder in tmp/ is gone again when it could not be moved."""

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "rename", refuse)
    (tmp_path / "tmp").mkdir()
    with (
        pytest.raises(StoreDamaged, match="moving 000001 into place: Input/output error"),
        folder_aside("000001", {"a": b"1"}, tmp=tmp_path / "tmp") as fresh,
    ):
        move_folder(fresh, tmp_path / "000001")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("call", range(1, 19))
def test_a_full_disk_at_any_write_changes_nothing_that_counts(store: Store, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Whichever fsync meets the full disk: NoSpace, the versions and pointers stay, nothing is left in tmp/, and later all goes well."""
    draft = learn_draft(store, ["sprite"], pictures=1)
    before = snapshot(store.root)
    left = call
    original = os.fsync

    def full(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    if call < 18:  # a commit with one picture syncs 17 times
        with pytest.raises(NoSpace, match=r"No space left on device. Nothing was changed. Free some space"):
            store.commit(draft)
    else:
        store.commit(draft)
        assert left == 1
    monkeypatch.undo()
    kept = snapshot(store.root)
    for name, content in before.items():
        assert name == "state.json" or kept[name] == content
    assert not [name for name in kept if name.startswith("tmp/")]
    assert store.current == 1
    number = learn(store, "sprite", pictures=1)
    assert store.picture(store.memory(number)[-1].hash)


def test_errors_are_told_apart() -> None:
    """A full disk, a missing permission and a broken disk get their own class, and each message its remedy."""
    for code, kind, remedy in [
        (errno.ENOSPC, NoSpace, "edgecl gc"),
        (errno.EDQUOT, NoSpace, "edgecl gc"),
        (errno.EACCES, BadInput, "Run edgecl as the user who owns the store"),
        (errno.EROFS, BadInput, "writable"),
        (errno.EIO, StoreDamaged, "edgecl verify"),
    ]:
        error = explained(OSError(code, os.strerror(code)), "writing labels.txt")
        assert type(error) is kind
        assert str(error).startswith(f"writing labels.txt: {os.strerror(code)}. ")
        assert remedy in str(error)


def test_a_folder_vanishes_at_once(tmp_path: Path, calls: list[str]) -> None:
    """Removing is one rename, then deletion out of sight."""
    (tmp_path / "versions" / "000001").mkdir(parents=True)
    (tmp_path / "versions" / "000001" / "manifest.json").write_text("{}")
    remove_all([tmp_path / "versions" / "000001"], tmp=tmp_path / "tmp")
    assert calls[0].startswith("rename versions -> tmp/000001.")
    assert calls[1] == "fsync versions"
    assert list((tmp_path / "versions").iterdir()) == list((tmp_path / "tmp").iterdir()) == []


def test_the_sweep_follows_no_links(tmp_path: Path) -> None:
    """Leftovers go with their size told; what a link points at stays."""
    tmp = tmp_path / "tmp"
    (tmp / "000007.abc").mkdir(parents=True)
    (tmp / "000007.abc" / "weights").write_bytes(b"12345")
    (tmp / "state.json.abc").write_bytes(b"123")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    (tmp / "link").symlink_to(tmp_path / "mine")
    assert sweep(tmp) == 8
    assert list(tmp.iterdir()) == []
    assert (tmp_path / "mine" / "file").read_text() == "mine"


def test_leftovers_are_swept_when_learning_begins(store: Store) -> None:
    """What a power cut left in tmp/ is gone once somebody takes the learning lock."""
    (store.root / "tmp" / "000002.abc").mkdir()
    with store.learning_lock():
        assert list((store.root / "tmp").iterdir()) == []
