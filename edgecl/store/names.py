"""How versions, tasks and content are named in a store."""

import re
import unicodedata

from edgecl.errors import StoreDamaged

CURRENT, GOOD = "current", "good"
_VERSION = re.compile(r"[0-9]{6,}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SLUG_CHARACTERS = 60


def version_folder(number: int) -> str:
    """7 -> `000007`"""
    return f"{number:06d}"


def version_number(folder: str) -> int | None:
    """`000007` -> 7; None for any other name."""
    if _VERSION.fullmatch(folder) is None or version_folder(int(folder)) != folder:
        return None
    return int(folder)


def task_id(number: int, name: str) -> str:
    """The id of the task that version `number` learns from a folder called `name`, e.g. `t0003-cans`.

    Letters, digits and `. _` of any script stay; everything else becomes `-`. The name part has at most 60 characters.
    """
    normal = unicodedata.normalize("NFC", name)
    kept = "".join(character if character in "._" or unicodedata.category(character)[0] in "LNM" else "-" for character in normal)
    slug = re.sub("-{2,}", "-", kept)[:_SLUG_CHARACTERS].strip("-._") or "task"
    return f"t{number:04d}-{slug}"


def is_hash(value: object) -> bool:
    """Whether `value` is a sha256 in hex."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def checked_hash(value: str) -> str:
    """`value`, when it is a sha256 in hex; it becomes part of a path.

    Raises:
        StoreDamaged: it is anything else.
    """
    if not is_hash(value):
        raise StoreDamaged(f"{value!r} stands where a sha256 of 64 hex digits belongs. Run: edgecl verify")
    return value
