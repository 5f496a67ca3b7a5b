"""Fixtures of the runtime's tests."""

from pathlib import Path

import pytest

from tests.runtime.tiny import write_version


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """The folder of a tiny version that answers with red, green and blue in rows 0, 1 and 2."""
    return write_version(tmp_path / "000007")
