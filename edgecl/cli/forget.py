"""`edgecl forget`: a task or a class leaves the model."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import again, answer, mebibytes, tell
from edgecl.errors import StoreBusy, UsageError

if TYPE_CHECKING:
    from edgecl.forget import Forgotten
    from edgecl.store import Store


def forget(
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="Id of the task, e.g. t0003-cans; edgecl log lists them.", show_default=False)
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Forget one class instead of a task.", show_default=False)
    ] = None,
    purge: Annotated[bool, typer.Option("--purge", help="Then delete every older version and export that holds those pictures.")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Take a task or a class out, as a new version. This is not certified unlearning: later tasks were learned beside it."""
    from edgecl.forget import already_forgotten, forget_class, forget_task
    from edgecl.runtime.ort import OrtPredictor
    from edgecl.store import Store

    if (task is None) == (class_name is None):
        raise UsageError("name either a task (edgecl log lists them) or a class (--class NAME), and not both")
    opened = Store.open(store)
    # Looked up before anything changes: a damaged older version must not leave a purge half done.
    doomed = _pictures_of(opened, task, class_name) if purge else set()
    if doomed and not _is_known(opened, task, class_name):
        # A purge that was killed, or found the app in its way, is given again: the version that has forgotten is there already.
        forgotten = already_forgotten(opened, task)
    elif class_name is not None:
        forgotten = forget_class(opened, class_name, make_predictor=OrtPredictor)
    else:
        forgotten = forget_task(opened, str(task), make_predictor=OrtPredictor)
    purged = _purge(opened, forgotten, doomed) if purge else None
    _report(forgotten, purged, class_name, store, as_json)


def _is_known(store: "Store", task: str | None, class_name: str | None) -> bool:
    """Whether the current version was taught the task, or has the class."""
    if store.current is None:
        return False
    manifest = store.manifest(store.current)
    if class_name is not None:
        return manifest.class_by_name(class_name) is not None
    return task in [step.task for step in manifest.recipe.steps]


def _pictures_of(store: "Store", task: str | None, class_name: str | None) -> set[str]:
    """Hashes of the pictures of the task or class that any version keeps; of a class that the current version does not have, by its name."""
    if class_name is None:
        return {picture.hash for number in store.numbers() for picture in store.memory(number) if picture.task == task}
    here = _is_known(store, None, class_name)
    asked = [store.current] if here and store.current is not None else store.numbers()
    entries = {entry.id for number in asked if (entry := store.manifest(number).class_by_name(class_name)) is not None}
    return {picture.hash for number in store.numbers() for picture in store.memory(number) if picture.class_id in entries}


def _purge(store: "Store", forgotten: "Forgotten", doomed: set[str]) -> dict[str, Any]:
    from edgecl.store.gc import purge

    if forgotten.state != "current":
        raise StoreBusy(
            f"version {forgotten.version} has forgotten, but another process moved current meanwhile, so it is staged and nothing was purged. "
            "Look with edgecl log, then forget again with --purge."
        )
    # The same picture may have come with a task that stays.
    still = {picture.hash for picture in store.memory(forgotten.version)}
    return purge(store, doomed - still).to_json()


def _report(forgotten: "Forgotten", purged: dict[str, Any] | None, class_name: str | None, store: Path, as_json: bool) -> None:
    if as_json:
        answer({"format": "edgecl.forget/1", **asdict(forgotten), "purged": purged})
        return
    gone = ", ".join(forgotten.classes_removed) or "no class (other tasks taught them, too)"
    if forgotten.already:
        tell(f"version {forgotten.version} ({forgotten.state}) does not know it any more")
    else:
        tell(f"version {forgotten.version} ({forgotten.state}) without {gone}; {forgotten.pictures_removed} pictures left its memory")
    if forgotten.restored is not None:
        tell(f"its weights, head and memory are those of version {forgotten.restored}")
    if class_name is not None:
        tell("the class's row and pictures are gone; the adapters keep what they learned from it")
    if purged is None:
        tell(f"older versions still hold it: go back with {again(store, 'rollback')}, or delete them by forgetting with --purge")
    else:
        tell(f"purged {len(purged['versions_removed'])} versions, {mebibytes(purged['bytes_freed'])}")
