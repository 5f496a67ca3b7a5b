"""`edgecl show`: everything that one version says of itself."""

from typing import Annotated, Any

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import answer, mebibytes, percent, table, tell
from edgecl.cli.parsers import whole


def show(
    version: Annotated[
        int | None,
        typer.Argument(metavar="[N]", parser=whole(0), help="Number of the version; without it the current one.", show_default=False),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show one version: its classes, tasks, memory, and what was measured."""
    from edgecl.store import Store, history

    found = history.show(Store.open(store), version)
    if as_json:
        answer(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    parent = "none" if found["parent"] is None else found["parent"]
    task = f" {found['task']}" if found["task"] else ""
    tell(f"version {found['number']} ({', '.join(found['states'])}): {found['operation']}{task}, parent {parent}")
    accuracy = found["checks"].get("accuracy", {})
    if accuracy:
        tell("accuracy: " + ", ".join(f"{name} {percent(value)}" for name, value in accuracy.items()))
    tell(f"memory: {found['memory']['pictures']} pictures, {mebibytes(found['memory']['bytes'])}")
    tell(f"deterministic: {found['deterministic']}")
    for incident in found["run"].get("incidents", ()):
        tell(f"while it was learned: {incident}")
    for step in found["recipe"]["steps"]:
        coefficients = ", ".join(f"{target} {value:g}" for target, value in step["coefficients"].items())
        tell(f"merged: {step['task']}, adapter {step['adapter'][:12]}, coefficient {coefficients}")
    tell(f"classes: {len(found['classes'])} of {found['capacity']}")
    if found["classes"]:
        rows = [(c["row"], c["name"], c["replay"], c["holdout"], " ".join(c["tasks"])) for c in found["classes"]]
        table(("row", "name", "replay", "holdout", "tasks"), rows)
