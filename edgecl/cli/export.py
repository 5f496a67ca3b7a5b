"""`edgecl export`: a self-contained folder for deployment, or a TensorRT engine for this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from edgecl.cli.options import DEFAULT_STORE, DeviceOption, JsonOption, StoreOption, VersionOption, profile_of
from edgecl.cli.output import answer, mebibytes, note, tell
from edgecl.cli.parsers import whole
from edgecl.cli.progress import shown
from edgecl.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from edgecl.device import DeviceProfile
    from edgecl.store import Store
    from edgecl_export.engine import Choice, EngineExported
    from edgecl_export.graph import Precision
    from edgecl_export.prove import Exported
    from edgecl_export.to_onnx import Form


def export(
    store: StoreOption = DEFAULT_STORE,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write an ONNX graph, its weights and the labels.")] = False,
    trt: Annotated[bool, typer.Option("--trt", help="See that this machine has a tested TensorRT engine for the version.")] = False,
    deepstream: Annotated[bool, typer.Option("--deepstream", help="Write a graph and a configuration for DeepStream's nvinfer.")] = False,
    opset: Annotated[
        int | None, typer.Option(parser=whole(1), metavar="N", help="ONNX operator set: 16, 17, 18 or 20.", show_default="18")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="WORD", help="fp32 or fp16; with --trt the device's.", show_default="fp32")
    ] = None,
    device: DeviceOption = "auto",
    engine: Annotated[
        str, typer.Option(metavar="WORD", help="With --trt: refit (takes new tasks), frozen (built per version), or auto.")
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; without it one below exports/ in the store.", show_default=False)
    ] = None,
    version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a version for deployment, after comparing it with the trained model on real pictures. Exit code 3 when they differ."""
    from edgecl.store import Store

    asked = [name for name, given in (("--onnx", onnx), ("--trt", trt), ("--deepstream", deepstream)) if given]
    if len(asked) != 1:
        raise UsageError(f"say what to export: one of --onnx, --trt and --deepstream; {' and '.join(asked) or 'none'} was given")
    opened = Store.open(store)
    if not trt:
        form: Form = "app" if onnx else "deepstream"
        _report(_folder(opened, version, opset=opset or 18, precision=precision or "fp32", out=out, form=form), as_json)
        return
    profile = profile_of(device)
    if profile.trt_road == "onnx-only":
        note(f"{profile.title} builds engines by trtexec from an ONNX export: this is that export. {ROAD}")
        exported = _folder(opened, version, opset=opset or profile.opset, precision=precision or profile.precision, out=out, form="app")
        _report(exported, as_json)
        return
    if opset is not None or out is not None:
        raise UsageError("--opset and --out are for --onnx and --deepstream: an engine lies in the store, and TensorRT fixes its opset")
    _report_engine(_engine(opened, version, profile, precision or profile.precision, engine), as_json)


ROAD = "edgecl builds engines itself from TensorRT 10 on (JetPack 6.1 and later)."


def _folder(store: "Store", version: int | None, *, opset: int, precision: str, out: Path | None, form: "Form") -> "Exported":
    from edgecl.runtime.ort import OrtPredictor
    from edgecl_export.prove import prove_and_export

    with store.use(version) as folder, shown() as progress:
        return prove_and_export(
            store,
            int(folder.name),
            opset=opset,
            precision=cast("Precision", precision),  # any other word is refused there
            out=out,
            form=form,
            make_predictor=OrtPredictor,
            progress=progress,
        )


def _engine(store: "Store", version: int | None, profile: "DeviceProfile", precision: str, kind: str) -> "EngineExported":
    from edgecl.runtime.cudart import Cudart
    from edgecl.runtime.trt import import_tensorrt
    from edgecl_export.engine import export_engine

    if profile.trt_road == "none":
        raise MissingExtra(
            f"{profile.title} has no TensorRT, so there is nothing to build for it. Use: edgecl export --onnx, or name the "
            "board with --device"
        )
    library, cuda = import_tensorrt(), Cudart()
    with store.use(version) as folder, shown() as progress:
        return export_engine(
            store,
            int(folder.name),
            trt=library,
            cuda=cuda,
            precision=cast("Precision", precision),  # any other word is refused there
            kind=cast("Choice", kind),
            workspace_mib=profile.engine_workspace_mib,
            progress=progress,
        )


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


def _report_engine(exported: "EngineExported", as_json: bool) -> None:
    facts, test = exported.facts, exported.test
    if as_json:
        fields: dict[str, Any] = {
            "format": "edgecl.built/1",
            "version": exported.version,
            "built": exported.built,
            "engine": facts.to_json(),
            "selftest": {"max_abs": test.max_abs, "relative": test.relative, "max_softmax": test.max_softmax},
            "ratio": exported.ratio,
            "notes": list(exported.notes),
        }
        answer(fields)
        return
    for sentence in exported.notes:
        note(sentence)
    how = f"built in {facts.seconds:.0f} s" if exported.built else "was there and took the version's weights"
    tell(f"version {exported.version} in TensorRT {facts.tensorrt}, {facts.precision}, {facts.kind}: {how}")
    tell(f"self-test: probabilities differ by {test.max_softmax:.1e}, logits by {test.relative:.1e} of their spread, same answers")
    tell(f"engines/{facts.name} ({mebibytes(facts.bytes)}). Run it with: edgecl run --runtime trt --source SOURCE")
