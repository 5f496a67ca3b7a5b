"""A workplace with a small store that has learned two classes."""

from pathlib import Path

import pytest

from tests.cli.workplace import copied, template


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workplace in which nothing is wrong, made once."""
    return template(tmp_path_factory.mktemp("made") / "place")


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is also the working directory; no EDGECL_* variable is set."""
    names = "STORE SEED EPOCHS THREADS DEVICE BATCH MAX_DROP MAX_MINUTES BUDGET_MS PROFILE RUNTIME"
    for name in names.split():
        monkeypatch.delenv(f"EDGECL_{name}", raising=False)
    folder = copied(made, tmp_path / "place")
    monkeypatch.chdir(folder)
    return folder
