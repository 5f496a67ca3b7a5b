"""`edgecl demo`: the whole road on drawn pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecl.cli.output import tell
from edgecl.cli.progress import shown
from edgecl.errors import UsageError

if TYPE_CHECKING:
    from edgecl.store import Store

NEXT = """
Now with your own pictures, one folder per class:
  edgecl init model/ --backbone vit_tiny_patch16_224
  edgecl learn --task new_classes/
  edgecl export --onnx
  edgecl run --source pictures/"""


def demo(
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Absent or empty folder to work in; without it a temporary one.", show_default=False)
    ] = None,
) -> None:
    """Walk the whole road on pictures that edgecl draws itself, with a small untrained model."""
    import tempfile

    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder. Choose another place for the demo, or leave --folder out.")
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="edgecl-demo-") as place:
            _walk(Path(place))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        _walk(folder)
        tell(f"everything is in {folder}; look at it with: edgecl log --store {folder / 'model'}")
    tell(NEXT)


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
    return f"export: ONNX, {len(exported.hops) + 1} forms of the model agree within {worst:.0e} of the logits' spread"
