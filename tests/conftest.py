"""Fixtures that all tests share, and what a plain run leaves out."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edgecl.store import Store


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--all`: everything that this machine can run."""
    parser.addoption("--all", action="store_true", help="run the slow tests, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each test that is left out is named with the reason."""
    if not config.getoption("--all"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow (runs with --all)"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real weights and photos; the test is skipped by name where it is missing."""
    folder = Path(os.environ.get("EDGECL_SHARED") or Path(__file__).parents[2] / "shared")
    if not (folder / "weights").is_dir():
        pytest.skip(f"the shared folder is not at {folder} (set EDGECL_SHARED)")
    return folder


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power, so none waits for the disk; that fsync is called, and when, is what tests/store/test_atomic.py looks at."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was taught red and green, then blue and yellow, then violet and white. Copied, never changed."""
    if os.environ.get("EDGECL_LEARNED"):  # made by the run that started this one (tests/export/test_mutations.py)
        return Path(os.environ["EDGECL_LEARNED"])
    from tests.teaching import draw_task, new_store, teach

    place = tmp_path_factory.mktemp("learned")
    store = new_store(place / "model")
    teach(store, draw_task(place / "first", "red", "green"))
    teach(store, draw_task(place / "second", "blue", "yellow"))
    teach(store, draw_task(place / "third", "violet", "white"))
    return place / "model"


@pytest.fixture
def store(learned: Path, tmp_path: Path) -> "Store":
    """A copy of `learned` to change."""
    from edgecl.store import Store

    shutil.copytree(learned, tmp_path / "model", symlinks=True)
    return Store.open(tmp_path / "model")
