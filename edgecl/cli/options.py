"""Options that several commands share; each help text exists once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecl.cli.parsers import decimal, whole
from edgecl.settings import GateSettings

if TYPE_CHECKING:
    from edgecl.device import DeviceProfile

StoreOption = Annotated[Path, typer.Option("--store", envvar="EDGECL_STORE", metavar="DIR", help="Folder of the model.")]
DEFAULT_STORE = Path("model")

JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON on stdout; everything else goes to stderr.")]

VersionOption = Annotated[
    int | None,
    typer.Option("--version", parser=whole(0), metavar="N", help="Number of the version; without it the current one.", show_default=False),
]

MaxDropOption = Annotated[
    float | None,
    typer.Option(
        parser=decimal(0.0, 1.0),
        envvar="EDGECL_MAX_DROP",
        metavar="PART",
        help="How much accuracy old classes may lose before the version is not served, 0.03 for 3 points; without it settings.toml's.",
        show_default=f"settings.toml, else {GateSettings().max_drop}",
    ),
]

DeviceOption = Annotated[
    str,
    typer.Option("--device", envvar="EDGECL_PROFILE", metavar="PROFILE", help="Profile of the board (edgecl devices lists them), or auto."),
]


def profile_of(device: str) -> "DeviceProfile":
    """The profile that `--device` names; `auto` looks at this machine.

    Raises:
        BadSettings: there is no such profile.
    """
    from edgecl.device import detect, load_profile

    return detect().profile if device == "auto" else load_profile(device)
