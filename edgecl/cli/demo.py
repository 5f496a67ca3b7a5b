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


def demo(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Empty folder to work in and to keep; without it a temporary one.", show_default=False),
    ] = None,
) -> None:
    """Walk the whole road on pictures that edgecl draws itself, with a backbone that was never trained."""
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} is not an empty folder. Choose another one, or empty it first.")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgecl-demo-") as temporary:
        _walk(out or Path(temporary))
    tell(f"done in {time.monotonic() - started:.0f} s" + (f"; look around with: edgecl log --store {out / 'model'}" if out else ""))


def _walk(folder: Path) -> None:
    from edgecl.demo.walk import walk
    from edgecl.runtime.ort import OrtPredictor
    from edgecl_export.graph import write_graph

    with shown() as progress:
        walk(folder, say=tell, progress=progress, write_graph=write_graph, make_predictor=OrtPredictor, export=_export)


def _export(store: "Store", number: int) -> str:
    from edgecl.runtime.ort import OrtPredictor
    from edgecl_export.prove import prove_and_export

    exported = prove_and_export(store, number, make_predictor=OrtPredictor)
    worst = max(hop.parity.relative for hop in exported.hops)
    return f"export: version {number} as ONNX in {exported.folder}; it differs by at most {worst:.1e} of the spread from what was trained"
