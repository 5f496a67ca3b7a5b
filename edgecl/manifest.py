"""What a version says of itself: the recipe, the classes, the memory's index, and the manifest that binds them.

Plain frozen dataclasses and their JSON. Every JSON file begins with `"format": "edgecl.<thing>/<n>"`.
"""

import dataclasses
import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edgecl.errors import BadInput, StoreDamaged
from edgecl.typed import typed

VERSION_FORMAT = "edgecl.version/1"
MEMORY_FORMAT = "edgecl.memory/1"
BACKGROUND = "_background"
FREE_LABEL = "-"
LARGEST_CAPACITY = 65536  # rows; far above any head that a board can hold

Role = Literal["replay", "holdout"]
Operation = Literal["init", "learn", "forget", "rename", "grow", "apply"]


@dataclass(frozen=True, kw_only=True)
class ClassEntry:
    """One class: its identity, the row of the head that answers for it, and the tasks that taught it."""

    id: str  # uuid
    row: int
    name: str  # NFC, unique without regard to case
    tasks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RecipeStep:
    """One adapter in the merge."""

    task: str
    adapter: str  # sha256, the folder's name under adapters/
    coefficients: Mapping[str, float]  # target -> coefficient, "*" for the rest


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The merge as data: weights are a pure function of (base, recipe)."""

    method: str = "task-arithmetic"
    steps: tuple[RecipeStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KeptPicture:
    """One picture of the memory: `memory/<hash>.jpg`."""

    hash: str  # sha256 of the kept JPEG
    class_id: str
    role: Role
    task: str
    source: str  # sha256 of the file that the user brought
    phash: str  # 16 hex digits, perceptual hash of the picture as the user brought it
    bytes: int


@dataclass(frozen=True, kw_only=True)
class _Index:
    pictures: tuple[KeptPicture, ...]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """How an answer becomes `unknown`: the named score of `runtime.decide`, its parameters, and the limit above which it is unknown."""

    score: str = "max_softmax"
    parameters: Mapping[str, float] = field(default_factory=dict)
    unknown_above: float = 1.0  # 1 - max softmax is never above 1: nothing is unknown


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """Hash and size of one file of the version's folder."""

    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Last written file of a version; a folder without a valid one does not exist."""

    number: int
    parent: int | None
    operation: Operation
    task: str | None  # the task that was learned or forgotten
    capacity: int
    next_row: int  # first row that was never used; rows below it may be free again
    classes: tuple[ClassEntry, ...]
    recipe: Recipe
    thresholds: Thresholds
    temperature: float  # already folded into the head's values
    seeds: Mapping[str, int]
    checks: Mapping[str, Any]  # what the gate and the canary said: deterministic figures only
    files: Mapping[str, FileEntry]
    deterministic: str = ""  # sha256 over everything above; `sealed` fills it

    def sealed(self) -> "Manifest":
        """A copy whose `deterministic` is the hash of all other fields."""
        fields = manifest_to_json(self)
        del fields["deterministic"]
        return dataclasses.replace(self, deterministic=hashlib.sha256(canonical_json(fields)).hexdigest())

    def class_by_name(self, name: str) -> ClassEntry | None:
        """The class with exactly this display name (after NFC), or None."""
        wanted = unicodedata.normalize("NFC", name)
        return next((entry for entry in self.classes if entry.name == wanted), None)

    def rows(self) -> list[int]:
        """Used rows in ascending order."""
        return sorted(entry.row for entry in self.classes)


def canonical_json(value: Any) -> bytes:
    """One spelling per value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def pretty_json(value: Any) -> bytes:
    """For files that people open."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def manifest_to_json(manifest: Manifest) -> dict[str, Any]:
    """`edgecl.version/1`, ready for `pretty_json`."""
    fields = dataclasses.asdict(manifest)
    return {"format": VERSION_FORMAT, **fields}


def manifest_from_json(fields: Mapping[str, Any]) -> Manifest:
    """Read `edgecl.version/1`.

    Raises:
        StoreDamaged: another format, a missing or unknown field, or a `deterministic` that does not match the rest.
    """
    if fields.get("format") != VERSION_FORMAT:
        raise StoreDamaged(
            f"a manifest has the format {fields.get('format')!r}, but this edgecl reads {VERSION_FORMAT!r}. A newer edgecl may have written it."
        )
    try:
        manifest = typed(Manifest, {name: value for name, value in fields.items() if name != "format"}, "manifest")
        intact = manifest.sealed().deterministic == manifest.deterministic
    except (ValueError, RecursionError) as error:
        raise StoreDamaged(f"a manifest cannot be read ({error}). Run: edgecl verify") from error
    if not intact:
        raise StoreDamaged(
            f"the manifest of version {manifest.number} was changed: its hash does not match its content. Run: edgecl verify"
        )
    problems = class_problems(manifest.classes, capacity=manifest.capacity, next_row=manifest.next_row)
    if problems or manifest.number < 0 or not (manifest.parent is None or 0 <= manifest.parent < manifest.number):
        said = "; ".join(problems) or f"version {manifest.number} cannot have the parent {manifest.parent}"
        raise StoreDamaged(f"a manifest contradicts itself ({said}). Run: edgecl verify")
    return manifest


def class_problems(classes: Sequence[ClassEntry], *, capacity: int, next_row: int) -> list[str]:
    """What keeps `classes` from being the classes of one head, in words; empty when nothing does."""
    if not 8 <= capacity <= LARGEST_CAPACITY or capacity % 8:
        return [f"capacity {capacity} is not a multiple of 8 up to {LARGEST_CAPACITY}"]
    rows, ids, names = ([getattr(entry, kind) for entry in classes] for kind in ("row", "id", "name"))
    problems = [f"{name!r} is no class name" for name in names if not _is_normal(name)]
    if any(not 0 <= row < next_row for row in rows) or not 0 <= next_row <= capacity:
        problems.append(f"rows {sorted(rows)[:8]} do not lie below next_row {next_row} <= capacity {capacity}")
    for kind, values in (("row", rows), ("id", ids), ("name", [name.casefold() for name in names])):
        if len(set(values)) != len(values):
            problems.append(f"two classes share one {kind}")
    return problems


def _is_normal(name: str) -> bool:
    try:
        return normal_name(name) == name
    except BadInput:
        return False


def memory_to_json(pictures: Sequence[KeptPicture]) -> dict[str, Any]:
    """`edgecl.memory/1`, one entry per kept picture."""
    return {"format": MEMORY_FORMAT, "pictures": [dataclasses.asdict(picture) for picture in pictures]}


def memory_from_json(fields: Mapping[str, Any]) -> tuple[KeptPicture, ...]:
    """Read `edgecl.memory/1`.

    Raises:
        StoreDamaged: another format, or a missing or unknown field.
    """
    if fields.get("format") != MEMORY_FORMAT:
        raise StoreDamaged(f"a memory index has the format {fields.get('format')!r}, but this edgecl reads {MEMORY_FORMAT!r}.")
    try:
        return typed(_Index, {name: value for name, value in fields.items() if name != "format"}, "memory index").pictures
    except ValueError as error:
        raise StoreDamaged(f"a memory index cannot be read ({error}). Run: edgecl verify") from error


def labels_text(classes: Sequence[ClassEntry], capacity: int) -> str:
    """`labels.txt`: one line per row of the head, `-` for a free row."""
    names = {entry.row: entry.name for entry in classes}
    return "".join(f"{names.get(row, FREE_LABEL)}\n" for row in range(capacity))


def normal_name(name: str) -> str:
    """The NFC form under which a class is known.

    Raises:
        BadInput: empty, `-` (a free row), over 100 characters, or with control characters or slashes.
    """
    normal = unicodedata.normalize("NFC", name).strip()
    # Control characters, and the separators at which some readers of labels.txt break lines.
    odd = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    unusable = any(unicodedata.category(character) in odd or character in "/\\" for character in normal)
    if not normal or normal == FREE_LABEL or len(normal) > 100 or unusable:
        raise BadInput(f"{name!r} cannot be a class name: use 1 to 100 printable characters without slashes, and not '-' alone.")
    return normal


def allocate_rows(count: int, *, capacity: int, next_row: int, used: Sequence[int]) -> tuple[list[int], int]:
    """Rows for `count` new classes and the new `next_row`; fresh rows first, freed ones only once every row was used.

    Raises:
        BadInput: fewer than `count` rows are left.
    """
    fresh = list(range(next_row, min(next_row + count, capacity)))
    freed = [row for row in range(next_row) if row not in set(used)]
    if len(fresh) + len(freed) < count:
        left = capacity - len(used)
        raise BadInput(
            f"{count} new classes do not fit: {left} of {capacity} rows are left. Make room with: edgecl grow --capacity {_next_capacity(capacity, count)}"
        )
    return fresh + freed[: count - len(fresh)], next_row + len(fresh)


def _next_capacity(capacity: int, count: int) -> int:
    return capacity + -(-max(count, capacity) // 8) * 8
