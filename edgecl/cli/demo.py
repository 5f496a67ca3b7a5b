"""`edgecl demo`: the whole road on drawn pictures."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecl.cli.output import tell
from edgecl.cli.progress import shown
from edgecl.errors import UsageError

if TYPE_CHECKING:
    from edgecl.store import Store


PAGE = Path("edgecl-demo.html")


def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Empty folder to work in and to keep; without it only the report stays, in this folder.", show_default=False
        ),
    ] = None,
) -> None:
    """Walk the whole road on pictures that edgecl draws itself, with the backbone that comes with edgecl."""
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} is not an empty folder. Choose another one, or empty it first.")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgecl-demo-") as temporary:
        _walk(out or Path(temporary), out / "report.html" if out else PAGE)
    rest = (
        f"look around with: edgecl log --store {out / 'model'}"
        if out
        else f"all but {PAGE} was temporary; keep it with: edgecl demo --out DIR"
    )
    tell(f"done in {time.monotonic() - started:.0f} s; {rest}")


def _walk(folder: Path, page: Path) -> None:
    from edgecl.demo.walk import Road, walk
    from edgecl.runtime.ort import OrtPredictor
    from edgecl_export.graph import write_graph

    with shown() as progress:
        walk(folder, page, Road(say=tell, progress=progress, write_graph=write_graph, make_predictor=OrtPredictor, export=_export))


def _export(store: "Store", number: int) -> str:
    from edgecl.runtime.ort import OrtPredictor
    from edgecl_export.prove import prove_and_export

    exported = prove_and_export(store, number, make_predictor=OrtPredictor)
    worst = max(hop.parity.relative for hop in exported.hops)
    return f"export: version {number} as ONNX in {exported.folder}; it differs by at most {worst:.1e} of the spread from what was trained"
