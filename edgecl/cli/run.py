"""`edgecl run`: the model answers what a source shows."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, cast

import typer

from edgecl.cli.options import DEFAULT_STORE, DeviceOption, JsonOption, StoreOption, VersionOption, profile_of
from edgecl.cli.output import answer, note, percent, tell
from edgecl.cli.parsers import decimal

if TYPE_CHECKING:
    from collections.abc import Callable

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
    budget_ms: Annotated[
        float | None,
        typer.Option(
            parser=decimal(0.001),
            envvar="EDGECL_BUDGET_MS",
            metavar="MS",
            help="Milliseconds that a frame may take; a learn on the same store goes slower while 5 % of them take longer.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Name what a source shows, one line per picture or frame. Needs no torch."""
    from edgecl.preprocess import geometry_of
    from edgecl.runtime.app import run as run_app
    from edgecl.runtime.choosing import load_predictor
    from edgecl.runtime.latency import telling
    from edgecl.runtime.sources import open_source
    from edgecl.store import Store

    opened = Store.open(store)
    camera, show = open_source(source), _json_line if as_json else _line
    try:
        with opened.use(version) as folder, telling(opened.root, budget_ms) as tell_latency:
            predictor = load_predictor(opened, folder, profile_of(device), runtime=cast("Runtime", runtime), note=note)
            with closing(predictor):
                summary = run_app(
                    camera,
                    predictor,
                    opened.manifest(int(folder.name)),
                    geometry_of(opened.facts.architecture),
                    on_prediction=lambda prediction: _both(prediction, tell_latency, show),
                    on_skip=lambda reason: note(f"left out: {reason}"),
                )
    finally:
        camera.close()
    if summary.latency_p50_ms is not None:
        note(f"{summary.answered} answered, {summary.skipped} left out, {summary.latency_p50_ms:.1f} ms each (median)")


def _both(prediction: "Prediction", tell_latency: "Callable[[float], None]", show: "Callable[[Prediction], None]") -> None:
    tell_latency(prediction.latency_ms)
    show(prediction)


def _json_line(prediction: "Prediction") -> None:
    answer(prediction.to_json())


def _line(prediction: "Prediction") -> None:
    name = prediction.label
    if prediction.unknown:
        name = f"unknown (most like {name})" if name else "unknown (no class was learned yet)"
    tell(f"{prediction.index:6}  {prediction.source}  {name}  {percent(prediction.score)}")
