"""`edgecl export`: a self-contained folder for deployment."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption, VersionOption
from edgecl.cli.output import answer, mebibytes, tell
from edgecl.cli.parsers import whole
from edgecl.cli.progress import shown
from edgecl.errors import UsageError

if TYPE_CHECKING:
    from edgecl_export.graph import Precision
    from edgecl_export.prove import Exported


def export(
    store: StoreOption = DEFAULT_STORE,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write an ONNX graph, its weights and the labels.")] = False,
    opset: Annotated[int, typer.Option(parser=whole(1), metavar="N", help="ONNX operator set: 16, 17, 18 or 20.")] = 18,
    precision: Annotated[str, typer.Option(metavar="WORD", help="fp32 or fp16.")] = "fp32",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; without it one below exports/ in the store.", show_default=False)
    ] = None,
    version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a version for deployment, after comparing it with the trained model on real pictures. Exit code 3 when they differ."""
    from edgecl.runtime.ort import OrtPredictor
    from edgecl.store import Store
    from edgecl_export.prove import prove_and_export

    if not onnx:
        raise UsageError("say what to export: --onnx is what this edgecl can write")
    opened = Store.open(store)
    with opened.use(version) as folder, shown() as progress:
        exported = prove_and_export(
            opened,
            int(folder.name),
            opset=opset,
            precision=cast("Precision", precision),  # any other word is refused there
            out=out,
            make_predictor=OrtPredictor,
            progress=progress,
        )
    _report(exported, as_json)


def _report(exported: "Exported", as_json: bool) -> None:
    if as_json:
        fields = {
            "format": "edgecl.exported/1",
            "folder": str(exported.folder),
            "version": exported.version,
            "opset": exported.opset,
            "precision": exported.precision,
            "parity": [hop.to_json() for hop in exported.hops],
            "files": {name: asdict(entry) for name, entry in exported.files.items()},
            "trtexec": exported.trtexec,
        }
        answer(fields)
        return
    size = sum(entry.bytes for entry in exported.files.values())
    tell(f"version {exported.version} as ONNX opset {exported.opset}, {exported.precision}: {exported.folder} ({mebibytes(size)})")
    for hop in exported.hops:
        parity = hop.parity
        tell(f"{hop.name}: differs by {parity.relative:.1e} of the spread on {parity.n} pictures ({hop.pictures}), same answers")
    tell(f"TensorRT builds an engine from it with: {exported.trtexec}")
