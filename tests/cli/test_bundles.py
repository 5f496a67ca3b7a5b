"""pack, apply and keygen as commands."""

import json
import os
from pathlib import Path

import pytest

from edgecl.cli import main
from tests.store.test_formats_page import PAGE, keys


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, object]:
    """What a command prints with --json; each of its keys stands in docs/formats.md."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    printed = json.loads(capsys.readouterr().out)
    assert {key for key in keys(printed) if f'"{key}"' not in PAGE} == set()
    return dict(printed)


def test_a_task_goes_from_board_to_board(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Key, signed bundle, trust, apply: the version says whose it is; a second time nothing is applied."""
    public = answer(capsys, "keygen", "fleet.key")["public_key"]
    packed = answer(capsys, "pack", "1", "-o", "colours.edgecl", "--sign", "fleet.key")
    assert (packed["signed_by"], packed["pictures"], packed["classes"], packed["needs"]) == (public, 0, ["green", "red"], [])
    assert packed["bytes"] == os.path.getsize("colours.edgecl")
    assert main(["promote", "0"]) == 0
    Path("model/settings.toml").write_text(f'[bundles]\ntrusted_keys = ["{public}"]\n')
    done = answer(capsys, "apply", "colours.edgecl")
    assert (done["version"], done["state"], done["head"], done["signed_by"]) == (2, "current", "taken", public)
    assert answer(capsys, "apply", "colours.edgecl")["applied"] is False


def test_what_a_person_reads(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many pictures are in a bundle, what it needs, what came of it, and how to take it back."""
    assert main(["pack", "1", "-o", "a.edgecl"]) == 0
    out, err = capsys.readouterr()
    assert "no picture is in it" in out
    assert "not signed" in err
    assert main(["apply", "blue.edgecl", "--rename", "blue=navy"]) == 0
    out, _ = capsys.readouterr()
    assert "version 2: 1 new classes (t0002-more" in out
    assert "4 pictures came along" in out
    assert "edgecl rollback" in out
    assert main(["apply", "blue.edgecl"]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert main(["apply", "a.edgecl", "--stage"]) == 0
    assert "version 2 has all of it already" in capsys.readouterr().out


def test_keygen_prints_the_lines_to_paste(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout, so that they can be appended to settings.toml."""
    assert main(["keygen", "a.key"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith('[bundles]\ntrusted_keys = ["ed25519:')
    assert "keep it off the boards" in err
