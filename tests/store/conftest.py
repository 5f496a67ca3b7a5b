"""Stores of a tiny backbone."""

import os
import shutil
from pathlib import Path

import pytest

from edgecl.store import Store
from tests.store.builders import initialised, learn


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power, so none waits for the disk; that fsync is called, and when, is what tests/store/test_atomic.py looks at."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


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
