"""`edgecl log`: what happened in a store."""

from typing import TYPE_CHECKING

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import answer, percent, table

if TYPE_CHECKING:
    from edgecl.store.history import LogRow


def log(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the versions, newest first: what each one changed and how good it was."""
    from edgecl.store import Store, history

    rows = history.log(Store.open(store))
    if as_json:
        answer(history.log_json(rows))
        return
    table(("version", "state", "what", "accuracy", "created"), [_cells(row) for row in rows])


def _cells(row: "LogRow") -> tuple[object, ...]:
    if row.problem is not None:
        return row.number, "damaged", row.problem, "", ""
    accuracy = ", ".join(f"{name} {percent(value)}" for name, value in row.accuracy.items() if value is not None)
    return row.number, " ".join(row.states), _what(row), accuracy, row.created or ""


def _what(row: "LogRow") -> str:
    parts = [row.operation if row.task is None else f"{row.operation} {row.task}"]
    parts += [f"+{name}" for name in row.added[:4]] + ([f"+{len(row.added) - 4} more"] if len(row.added) > 4 else [])
    parts += [f"-{name}" for name in row.removed[:4]] + ([f"-{len(row.removed) - 4} more"] if len(row.removed) > 4 else [])
    parts += [f"{old} -> {new}" for old, new in row.renamed]
    return " ".join(parts)
