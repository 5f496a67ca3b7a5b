"""`edgecl rename`: another name for a class."""

from typing import Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import answer, tell


def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Name that the class has.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Name that it gets.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Give a class another name, as a new version with the same weights. Its row stays."""
    from edgecl.store import Store, history

    opened = Store.open(store)
    manifest = history.rename(opened, old, new)
    state = "current" if opened.current == manifest.number else "staged"
    if as_json:
        answer({"format": "edgecl.rename/1", "version": manifest.number, "state": state, "old": old, "new": new})
    else:
        tell(f"version {manifest.number} ({state}): {old} is called {new}")
