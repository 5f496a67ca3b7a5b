"""Boards are told apart by the files that they keep; see tests/boards/ for where the recordings come from."""

from pathlib import Path

import pytest

from edgecl.device import detect, load_profile, profile_names
from edgecl.errors import BadSettings


def test_every_profile_can_be_read() -> None:
    """Each file of devices/ that describes a board is a profile."""
    assert {load_profile(name).name for name in profile_names()} == set(profile_names())


def test_an_unknown_profile_is_refused_with_the_list() -> None:
    """A wrong name is answered with all names and the command that lists them."""
    with pytest.raises(BadSettings, match=r"no device profile 'orin', expected one of: agx-orin-32, .*List them with: edgecl devices"):
        load_profile("orin")


def test_an_empty_machine_is_a_cpu(tmp_path: Path) -> None:
    """Where no file says anything, the profile is that of a computer without a GPU, and nothing fails."""
    board = detect(tmp_path)
    assert (board.profile.name, board.memory, board.power, board.temperatures_c, board.system) == ("cpu", None, None, {}, {})
