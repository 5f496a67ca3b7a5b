"""`edgecl learn`: one folder of pictures becomes a new version."""

from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, MaxDropOption, StoreOption
from edgecl.cli.output import again, answer, note, percent, tell
from edgecl.cli.parsers import clock_time, decimal, one_of, whole
from edgecl.cli.progress import shown
from edgecl.errors import GateFailed
from edgecl.settings import AUTO, DEVICES, METHODS, PAPER_DIVERGENCE, LearnSettings, PaperSettings

if TYPE_CHECKING:
    from edgecl.guard import Guard
    from edgecl.learner import LearnResult
    from edgecl.store import Store

_DEFAULT = LearnSettings()


def learn(
    task: Annotated[Path, typer.Option(metavar="DIR", help="Folder with one folder of pictures per class.")],
    store: StoreOption = DEFAULT_STORE,
    val: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Class folders to validate on; without it 15 % of the task's pictures.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Name of the task; without it the folder's.", show_default=False)] = None,
    stage: Annotated[bool, typer.Option("--stage", help="Write the version but do not make it current.")] = False,
    seed: Annotated[
        int, typer.Option(parser=whole(0), envvar="EDGECL_SEED", metavar="N", help="Where all random numbers come from.")
    ] = _DEFAULT.seed,
    epochs: Annotated[
        int | None,
        typer.Option(
            parser=whole(1),
            envvar="EDGECL_EPOCHS",
            metavar="N",
            help="Passes over the new pictures.",
            show_default=f"{_DEFAULT.epochs}; at most {PaperSettings().epochs} with --method paper",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            parser=one_of(*METHODS),
            envvar="EDGECL_METHOD",
            metavar="NAME",
            help="edgecl, or the paper's system that it comes from: paper, or paper-kl, which holds the features near the untrained ones.",
        ),
    ] = METHODS[0],
    device: Annotated[
        str | None,
        typer.Option(
            parser=one_of(*DEVICES),
            envvar="EDGECL_DEVICE",
            metavar="NAME",
            help="cpu, cuda, or auto: the GPU where torch sees one; stops where there is one that it does not see.",
            show_default=f"settings.toml, else {AUTO}",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            parser=whole(1),
            envvar="EDGECL_BATCH",
            metavar="N",
            help="Pictures per training step; in parts where the memory does not hold them together.",
            show_default=f"settings.toml, else the device profile's, else {_DEFAULT.batch}",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            parser=whole(0),
            envvar="EDGECL_THREADS",
            metavar="N",
            help="CPU threads; 0 takes as many as torch does by itself.",
            show_default=f"settings.toml, else the device profile's, else {_DEFAULT.threads}",
        ),
    ] = None,
    max_drop: MaxDropOption = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            parser=decimal(0.0),
            envvar="EDGECL_MAX_MINUTES",
            metavar="MINUTES",
            help="Stop after so long, resumably (exit code 130); the same command goes on.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        time | None,
        typer.Option(parser=clock_time, metavar="HH:MM", help="Wait until the clock shows this, then begin.", show_default=False),
    ] = None,
    progress_json: Annotated[
        bool, typer.Option("--progress-json", help="Progress on stderr as JSON, one edgecl.progress/1 per line, for programs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn a folder of pictures: new classes, or more pictures of known ones. What the model knew stays known."""
    from edgecl.device import detect
    from edgecl.guard import listening
    from edgecl.hardware import first_given
    from edgecl.store import Store

    opened = Store.open(store)
    own, board = opened.settings().learn, detect().profile
    settings = LearnSettings(
        seed=seed,
        epochs=first_given(epochs, _DEFAULT.epochs),
        threads=first_given(threads, own.threads, board.threads, _DEFAULT.threads),
        batch=first_given(batch, own.batch, board.batch, _DEFAULT.batch),
    )
    guard = _guard(opened, max_minutes)
    with listening(guard), shown(as_json=progress_json) as show:
        _wait(guard, at)
        # Not before: who waits for the night needs no torch in memory.
        from edgecl.learner import learn as learn_task
        from edgecl.runtime.ort import OrtPredictor
        from edgecl_export.graph import write_graph

        result = learn_task(
            opened,
            task,
            val=val,
            name=name,
            stage=stage,
            settings=settings,
            paper=_paper(method, epochs),
            device=first_given(device, own.device, AUTO),
            max_drop=max_drop,
            write_graph=write_graph,
            make_predictor=OrtPredictor,
            progress=show,
            guard=guard,
        )
    _report(result, store, as_json)
    if not result.gate.passed:
        raise GateFailed(
            f"version {result.version} stays staged: {'; '.join(result.gate.reasons)}. Bring more pictures of the old or the new classes and "
            f"learn again, or serve it all the same with: {again(store, f'promote {result.version}')}"
        )


def _paper(method: str, epochs: int | None) -> PaperSettings | None:
    """The settings of the seed paper's method, None for edgecl's own."""
    if method == METHODS[0]:
        return None
    settings = PaperSettings(divergence=PAPER_DIVERGENCE if method == "paper-kl" else 0.0)
    return settings if epochs is None else replace(settings, epochs=epochs)


def _guard(store: "Store", max_minutes: float | None) -> "Guard":
    """With the board's own sensors and what the camera app on it says."""
    from edgecl.guard import Guard
    from edgecl.runtime.latency import latency_file, read_latency
    from edgecl.sensors import BoardSensors

    app_file = latency_file(store.root)
    sensors = BoardSensors(app=lambda: read_latency(app_file, store.root))
    return Guard(replace(store.settings().guard, max_minutes=max_minutes), sensors, say=note)


def _wait(guard: "Guard", at: time | None) -> None:
    from edgecl.guard import seconds_until

    if at is not None:
        seconds = seconds_until(at, datetime.now())
        note(f"waits until {at:%H:%M}, in {seconds / 60:.0f} minutes")
        guard.wait(seconds)


def _report(result: "LearnResult", store: Path, as_json: bool) -> None:
    if as_json:
        answer(result.to_json())
        return
    for warning in result.warnings:
        note(f"warning: {warning}")
    for path, reason in result.rejected:
        note(f"left out: {path}: {reason}")
    accuracy = {name: percent(value) for name, value in result.accuracy.items()}
    tell(f"version {result.version}: {_taught(result)} ({result.task}, {result.seconds:.0f} s)")
    tell(f"validation {accuracy['validation']}; old classes {accuracy['holdout_before']} before, {accuracy['holdout_after']} after")
    if result.state == "current":
        tell(f"it is current. Deploy it with: {again(store, 'export --onnx')}")
        tell(f"or take it back with: {again(store, 'rollback')}")
    else:
        tell(f"it is staged. Make it current with: {again(store, f'promote {result.version}')}")


def _taught(result: "LearnResult") -> str:
    parts = [f"learned {_some(result.classes_added)}"] if result.classes_added else []
    parts += [f"more of {_some(result.classes_extended)}"] if result.classes_extended else []
    return ", ".join(parts)


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{len(names)} classes ({shown}, ...)"
