"""Who decides over device, threads and batch of a learn: flag, variable, settings.toml, device profile, default."""

import dataclasses
from pathlib import Path

import pytest

from edgecl.cli import main
from edgecl.device import detect
from edgecl.errors import BadInput
from edgecl.settings import LearnSettings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, LearnSettings]]:
    """Device and settings with which the library was called; it refuses to do anything."""
    calls: list[tuple[str, LearnSettings]] = []

    def refuse(*_: object, settings: LearnSettings, device: str, **__: object) -> None:
        calls.append((device, settings))
        raise BadInput("not today")

    monkeypatch.setattr("edgecl.learner.learn", refuse)
    return calls


@pytest.fixture
def small_board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine is taken for a board whose profile has threads and a batch of its own."""
    board = detect(tmp_path)
    profile = dataclasses.replace(board.profile, threads=4, batch=8)
    monkeypatch.setattr("edgecl.device.detect", lambda: dataclasses.replace(board, profile=profile))


def learn(asked: list[tuple[str, LearnSettings]], *arguments: str) -> tuple[str, int, int]:
    """Device, threads and batch that a command line leads to."""
    assert main(["learn", "--task", "more", *arguments]) == BadInput.exit_code
    device, settings = asked[-1]
    return device, settings.threads, settings.batch


def test_without_anything_the_defaults_hold(place: Path, asked: list[tuple[str, LearnSettings]], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a computer whose profile says nothing of threads and batch."""
    board = detect(place)
    monkeypatch.setattr("edgecl.device.detect", lambda: board)
    assert learn(asked) == ("auto", 0, 16)


@pytest.mark.usefixtures("small_board")
def test_each_beats_the_one_behind_it(place: Path, asked: list[tuple[str, LearnSettings]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Profile, settings.toml, variable, flag; 0 threads are given, too."""
    assert learn(asked) == ("auto", 4, 8)
    settings = place / "model" / "settings.toml"
    settings.write_text(settings.read_text().replace("[learn]\n", "[learn]\nthreads = 3\nbatch = 5\ndevice = 'cpu'\n"))
    assert learn(asked) == ("cpu", 3, 5)
    monkeypatch.setenv("EDGECL_THREADS", "2")
    monkeypatch.setenv("EDGECL_BATCH", "6")
    monkeypatch.setenv("EDGECL_DEVICE", "auto")
    assert learn(asked) == ("auto", 2, 6)
    assert learn(asked, "--threads", "0", "--batch", "7", "--device", "cuda") == ("cuda", 0, 7)
