"""`edgecl doctor`: what this board can do, what is missing, and the lines that install it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import answer, note, tell

if TYPE_CHECKING:
    from edgecl.doctor import Report

MARKS = {"ok": "ok     ", "note": "note   ", "missing": "missing", "wrong": "WRONG  "}


def doctor(
    store: StoreOption = DEFAULT_STORE,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with files of another board at their places (etc/nv_tegra_release, proc/device-tree ...); its packages are unknown.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at board, JetPack, GPU, memory, power, temperature, packages and disk; print the lines that bring what is missing."""
    from edgecl.device import detect
    from edgecl.doctor import NOTHING_INSTALLED, examine
    from edgecl.errors import BadInput

    if root is None:
        note("looking at this machine; asking PyTorch for its GPU may take a minute")
        report = examine(detect(), store)
    elif root.is_dir():
        report = examine(detect(root), None, NOTHING_INSTALLED)
    else:
        raise BadInput(f"--root {root} is not a folder. Expected one with a board's files at their places, such as etc/nv_tegra_release.")
    if as_json:
        answer(report.to_json())
    else:
        _tell(report)


def _tell(report: "Report") -> None:
    for finding in report.findings:
        tell(f"{MARKS[finding.level]}  {finding.topic}: {finding.found}")
        for line in finding.remedy:
            tell(f"             {line}")
    if not report.python:
        tell("the board's Python is not at hand: the lines are those for a board on which nothing is installed yet")
        return
    can = {"run": "run", "learn": "learn", "trt": "build TensorRT engines"}
    able = [words for key, words in can.items() if report.ready[key]]
    tell(f"as it is, this machine can: {', '.join(able) or 'neither run nor learn'}")
