"""`edgecl rollback`: one step back, at once."""

from typing import Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import again, answer, tell
from edgecl.cli.parsers import whole


def rollback(
    version: Annotated[
        int | None,
        typer.Argument(
            metavar="[N]", parser=whole(0), help="An older version; without it the parent of the current one.", show_default=False
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Make an older version current again. Nothing is deleted: promote goes forward again."""
    from edgecl.store import Store, history

    opened = Store.open(store)
    before = opened.current
    number = history.rollback(opened, version)
    if as_json:
        answer({"format": "edgecl.rollback/1", "version": number, "before": before})
    else:
        tell(f"version {number} is current again, before it was {before}. Undo this with: {again(store, f'promote {before}')}")
