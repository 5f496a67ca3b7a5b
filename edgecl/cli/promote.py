"""`edgecl promote`: a version of one's choice becomes current."""

from typing import Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import answer, tell
from edgecl.cli.parsers import whole


def promote(
    version: Annotated[int, typer.Argument(parser=whole(0), metavar="N", help="Number of the version.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Make a version current, whatever the gate said of it."""
    from edgecl.store import Store, history

    before = history.promote(Store.open(store), version)
    if as_json:
        answer({"format": "edgecl.promote/1", "version": version, "before": before})
    else:
        tell(f"version {version} is current, before it was {before}")
