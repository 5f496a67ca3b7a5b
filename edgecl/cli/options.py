"""Options that several commands share; each help text exists once."""

from pathlib import Path
from typing import Annotated

import typer

from edgecl.cli.parsers import whole

StoreOption = Annotated[Path, typer.Option("--store", envvar="EDGECL_STORE", metavar="DIR", help="Folder of the model.")]
DEFAULT_STORE = Path("model")

JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON on stdout; everything else goes to stderr.")]

VersionOption = Annotated[
    int | None,
    typer.Option("--version", parser=whole(0), metavar="N", help="Number of the version; without it the current one.", show_default=False),
]
