"""`edgecl gc`: room on the disk."""

from typing import Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import answer, mebibytes, tell


def gc(
    store: StoreOption = DEFAULT_STORE,
    keep: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Also remove all but the N newest versions (never current, good, or their parents).", show_default=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete what no version needs, and weights that can be built again bit-equal."""
    from edgecl.store import Store
    from edgecl.store.gc import gc

    report = gc(Store.open(store), keep, dry_run=dry_run)
    if as_json:
        answer(report.to_json())
        return
    verb = "would free" if dry_run else "freed"
    tell(
        f"{verb} {mebibytes(report.bytes_freed)}: {len(report.versions_removed)} versions, weights of {len(report.weights_dropped)} "
        f"others, {report.pictures_removed} pictures, {report.adapters_removed} adapters"
    )
