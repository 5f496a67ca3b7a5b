"""Fixtures of the runtime's tests."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.runtime.tiny import write_version


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """The folder of a tiny version that answers with red, green and blue in rows 0, 1 and 2."""
    return write_version(tmp_path / "000007")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`cudart_stub.c`, compiled: a libcudart on host memory."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler (cc) here")
    path = tmp_path_factory.mktemp("cudart") / "libcudart.so.13"
    source = Path(__file__).with_name("cudart_stub.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(path), str(source)], check=True)
    return path
