"""The formats of the store's JSON files: what is written now, what older ones become in memory, and the seal that shows a changed byte.

A file of an older format is read by migrating it step by step, one function per step, and is written in the newest format the next
time that it is written at all. To add a format: append a step to `STEPS`, add a golden store, describe it in docs/formats.md.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from edgecl.errors import StoreDamaged
from edgecl.manifest import canonical_json

Fields = dict[str, Any]
SEAL = "sha256"


def _as_it_was(fields: Fields) -> Fields:
    """A format whose next number brought nothing but the seal."""
    return fields


# Every format of each thing, oldest first; the last one is written.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "store": ("edgecl.store/1", "edgecl.store/2"),
    "state": ("edgecl.state/1", "edgecl.state/2"),
    "run": ("edgecl.run/1", "edgecl.run/2"),
    "export": ("edgecl.export/1", "edgecl.export/2"),
    "version": ("edgecl.version/1",),
    "memory": ("edgecl.memory/1",),
    "lock": ("edgecl.lock/1",),
    "engine": ("edgecl.engine/1",),  # its plan is hashed in it; engines are built again, so the rest needs no seal
    "checkpoint": ("edgecl.checkpoint/1",),  # never migrated: another edgecl begins from the start
}
# thing -> what makes its second format of the first, the third of the second, ...
STEPS: Mapping[str, tuple[Callable[[Fields], Fields], ...]] = {
    "store": (_as_it_was,),
    "state": (_as_it_was,),
    "run": (_as_it_was,),
    "export": (_as_it_was,),
}
# From this number on a file ends in its own hash. The others are hashed by a manifest, or are nobody's business (locks).
SEALED_FROM = {"store": 2, "state": 2, "run": 2, "export": 2}


def newest(thing: str) -> str:
    """The format that is written: `newest("lock")` is the last one of `FORMATS["lock"]`."""
    return FORMATS[thing][-1]


def sealed(thing: str, fields: Mapping[str, Any]) -> Fields:
    """`fields` as a file of the newest format of `thing`, with the hash of all of it as its last key."""
    content = {"format": newest(thing), **{key: value for key, value in fields.items() if key not in ("format", SEAL)}}
    return {**content, SEAL: _hash(json.loads(canonical_json(content)))}


def migrated(thing: str, fields: Mapping[str, Any], where: str) -> Fields:
    """What the file `where` holds, as the newest format of `thing`, without its seal.

    Raises:
        StoreDamaged: another thing, a format of the future, or a seal that is broken, missing, or there too early.
    """
    number = 1 + _place(thing, fields.get("format"), where)
    content = dict(fields)
    if thing in SEALED_FROM:
        content = _unsealed(content, number >= SEALED_FROM[thing], where)
    for step in STEPS.get(thing, ())[number - 1 :]:
        content = step(content)
    return {**content, "format": newest(thing)}


def _place(thing: str, found: object, where: str) -> int:
    if found in FORMATS[thing]:
        return FORMATS[thing].index(str(found))
    stem, _, number = newest(thing).rpartition("/")
    if isinstance(found, str) and re.fullmatch(rf"{re.escape(stem)}/[1-9][0-9]*", found):
        raise StoreDamaged(f"{where} has the format {found!r}, but this edgecl reads up to {number}. Upgrade edgecl: pip install -U edgecl")
    raise StoreDamaged(f"{where} has the format {found!r}, expected {newest(thing)!r}. Run: edgecl verify")


def _unsealed(content: Fields, expected: bool, where: str) -> Fields:
    seal = content.pop(SEAL, None)
    if expected != (seal is not None):
        raise StoreDamaged(f"{where} was changed: it {'lacks' if expected else 'has'} a {SEAL}. Run: edgecl verify")
    if expected and seal != _hash(content):
        raise StoreDamaged(f"{where} was changed: its {SEAL} does not match its content. Run: edgecl verify")
    return content


def _hash(content: Fields) -> str:
    try:
        return hashlib.sha256(canonical_json(content)).hexdigest()
    except (ValueError, RecursionError):  # NaN, lone surrogates: edgecl writes neither, so no seal can match
        return ""
