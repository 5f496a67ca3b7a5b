"""`edgecl learn`: one folder of pictures becomes a new version."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import again, answer, note, percent, tell
from edgecl.cli.parsers import decimal, whole
from edgecl.cli.progress import shown
from edgecl.errors import GateFailed
from edgecl.settings import GateSettings, LearnSettings

if TYPE_CHECKING:
    from edgecl.learner import LearnResult

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
        int, typer.Option(parser=whole(1), envvar="EDGECL_EPOCHS", metavar="N", help="Passes over the new pictures.")
    ] = _DEFAULT.epochs,
    threads: Annotated[
        int,
        typer.Option(parser=whole(0), envvar="EDGECL_THREADS", metavar="N", help="CPU threads; 0 takes as many as torch does by itself."),
    ] = _DEFAULT.threads,
    max_drop: Annotated[
        float | None,
        typer.Option(
            parser=decimal(0.0, 1.0),
            envvar="EDGECL_MAX_DROP",
            metavar="PART",
            help="How much accuracy old classes may lose before the version is not served, 0.03 for 3 points; without it settings.toml's.",
            show_default=f"settings.toml, else {GateSettings().max_drop}",
        ),
    ] = None,
    progress_json: Annotated[
        bool, typer.Option("--progress-json", help="Progress on stderr as JSON, one edgecl.progress/1 per line, for programs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn a folder of pictures: new classes, or more pictures of known ones. What the model knew stays known."""
    from edgecl.learner import learn as learn_task
    from edgecl.runtime.ort import OrtPredictor
    from edgecl.store import Store
    from edgecl_export.graph import write_graph

    with shown(as_json=progress_json) as show:
        result = learn_task(
            Store.open(store),
            task,
            val=val,
            name=name,
            stage=stage,
            settings=LearnSettings(seed=seed, epochs=epochs, threads=threads),
            max_drop=max_drop,
            write_graph=write_graph,
            make_predictor=OrtPredictor,
            progress=show,
        )
    _report(result, store, as_json)
    if not result.gate.passed:
        raise GateFailed(
            f"version {result.version} stays staged: {'; '.join(result.gate.reasons)}. Bring more pictures of the old or the new classes and "
            f"learn again, or serve it all the same with: {again(store, f'promote {result.version}')}"
        )


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
