"""What a version learned, as one file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecl.bundle.content import Bundle, read_bundle
from edgecl.bundle.pack import pack
from edgecl.errors import UsageError
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from edgecl.store.history import rename


def opened(path: Path, store: Store) -> Bundle:
    """As `store` reads it."""
    return read_bundle(path, store.facts.architecture, store.facts.base.sha256)


def test_the_same_version_gives_the_same_bytes(boards: Path, tmp_path: Path) -> None:
    """Over an older bundle, too; nothing of time or place is in it."""
    store = Store.open(boards / "one")
    for _ in range(2):
        pack(store, 2, tmp_path / "a.edgecl", make_predictor=OrtPredictor)
        assert (tmp_path / "a.edgecl").read_bytes() == (boards / "one.edgecl").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.edgecl"]


def test_no_picture_leaves_unless_asked(boards: Path) -> None:
    """Without: no JPEG in the file. With: those of the task's classes and no others, roles and all."""
    store = Store.open(boards / "one")
    without, with_pictures = opened(boards / "one.edgecl", store), opened(boards / "one-pictures.edgecl", store)
    assert without.contents.pictures == ()
    assert b"JFIF" not in (boards / "one.edgecl").read_bytes()
    ids = {entry.id for entry in with_pictures.contents.classes}
    assert set(with_pictures.contents.pictures) == {kept for kept in store.memory(2) if kept.class_id in ids}
    assert {entry.name for entry in with_pictures.contents.classes} == {"blue", "yellow"}


def test_means_are_of_the_replay_pictures_by_the_packed_model(boards: Path) -> None:
    """Held-out pictures teach nothing on other boards either."""
    store = Store.open(boards / "one")
    bundle = opened(boards / "one.edgecl", store)
    entry = bundle.contents.classes[0]
    from edgecl.preprocess import decode, geometry_of, to_input

    geometry = geometry_of(store.facts.architecture)
    mine = [kept for kept in store.memory(2) if kept.class_id == entry.id and kept.role == "replay"]
    predictor = OrtPredictor()
    with store.use(2) as folder:
        predictor.load(folder)
        features = predictor.infer(np.stack([to_input(decode(store.picture(kept.hash)), geometry) for kept in mine]))[1]
    np.testing.assert_allclose(bundle.model.means[0], features.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_rename_is_no_task(board: Callable[[str], Store], tmp_path: Path) -> None:
    """Packing the renamed version packs the task before it, under the new name."""
    store = board("one")
    number = rename(store, "blue", "navy").number
    packed = pack(store, number, tmp_path / "a.edgecl", make_predictor=OrtPredictor)
    assert (packed.since, packed.tasks, packed.classes) == (1, ("t0002-second",), ("navy", "yellow"))


def test_versions_that_do_not_follow_each_other(boards: Path, tmp_path: Path) -> None:
    """The tasks of one must be the first tasks of the other."""
    store = Store.open(boards / "two")
    with pytest.raises(UsageError, match=r"version 4 was not built on version 2.*--since 0 takes every task"):
        pack(store, 4, tmp_path / "a.edgecl", make_predictor=OrtPredictor, since=2)
