"""`edgecl pack`: what a version learned, as one file for other boards."""

from pathlib import Path
from typing import Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import answer, note, tell
from edgecl.cli.parsers import whole


def pack(
    version: Annotated[int, typer.Argument(metavar="N", parser=whole(0), help="Version whose tasks are packed.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write, for example task.edgecl.")],
    since: Annotated[
        int | None,
        typer.Option(
            parser=whole(0),
            metavar="M",
            help="Older version that the other boards have; without it the nearest with fewer tasks.",
            show_default=False,
        ),
    ] = None,
    pictures: Annotated[bool, typer.Option("--pictures", help="Send the kept pictures of the tasks' classes along.")] = False,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Sign with this private key (edgecl keygen).", show_default=False)
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Pack the tasks of a version into one file that edgecl apply merges on other boards. No picture leaves unless you say so."""
    from edgecl.bundle.pack import pack as pack_tasks
    from edgecl.runtime.ort import OrtPredictor
    from edgecl.store import Store

    done = pack_tasks(Store.open(store), version, out, make_predictor=OrtPredictor, since=since, pictures=pictures, key=sign)
    if as_json:
        answer(done.to_json())
        return
    tell(f"packed {', '.join(done.tasks)} ({len(done.classes)} classes) of version {version} into {out}: {done.bytes / 1e6:.2f} MB")
    tell(f"{done.pictures} pictures are in it" if done.pictures else "no picture is in it")
    if done.needs:
        tell(f"boards that apply it must have {', '.join(done.needs)}")
    note(f"signed by {done.signed_by}" if done.signed_by else "not signed: stores with trusted_keys will refuse it")
