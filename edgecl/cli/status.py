"""`edgecl status`: what a store holds and how it is."""

from typing import TYPE_CHECKING, Any

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import again, answer, mebibytes, tell

if TYPE_CHECKING:
    from edgecl.store import Store


def status(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Say which version is current, how many classes fit, and how full the memory is."""
    from edgecl.store import Store

    found = _status(Store.open(store))
    if as_json:
        answer(found)
        return
    tell(f"{found['backbone']}, {found['image_size']} x {found['image_size']} pixels")
    tell(f"current: {_or_none(found['current'])}; good: {_or_none(found['good'])}; versions: {found['versions']}")
    if found["staged"]:
        tell(f"staged: {', '.join(map(str, found['staged']))}; make one current with: {again(store, 'promote N')}")
    tell(f"classes: {found['classes']} of {found['capacity']}; tasks: {found['tasks']}")
    memory = found["memory"]
    tell(
        f"memory: {memory['pictures']} pictures, {mebibytes(memory['bytes'])} of {memory['budget_mib']:g} MiB, "
        f"up to {memory['per_class']} per class"
    )


def _status(store: "Store") -> dict[str, Any]:
    """`edgecl.status/1`; the figures about classes and memory are the current version's."""
    from edgecl.store.history import states

    numbers, current = store.numbers(), store.current
    manifest = None if current is None else store.manifest(current)
    kept = () if current is None else store.memory(current)
    settings = store.settings()
    return {
        "format": "edgecl.status/1",
        "store": str(store.root),
        "backbone": store.facts.architecture.backbone,
        "image_size": store.facts.architecture.image_size,
        "current": current,
        "good": store.good,
        "versions": len(numbers),
        "staged": [number for number in numbers if "staged" in states(store, number)],
        "classes": 0 if manifest is None else len(manifest.classes),
        "capacity": store.facts.capacity if manifest is None else manifest.capacity,
        "tasks": 0 if manifest is None else len(manifest.recipe.steps),
        "memory": {
            "pictures": len(kept),
            "bytes": sum(picture.bytes for picture in kept),
            "per_class": settings.memory.per_class,
            "budget_mib": settings.memory.budget_mib,
        },
    }


def _or_none(number: int | None) -> str:
    return "none" if number is None else f"version {number}"
