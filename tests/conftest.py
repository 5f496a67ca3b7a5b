"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real weights and photos; the test is skipped by name where it is missing."""
    folder = Path(os.environ.get("EDGECL_SHARED") or Path(__file__).parents[2] / "shared")
    if not (folder / "weights").is_dir():
        pytest.skip(f"the shared folder is not at {folder} (set EDGECL_SHARED)")
    return folder
