"""`edgecl run`: the model answers what a source shows."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, cast

import typer

from edgecl.cli.options import DEFAULT_STORE, DeviceOption, JsonOption, StoreOption, VersionOption, profile_of
from edgecl.cli.output import answer, note, percent, tell

if TYPE_CHECKING:
    from edgecl.runtime.base import Prediction
    from edgecl.runtime.choosing import Runtime


def run(
    source: Annotated[str, typer.Option(metavar="SOURCE", help="A picture, a folder of pictures, or a video file.")],
    store: StoreOption = DEFAULT_STORE,
    version: VersionOption = None,
    runtime: Annotated[
        str,
        typer.Option(envvar="EDGECL_RUNTIME", metavar="WORD", help="trt, ort (ONNX Runtime), or auto: TensorRT where an engine serves."),
    ] = "auto",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Name what a source shows, one line per picture or frame. Needs no torch."""
    from edgecl.preprocess import geometry_of
    from edgecl.runtime.app import run as run_app
    from edgecl.runtime.choosing import load_predictor
    from edgecl.runtime.sources import open_source
    from edgecl.store import Store

    opened = Store.open(store)
    camera = open_source(source)
    try:
        with opened.use(version) as folder:
            predictor = load_predictor(opened, folder, profile_of(device), runtime=cast("Runtime", runtime), note=note)
            with closing(predictor):
                summary = run_app(
                    camera,
                    predictor,
                    opened.manifest(int(folder.name)),
                    geometry_of(opened.facts.architecture),
                    on_prediction=_json_line if as_json else _line,
                    on_skip=lambda reason: note(f"left out: {reason}"),
                )
    finally:
        camera.close()
    if summary.latency_p50_ms is not None:
        note(f"{summary.answered} answered, {summary.skipped} left out, {summary.latency_p50_ms:.1f} ms each (median)")


def _json_line(prediction: "Prediction") -> None:
    answer(prediction.to_json())


def _line(prediction: "Prediction") -> None:
    name = prediction.label
    if prediction.unknown:
        name = f"unknown (most like {name})" if name else "unknown (no class was learned yet)"
    tell(f"{prediction.index:6}  {prediction.source}  {name}  {percent(prediction.score)}")
