"""`edgecl run`: the model answers what cameras, videos and folders show."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from edgecl.cli.options import DEFAULT_STORE, DeviceOption, JsonOption, StoreOption, VersionOption, profile_of
from edgecl.cli.output import answer, note, percent, tell
from edgecl.cli.page import (
    HostOption,
    NewTokenOption,
    PageChoice,
    PageNameOption,
    PageOption,
    PagePrivateOption,
    PortOption,
    TlsCertOption,
    TlsKeyOption,
    page_beside,
)
from edgecl.cli.parsers import decimal, whole
from edgecl.cli.stopping import stop_requests
from edgecl.errors import Interrupted
from edgecl.settings import AnnounceSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgecl.runtime.base import Prediction, Predictor
    from edgecl.runtime.choosing import Runtime
    from edgecl.runtime.outputs.changes import Change

LOG_MIB = 64.0


def run(
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="A camera of settings.toml, a picture, folder or video, /dev/video0, csi://0, rtsp://..., http://..., gst:..., test://; "
            "may be given several times. Without it all cameras of settings.toml.",
            show_default=False,
        ),
    ] = None,
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
    max_fps: Annotated[
        float | None,
        typer.Option(parser=decimal(0.0, 1000.0), metavar="N", help="Frames per second and camera at most; 0 for all.", show_default=False),
    ] = None,
    smoothing: Annotated[
        int | None,
        typer.Option(parser=whole(1), metavar="N", help="Frames whose probabilities are averaged; 1 for none.", show_default=False),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin a file or folder anew at its end.")] = False,
    threads: Annotated[
        int, typer.Option(parser=whole(0), envvar="EDGECL_RUN_THREADS", metavar="N", help="CPU threads of the engine; 0 for all cores.")
    ] = 0,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the changes of answers as JSON lines in this file.", show_default=False)
    ] = None,
    log_all: Annotated[bool, typer.Option("--log-all", help="Keep every answer in the log.")] = False,
    log_mib: Annotated[float, typer.Option(parser=decimal(0.1), metavar="MIB", help="Size of the log and its older files.")] = LOG_MIB,
    hold: Annotated[
        float | None,
        typer.Option(
            parser=decimal(0.0, 3600.0), metavar="SECONDS", help="How long a new answer must last until it counts.", show_default=False
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            envvar="EDGECL_MQTT", metavar="URL", help="Tell changes to mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC.", show_default=False
        ),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(envvar="EDGECL_WEBHOOK", metavar="URL", help="POST changes to this address.", show_default=False)
    ] = None,
    on_change: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Run this program, without a shell, with each change on its stdin.", show_default=False),
    ] = None,
    page: PageOption = False,
    host: HostOption = None,
    port: PortOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    page_name: PageNameOption = None,
    page_private: PagePrivateOption = False,
    new_token: NewTokenOption = False,
) -> None:
    """Name what cameras, videos or folders show, until they end or the command is stopped. Needs no torch."""
    from edgecl.demo.scene import SceneCamera
    from edgecl.runtime.choosing import AnyPredictor
    from edgecl.runtime.latency import telling
    from edgecl.runtime.plan import camera_plans
    from edgecl.runtime.rebuild import Rebuild
    from edgecl.runtime.service import Log, Service
    from edgecl.runtime.systemd import Systemd
    from edgecl.store import Store

    choice = PageChoice(
        wanted=page,
        host=host,
        port=port,
        certificate=tls_cert,
        key=tls_key,
        names=tuple(page_name or ()),
        private=page_private,
        new_token=new_token,
    )
    listening = choice.listen()
    opened, profile = Store.open(store), profile_of(device)

    def open_predictor(folder: Path) -> "Predictor":
        predictor = AnyPredictor(
            opened, profile, runtime=cast("Runtime", runtime), threads=threads, note=note, rebuild=Rebuild if endless else None
        )
        predictor.load(folder)
        return predictor

    settings = opened.settings()
    plans = camera_plans(
        settings.cameras, source or [], schemes={"test": SceneCamera}, max_fps=max_fps, smoothing=smoothing, loop=loop or None
    )
    endless = any(plan.source.live or plan.loop for plan in plans)
    with stop_requests() as stop, telling(opened.root, budget_ms) as tell_latency:
        service = Service(
            opened,
            plans,
            open_predictor,
            version=version,
            announce=_announce(settings.announce, hold, mqtt, webhook, on_change),
            log=None if log is None else Log(path=log, limit_bytes=int(log_mib * 2**20), every_answer=log_all),
            systemd=Systemd(),
            tell=note,
            **_timed(tell_latency, **_shown(as_json, changes_only=endless)),
        )
        with service, page_beside(service.view, opened, listening, choice):
            summary = service.run(stop)
        if summary.latency_p50_ms is not None:
            dropped = f", {summary.dropped} passed over for newer ones" if summary.dropped else ""
            note(f"{summary.answered} answered, {summary.skipped} left out{dropped}, {summary.latency_p50_ms:.1f} ms each (median)")
        if stop.interrupted:
            raise typer.Exit(Interrupted.exit_code)


def _announce(
    settings: AnnounceSettings, hold: float | None, mqtt: str | None, webhook: str | None, on_change: str | None
) -> AnnounceSettings:
    """What stands in settings.toml; what was given on the command line wins."""
    from edgecl.runtime.outputs.receivers import command_line

    given: dict[str, Any] = {"hold_s": hold, "mqtt": mqtt, "webhook": webhook}
    given["command"] = None if on_change is None else command_line(on_change)
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def _shown(as_json: bool, *, changes_only: bool) -> dict[str, Any]:
    """What is printed: each answer, or for a person who watches a camera only the changes."""
    if as_json:
        return {"on_prediction": _json_line}
    return {"on_change": _change_line} if changes_only else {"on_prediction": _line}


def _timed(
    tell_latency: "Callable[[float], None]", *, on_prediction: "Callable[[Prediction], None]" = lambda prediction: None, **shown: Any
) -> dict[str, Any]:
    """What is printed, and each answer's time for a learner on the same store."""

    def both(prediction: "Prediction") -> None:
        tell_latency(prediction.latency_ms)
        on_prediction(prediction)

    return {**shown, "on_prediction": both}


def _json_line(prediction: "Prediction") -> None:
    answer(prediction.to_json())


def _line(prediction: "Prediction") -> None:
    name = prediction.label
    if prediction.unknown:
        name = f"unknown (most like {name})" if name else "unknown (no class was learned yet)"
    tell(f"{prediction.index:6}  {prediction.source}  {name}  {percent(prediction.score)}")


def _change_line(change: "Change") -> None:
    name = f"{change.before} is gone" if change.label is None else f"{change.label}  {percent(change.prediction.score)}"
    tell(f"{change.prediction.time}  {change.camera}  {name}")
