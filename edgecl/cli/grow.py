"""`edgecl grow`: more rows for more classes."""

from typing import Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import again, answer, tell
from edgecl.cli.parsers import whole


def grow(
    capacity: Annotated[int, typer.Option(parser=whole(1), metavar="N", help="Rows that the head gets, a multiple of 8.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Make room for more classes, as a new version. The one change after which a new engine must be built."""
    from edgecl.runtime.ort import OrtPredictor
    from edgecl.runtime.selftest import widened_canary
    from edgecl.serve import serve
    from edgecl.store import Store, history
    from edgecl_export.graph import write_graph

    opened = Store.open(store)
    graph = write_graph(opened.facts.architecture, capacity)
    manifest = history.grow(
        opened,
        capacity,
        graph,
        lambda canary: widened_canary(canary, capacity),
        serve=lambda grown, version: serve(grown, version, OrtPredictor),
    )
    state = "current" if opened.current == manifest.number else "staged"
    if as_json:
        answer({"format": "edgecl.grow/1", "version": manifest.number, "state": state, "capacity": capacity})
    else:
        tell(f"version {manifest.number} ({state}) has room for {capacity} classes; engines must be built anew")
        tell(f"next: {again(store, 'export --onnx')}")
