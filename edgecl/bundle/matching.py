"""Which of a bundle's classes a store knows, which are new to it, and where only the person who applies it can say."""

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from edgecl.bundle.content import Contents
from edgecl.errors import BadInput, UsageError
from edgecl.manifest import BACKGROUND, ClassEntry, Manifest, allocate_rows, normal_name
from edgecl.store.names import task_id


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The classes after a bundle."""

    classes: tuple[ClassEntry, ...]
    next_row: int
    id_of: Mapping[str, str]  # class id in the bundle -> class id here
    added: tuple[str, ...]  # names
    extended: tuple[str, ...]
    as_packed: bool  # each class has the id and the row that it has in the packed version, and no other class is there


def is_same_parent(contents: Contents, parent: Manifest) -> bool:
    """Whether `parent` is, in recipe, classes and rows, the version that the packed one was built on."""
    steps = [(step.adapter, step.coefficients) for step in parent.recipe.steps]
    return (
        steps == [(step.adapter, step.coefficients) for step in contents.needed]
        and {entry.id: entry.row for entry in parent.classes} == contents.before.rows
        and contents.before.rows.items() <= contents.rows.items()
        and (parent.capacity, parent.next_row) == (contents.capacity, contents.before.next_row)
    )


def task_names(contents: Contents, number: int) -> dict[str, str]:
    """Task id in the bundle -> its id in the store whose version `number` takes it in: no other task there can have it."""
    names: dict[str, str] = {}
    for task in contents.tasks:
        name = task.partition("-")[2] or task
        wanted, count = task_id(number, name), 1
        while wanted in names.values():
            count += 1
            wanted = task_id(number, f"{name[:50]}-{count}")
        names[task] = wanted
    return names


def match(
    contents: Contents, parent: Manifest, tasks: Mapping[str, str], *, same: Collection[str] = (), rename: Mapping[str, str] | None = None
) -> Matched:
    """Give each class of the bundle its place in `parent`'s classes.

    A class is known by its id. One that is new by id but has the name of another stops the work, unless it is in `same` (both mean one
    thing) or in `rename` (old -> new name). `_background` always means one thing.

    Args:
        tasks: task id in the bundle -> its id here.

    Raises:
        UsageError: `same` or `rename` names what there is nothing to say about.
        BadInput: two classes share a name, or there are not enough rows.
    """
    rename = {_nfc(old): new for old, new in (rename or {}).items()}
    same = {_nfc(name) for name in same}
    id_of, fresh = _identified(contents, parent, same, rename)
    _check_said(contents, same, rename, fresh, id_of)
    as_packed = is_same_parent(contents, parent) and all(here == there for there, here in id_of.items())
    if as_packed:
        rows, next_row = [entry.row for entry in fresh], contents.next_row
    else:
        rows, next_row = allocate_rows(len(fresh), capacity=parent.capacity, next_row=parent.next_row, used=parent.rows())
    taught = {id_of[entry.id]: tuple(tasks[task] for task in entry.tasks if task in tasks) for entry in contents.classes}
    kept = [replace(entry, tasks=tuple(dict.fromkeys((*entry.tasks, *taught.get(entry.id, ()))))) for entry in parent.classes]
    placed = [replace(entry, row=row, tasks=taught[entry.id]) for entry, row in zip(fresh, rows, strict=True)]
    return Matched(
        classes=(*kept, *placed),
        next_row=next_row,
        id_of=id_of,
        added=tuple(entry.name for entry in placed),
        extended=tuple(after.name for entry, after in zip(parent.classes, kept, strict=True) if entry.tasks != after.tasks),
        as_packed=as_packed,
    )


def _identified(
    contents: Contents, parent: Manifest, same: Collection[str], rename: Mapping[str, str]
) -> tuple[dict[str, str], list[ClassEntry]]:
    """Class id in the bundle -> class id here, and the classes that are new here, under their names here."""
    known = {entry.id: entry for entry in parent.classes}
    taken = {entry.name.casefold(): entry for entry in parent.classes}
    id_of: dict[str, str] = {}
    fresh: list[ClassEntry] = []
    for entry in contents.classes:
        if entry.id in known:
            id_of[entry.id] = entry.id
            continue
        name = normal_name(rename[entry.name]) if entry.name in rename else entry.name
        other = taken.get(name.casefold())
        if other is not None and other.id in known and (entry.name in same or entry.name == other.name == BACKGROUND):
            id_of[entry.id] = other.id
        elif other is not None:
            raise BadInput(_clash(entry.name, name, other.name))
        else:
            id_of[entry.id] = entry.id
            fresh.append(replace(entry, name=name))
            taken[name.casefold()] = fresh[-1]
    return id_of, fresh


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _clash(name: str, wanted: str, other: str) -> str:
    if wanted != name:
        return (
            f"the bundle's {name!r} cannot be called {wanted!r}: there is a class {other!r} here already. Choose another name for --rename."
        )
    return (
        f"the bundle's class {name!r} and this store's {other!r} have one name and two ids, so they were learned apart. If they are the same "
        f"thing, say --same-class {name!r}; if not, say --rename {name!r}=ANOTHER-NAME."
    )


def _check_said(
    contents: Contents, same: Collection[str], rename: Mapping[str, str], fresh: list[ClassEntry], id_of: Mapping[str, str]
) -> None:
    """Whoever names a class that needs no word has another one in mind."""
    names = {entry.name: entry.id for entry in contents.classes}
    for option, said in (("--same-class", same), ("--rename", rename)):
        unknown = sorted(set(said) - set(names))
        if unknown:
            raise UsageError(f"{option} names {unknown[0]!r}, but the bundle teaches {', '.join(sorted(names)[:20])}.")
    new = {entry.id for entry in fresh}
    idle = [name for name in sorted(rename) if names[name] not in new]
    if idle:
        raise UsageError(f"--rename names {idle[0]!r}, which this store knows already. To give it another name here: edgecl rename")
    idle = [name for name in sorted(same) if id_of[names[name]] == names[name]]
    if idle:
        raise UsageError(f"--same-class names {idle[0]!r}, but no other class here has that name. Leave it out.")
