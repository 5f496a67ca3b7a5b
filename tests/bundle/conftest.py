"""Boards that come from one parent."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecl.bundle.pack import pack
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from tests.teaching import draw_task, teach


@pytest.fixture(scope="session")
def boards(learned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`parent` knows red and green (version 1); `one` learned blue and yellow on top (version 2); `two`, from the same parent, grey and black
    (version 4). Bundles of both last tasks: `one.edgecl`, `two.edgecl`, and with pictures `one-pictures.edgecl`, `two-pictures.edgecl`."""
    place = tmp_path_factory.mktemp("boards")
    for name, number in (("parent", 1), ("one", 2), ("two", 1)):
        shutil.copytree(learned, place / name, symlinks=True)
        store = Store.open(place / name)
        assert store.promote(number, expected=3)
    teach(Store.open(place / "two"), draw_task(place / "task", "grey", "black"))
    for name, number in (("one", 2), ("two", 4)):
        for pictures in (False, True):
            out = place / f"{name}{'-pictures' if pictures else ''}.edgecl"
            pack(Store.open(place / name), number, out, make_predictor=OrtPredictor, pictures=pictures)
    return place


@pytest.fixture
def board(boards: Path, tmp_path: Path) -> Callable[[str], Store]:
    """A copy of one of the boards to change."""

    def copy(name: str) -> Store:
        shutil.copytree(boards / name, tmp_path / name, symlinks=True)
        return Store.open(tmp_path / name)

    return copy
