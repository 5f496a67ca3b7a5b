"""Stores of a tiny backbone."""

import shutil
from pathlib import Path

import pytest

from edgecl.store import Store
from tests.store.builders import initialised, learn


@pytest.fixture(autouse=True)
def _everywhere(no_waiting: None) -> None:
    """In all tests of the store."""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once and copied."""
    store = initialised(tmp_path_factory.mktemp("template") / "model")
    learn(store, "cola", "fanta")
    return store.root


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Store:
    """Version 0 (empty) and version 1 (cola, fanta), which is current."""
    shutil.copytree(template, tmp_path / "model", symlinks=True)
    return Store.open(tmp_path / "model")
