"""Fixtures that all tests share, and what a plain run leaves out."""

import os
from pathlib import Path

import pytest


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
