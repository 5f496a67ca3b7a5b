"""`edgecl report`: one version on a page that a person reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import answer, percent, tell
from edgecl.cli.parsers import whole
from edgecl.cli.progress import shown

if TYPE_CHECKING:
    from edgecl.report.gather import Report


def report(
    version: Annotated[
        int | None,
        typer.Argument(metavar="[N]", parser=whole(0), help="Number of the version; without it the current one.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write the page; without it report-N.html in this folder.", show_default=False),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a page about one version: what it learned and forgot, what it confuses. Opens offline, on a phone, too. Needs no torch."""
    from edgecl.report.writing import write_report
    from edgecl.runtime.ort import OrtPredictor
    from edgecl.store import Store, history

    opened = Store.open(store)
    number = history.current_version(opened) if version is None else version
    place = out or Path(f"report-{number}.html")
    with shown() as show:
        found = write_report(opened, number, place, OrtPredictor, progress=show)
    if as_json:
        answer({**found.to_json(), "path": str(place)})
    else:
        _print(found, place)


def _print(found: "Report", place: Path) -> None:
    held = found.totals[-1]
    tell(f"version {found.manifest.number}: {held.right} of {held.n} held-out pictures known ({percent(held.accuracy)})")
    for change in found.changes:
        if change.gain < 0:
            tell(
                f"{found.names[change.class_id]}: {change.before.right} of {change.before.n} kept pictures known before, {change.after.right} now"
            )
    tell(f"the page: {place}")
