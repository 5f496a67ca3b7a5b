"""`edgecl keygen`: a key to sign bundles with."""

from pathlib import Path
from typing import Annotated

import typer

from edgecl.cli.options import JsonOption
from edgecl.cli.output import answer, note, tell


def keygen(
    key: Annotated[Path, typer.Argument(metavar="FILE", help="File for the private key; it is never written over another file.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key that signs bundles, and print the line by which stores trust it."""
    from edgecl.bundle.keys import generate

    public = generate(key)
    if as_json:
        answer({"format": "edgecl.keygen/1", "file": str(key), "public_key": public})
        return
    note(f"wrote the private key {key}: keep it off the boards, and sign with: edgecl pack N -o FILE --sign {key}")
    note("every store with these lines in its settings.toml applies only what such a key has signed:")
    tell(f'[bundles]\ntrusted_keys = ["{public}"]')
