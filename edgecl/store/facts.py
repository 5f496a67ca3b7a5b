"""`edgecl.json`: what never changes in a store."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecl.architecture import Architecture
from edgecl.errors import BadInput, StoreDamaged
from edgecl.manifest import FileEntry
from edgecl.settings import AdapterShape
from edgecl.store.formats import sealed
from edgecl.store.reading import read_json

FACTS_FILE = "edgecl.json"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The immutable facts of a store."""

    architecture: Architecture
    base: FileEntry  # base.safetensors
    source: str  # where the backbone's weights came from: a file name or a hub id
    capacity: int  # rows of the head at init; each version's manifest has its own
    adapter: AdapterShape

    def to_json(self) -> dict[str, Any]:
        """`edgecl.json`"""
        fields = {
            "backbone": self.architecture.backbone,
            "image_size": self.architecture.image_size,
            "capacity": self.capacity,
            "adapter": dataclasses.asdict(self.adapter),
            "base": {**dataclasses.asdict(self.base), "source": self.source},
            "architecture": self.architecture.to_json(),
        }
        return sealed("store", fields)


def read_facts(root: Path) -> Facts:
    """Read `edgecl.json`.

    Raises:
        StoreDamaged: it is missing, of another format, or does not hold the facts.
    """
    fields = read_json(root / FACTS_FILE, "store")
    try:
        base = dict(fields["base"])
        source = base.pop("source")
        return Facts(
            architecture=Architecture.from_json(fields["architecture"]),
            base=FileEntry(**base),
            source=source,
            capacity=int(fields["capacity"]),
            adapter=AdapterShape(**fields["adapter"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, BadInput) as error:
        raise StoreDamaged(f"{FACTS_FILE} cannot be understood ({error}). Restore it from a copy of the store.") from error
