"""edgecl's own rows: read from `results/grocery.csv`, where `benchmarks/grocery.py` wrote them; nothing is run again."""

import json

import numpy as np

from continual import rows as table
from continual.data import KEPT, PICTURE_BYTES
from continual.measures import summary

NAME = "edgecl"
ADAPTER_BYTES = 300_000  # of one task's adapter, fp16
FROM = table.HERE / "results" / "grocery.csv"
FROZEN = table.HERE / "results" / "grocery-configuration.json"


def rows() -> list[dict[str, str]]:
    """The finished orders of the frozen configuration, as rows of this table."""
    frozen = json.loads(FROZEN.read_text())["hash"]
    known = [row for row in table.read(FROM) if row["configuration"] == frozen and row["split"] == "test" and not row["without"]]
    return [row for order in ("0", "1", "2") if (row := _row([own for own in known if own["order"] == order]))]


def _row(tasks: list[dict[str, str]]) -> dict[str, str] | None:
    if len(tasks) < 9 or {row["seed"] for row in tasks} != {"0"}:
        return None
    matrix = [[float(row[f"task{i}"] or "nan") for i in range(1, len(tasks) + 1)] for row in tasks]
    figures = {
        **summary(matrix, [float(row["accuracy"]) for row in tasks]),
        "bytes_per_class": KEPT * PICTURE_BYTES + len(tasks) * ADAPTER_BYTES / int(tasks[-1]["classes"]),
        "seconds_per_task": float(np.median([float(row["seconds"]) for row in tasks])),
        "peak_memory_mib": max(int(row["peak_memory_mib"]) for row in tasks),
        "cost": 1.0,
    }
    last = tasks[-1]
    kept = {name: last[name] for name in ("order", "seed", "split", "configuration", "commit", "machine")}
    return {**kept, "row": NAME, "scenario": "", **{name: str(value) for name, value in figures.items()}}
