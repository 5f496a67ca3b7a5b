"""A store in which every command has something to do, in memory where the system has such a place."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.commands import prepare


@pytest.fixture(scope="session")
def bench() -> Iterator[Path]:
    """A folder for thousands of stores, gone in the end."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def template(bench: Path) -> Path:
    """Made once, copied for each command."""
    return prepare(bench / "template")
