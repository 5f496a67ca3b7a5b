"""Stores of a tiny backbone."""

from pathlib import Path

import pytest

from edgecl.store import Store
from tests.store.builders import initialised, learn


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Version 0 (empty) and version 1 (cola, fanta), which is current."""
    store = initialised(tmp_path / "model")
    learn(store, "cola", "fanta")
    return store
