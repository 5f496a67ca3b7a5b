"""The one place where errors become messages and exit codes."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgecl import __version__
from edgecl.cli import main
from edgecl.errors import EdgeclError, GateFailed, MissingExtra, StoreBusy
from edgecl.store import Store


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let every command that opens a store meet `error`."""

    def open_store(root: Path) -> Store:
        raise error

    monkeypatch.setattr(Store, "open", open_store)


@pytest.mark.parametrize("kind", [EdgeclError, GateFailed, StoreBusy, MissingExtra])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_deliberate_error_is_one_line_and_its_code(
    kind: type[EdgeclError], flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An EdgeclError becomes `error: <message>` on stderr, also with --json, and its exit code; stdout stays empty."""
    failing(monkeypatch, kind("met 3, expected 4. Try again."))
    assert main(["promote", "1", *flags]) == kind.exit_code
    assert capsys.readouterr() == ("", "error: met 3, expected 4. Try again.\n")


def test_it_says_which_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """`edgecl --version` answers without a command and without a store."""
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"edgecl {__version__}\n", "")


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An interruption is no error and no bug: one line, code 130."""
    failing(monkeypatch, KeyboardInterrupt())
    assert main(["promote", "1"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_7_wherever_it_is_met(number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An OSError that says that the disk or the quota is full gives 7 and names the file."""
    failing(monkeypatch, OSError(number, "full", "weights.safetensors"))
    assert main(["promote", "1"]) == 7
    assert capsys.readouterr().err == (
        "error: the disk is full while writing weights.safetensors. Free some space (edgecl gc removes what no version needs) and try again.\n"
    )


@pytest.mark.parametrize("error", [ValueError("odd"), OSError(errno.EIO, "broken")])
def test_anything_else_is_a_bug_with_its_traceback(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody foresaw gives 1, the traceback, and the request to report it."""
    failing(monkeypatch, error)
    assert main(["promote", "1"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: this is a bug in edgecl. Please report it together with the lines above.\n")


@pytest.mark.parametrize("package", ["torch", "timm"])
def test_a_missing_extra_is_8_and_names_its_line(package: str, tmp_path: Path) -> None:
    """On a board without the extra `learn`, learning says what to install instead of showing a traceback."""
    code = f"import sys; sys.modules[{package!r}] = None; from edgecl.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "init", str(tmp_path / "model"), "--backbone", "vit_tiny_patch16_224"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 8
    assert done.stderr.startswith("error: ")
    assert f"'{package}'" in done.stderr
    assert done.stderr.endswith("Install it with: pip install 'edgecl[learn]'\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lern"], "No such command 'lern'"),
        (["learn", "--task", "x", "--max-drop", "7"], "'7' is not a number from 0 to 1."),
        (["promote"], "Missing argument 'N'"),
        (["promote", "first"], "Invalid value for 'N': 'first' is not a whole number from 0 up."),
        (["learn", "--task", "x", "--epochs", "0"], "'0' is not a whole number from 1 up."),
    ],
)
def test_arguments_that_cannot_be_parsed_are_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Typer's own complaints have the form of ours and name the help page."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert message in err
    assert "--help" in err


def test_the_environment_is_named_when_it_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad EDGECL_* value gives 2 and says which variable holds it."""
    monkeypatch.setenv("EDGECL_EPOCHS", "many")
    assert main(["learn", "--task", "x"]) == 2
    err = capsys.readouterr().err
    assert "EDGECL_EPOCHS" in err
    assert "'many'" in err


def test_help_is_0_and_lists_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`edgecl --help` prints the commands in the order in which one needs them."""
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"\n  {name} ") for name in ("init", "learn", "export", "run", "rollback", "demo")]
    assert places == sorted(places)


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`edgecl ... | head` ends quietly."""
    command = f"{sys.executable} -m edgecl --help | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_names_with_odd_bytes_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """A file name that is no UTF-8 reaches the terminal escaped, and JSON stays JSON."""
    from edgecl.cli import output

    output.escape_what_cannot_be_printed(sys.stdout)
    output.tell("caf\udce9.jpg")
    output.answer({"path": "caf\udce9.jpg"})
    text, line = capsys.readouterr().out.splitlines()
    assert text == "caf\\udce9.jpg"
    assert json.loads(line) == {"path": "caf\udce9.jpg"}
