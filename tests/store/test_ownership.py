"""Only its owner changes a store, and only within its own folders."""

import os
from pathlib import Path

import pytest

from edgecl.errors import BadInput, StoreDamaged
from edgecl.store import Store
from edgecl.store.ownership import FOLDERS, user_name
from edgecl.store.reading import file_sha256, read_bytes
from tests.store.builders import learn_draft, snapshot


def test_the_store_of_another_user_is_read_and_not_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that adds a version or moves a pointer works, as the superuser neither; looking and serving do."""
    draft = learn_draft(store, ["tea"])
    before = snapshot(store.root)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    said = rf"the store 'model' belongs to {user_name(me)}, and you are {user_name(me + 1)}.*sudo -u {user_name(me)}"
    for change in (lambda: store.commit(draft), lambda: store.promote(0, expected=1), lambda: store.update_state(dict)):
        with pytest.raises(BadInput, match=said):
            change()
    assert store.manifest(1).number == 1
    with store.use() as folder:
        assert folder.name == "000001"
    assert snapshot(store.root) == before


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_a_link_is_not_followed(store: Store, tmp_path: Path, name: str) -> None:
    """A store from elsewhere could have a tmp/ that is somebody's photos: sweeping it would delete them."""
    (store.root / name).mkdir(exist_ok=True)
    (store.root / name).rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "photo.jpg").write_bytes(b"mine")
    (store.root / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreDamaged, match=rf"{name} in the store 'model' is a link to another place.*link the store as a whole"):
        store.commit(learn_draft(store, ["tea"]))
    assert (tmp_path / "elsewhere" / "photo.jpg").read_bytes() == b"mine"


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    """A pipe in the place of a file is refused at once."""
    os.mkfifo(tmp_path / "edgecl.json")
    for read in (lambda path: read_bytes(path, limit=10), file_sha256):
        with pytest.raises(StoreDamaged, match=r"edgecl.json is no regular file"):
            read(tmp_path / "edgecl.json")
