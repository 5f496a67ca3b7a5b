"""The page as one HTML file: no script, no font and no picture from elsewhere, so it opens offline and on a phone."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from edgecl.manifest import KeptPicture
from edgecl.report.charts import Point, cell_colour, curve
from edgecl.report.gather import Report, Task

THUMBNAIL, LARGER = 64, 150  # pixels, longer side, of memory and of confused pairs
THUMBNAILS = 3000  # in one page; of larger memories the first pictures of each class are shown
ReadPicture = Callable[[str], bytes]


@dataclass(frozen=True)
class Shelf:
    """What the memory holds of one class."""

    name: str
    holdout: tuple[str, ...]  # kept hashes
    replay: tuple[str, ...]
    hidden: int  # replay pictures that the page has no room for


def render(report: Report, read_picture: ReadPicture) -> str:
    """The page; `read_picture` gives a kept picture's JPEG. The same version gives the same page."""
    template = _environment().get_template("page.html.j2")
    return template.render(
        r=report,
        m=report.manifest,
        gate=report.manifest.checks.get("gate"),
        validation=report.manifest.checks.get("accuracy", {}).get("validation"),
        asked_of=report.run.get("pictures"),
        rejected=report.run.get("rejected", ()),
        extended=[
            entry.name for entry in report.manifest.classes if entry.name not in report.added and report.manifest.task in entry.tasks
        ],
        memory=_shelves(report),
        thumbnail=lambda hash: _data_uri(read_picture(hash), THUMBNAIL),
        picture=lambda hash: _data_uri(read_picture(hash), LARGER),
        coefficients=_coefficients(report),
        history=_history(report),
        lost=[change for change in report.changes if change.gain < 0],
        gained=[change for change in reversed(report.changes) if change.gain > 0],
        label=_label,
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgecl.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "mib": _mib,
        "cell": cell_colour,
        "points": _points,
        "reach": _reach,
        "duration": _duration,
    }
    return environment


def _percent(part: float | None) -> str:
    return "–" if part is None else f"{100 * part:.1f} %"


def _points(part: float | None) -> str:
    return "–" if part is None else f"{100 * part:.1f} points"


def _reach(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f} %"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB"


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return "not recorded"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _label(task: Task | str) -> str:
    """`t0007-cans` -> `7`, the short name of a column."""
    name = task if isinstance(task, str) else task.id
    return name.partition("-")[0].lstrip("t").lstrip("0") or "0"


def _data_uri(jpeg: bytes, size: int) -> Markup:
    """A smaller copy of a picture inside the page."""
    with Image.open(io.BytesIO(jpeg)) as opened:
        small = opened.convert("RGB")
    small.thumbnail((size, size))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=70)
    return Markup("data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode())


def _shelves(report: Report) -> dict[str, list[Shelf]]:
    """Task -> its classes; a class stands with the task that taught it first."""
    per_class = max(1, THUMBNAILS // max(1, len(report.names)))
    found: dict[str, list[Shelf]] = {}
    for entry in sorted(report.manifest.classes, key=lambda entry: entry.row):
        mine = [kept for kept in report.memory if kept.class_id == entry.id]
        held, kept = _hashes(mine, "holdout"), _hashes(mine, "replay")
        room = max(0, per_class - len(held))
        found.setdefault(entry.tasks[0] if entry.tasks else "", []).append(
            Shelf(entry.name, held, kept[:room], max(0, len(kept) - room)),
        )
    return found


def _hashes(pictures: list[KeptPicture], role: str) -> tuple[str, ...]:
    return tuple(kept.hash for kept in pictures if kept.role == role)


def _coefficients(report: Report) -> Markup | None:
    """The accuracy at each coefficient that was tried; None when none could be judged."""
    tried = [trial for trial in report.manifest.checks.get("trials", ()) if trial["accuracy"] is not None]
    if not tried or not report.manifest.recipe.steps:
        return None
    chosen = report.manifest.recipe.steps[-1].coefficients.get("*")
    judged = sum(int(report.run.get("pictures", {}).get(group, 0)) for group in ("validation", "holdout"))
    points = []
    for trial in tried:
        accuracy = float(trial["accuracy"])
        error = (accuracy * (1 - accuracy) / judged) ** 0.5 if judged else 0.0  # the search's own yardstick
        points.append(
            Point(
                f"{trial['coefficient']:g}",
                accuracy,
                max(0.0, accuracy - error),
                min(1.0, accuracy + error),
                trial["coefficient"] == chosen,
            )
        )
    return Markup(curve(points, title="accuracy at each coefficient that was tried"))


def _history(report: Report) -> Markup | None:
    """Pooled accuracy on holdout pictures after each version; None when there is no curve to draw."""
    rows = [(version, count) for version, count in zip(report.versions, report.totals, strict=True) if count.accuracy is not None]
    if len(rows) < 2:
        return None
    points = [Point(str(version), count.accuracy or 0.0, *count.interval, version == rows[-1][0]) for version, count in rows]
    return Markup(curve(points, title="accuracy on held-out pictures after each version"))
