"""`edgecl apply`: another board's tasks become a new version here, without torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, MaxDropOption, StoreOption
from edgecl.cli.output import again, answer, note, percent, tell
from edgecl.cli.progress import shown
from edgecl.errors import GateFailed

if TYPE_CHECKING:
    from edgecl.bundle.apply import Applied


def apply(
    bundle: Annotated[Path, typer.Argument(metavar="FILE", help="What edgecl pack wrote.")],
    same_class: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="The bundle's class NAME is the class of that name here. May be repeated.", show_default=False),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW", help="The bundle's class OLD is another one and is called NEW here. May be repeated.", show_default=False
        ),
    ] = None,
    stage: Annotated[bool, typer.Option("--stage", help="Write the version but do not make it current.")] = False,
    max_drop: MaxDropOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Merge the tasks that another board packed, as a new version. What the model knew stays known."""
    from edgecl.bundle.apply import apply_bundle
    from edgecl.runtime.ort import OrtPredictor
    from edgecl.store import Store

    with shown() as show:
        done = apply_bundle(
            Store.open(store),
            bundle,
            make_predictor=OrtPredictor,
            same=same_class or (),
            rename=dict(_old_and_new(text) for text in rename or ()),
            stage=stage,
            max_drop=max_drop,
            progress=show,
        )
    _report(done, store, as_json)
    if done.gate is not None and not done.gate.passed:
        raise GateFailed(
            f"version {done.version} stays staged: {'; '.join(done.gate.reasons)}. Pack with --pictures or learn a few pictures of the old "
            f"classes, or serve it all the same with: {again(store, f'promote {done.version}')}"
        )


def _old_and_new(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise typer.BadParameter(f"{text!r} is not OLD=NEW, the name in the bundle and the name here.", param_hint="'--rename'")
    return old, new


def _report(done: "Applied", store: Path, as_json: bool) -> None:
    if as_json:
        answer(done.to_json())
        return
    for warning in done.warnings:
        note(f"warning: {warning}")
    if not done.applied:
        tell(f"version {done.version} has all of it already; nothing was changed")
        return
    taught = [f"{len(done.classes_added)} new classes"] if done.classes_added else []
    taught += [f"more of {', '.join(done.classes_extended)}"] if done.classes_extended else []
    tell(f"version {done.version}: {' and '.join(taught)} ({', '.join(done.tasks) or 'no new task'}, {done.seconds:.0f} s)")
    accuracy = {name: percent(value) for name, value in done.accuracy.items()}
    tell(f"{done.pictures} pictures came along; old classes {accuracy['holdout_before']} before, {accuracy['holdout_after']} after")
    tell("its head is the packed one" if done.head == "taken" else "its head was fitted anew, for other tasks were learned here since")
    if done.state == "current":
        tell(f"it is current. Take it back with: {again(store, 'rollback')}")
    else:
        tell(f"it is staged. Make it current with: {again(store, f'promote {done.version}')}")
