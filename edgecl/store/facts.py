"""`edgecl.json`: what never changes in a store."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecl.architecture import Architecture
from edgecl.errors import BadInput, StoreDamaged
from edgecl.manifest import FileEntry
from edgecl.settings import AdapterShape
from edgecl.store.formats import sealed
from edgecl.store.reading import read_json
from edgecl.typed import typed

FACTS_FILE = "edgecl.json"


@dataclass(frozen=True, kw_only=True)
class _Base:
    sha256: str
    bytes: int
    source: str


@dataclass(frozen=True, kw_only=True)
class _Fields:
    """The file, field by field."""

    format: str
    backbone: str
    image_size: int
    capacity: int
    adapter: AdapterShape
    base: _Base
    architecture: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The immutable facts of a store."""

    architecture: Architecture
    base: FileEntry  # base.safetensors
    source: str  # where the backbone's weights came from: a file name, hub:NAME, or edgecl:NAME for the built-in one
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
    return facts_from_json(read_json(root / FACTS_FILE, "store"))


def facts_from_json(fields: Mapping[str, Any]) -> Facts:
    """The facts in a JSON object of the newest format, without its seal.

    Raises:
        StoreDamaged: a field is missing, unknown or of another type.
    """
    try:
        read = typed(_Fields, dict(fields), FACTS_FILE)
        return Facts(
            architecture=Architecture.from_json(read.architecture),
            base=FileEntry(sha256=read.base.sha256, bytes=read.base.bytes),
            source=read.base.source,
            capacity=read.capacity,
            adapter=read.adapter,
        )
    except (ValueError, BadInput) as error:
        raise StoreDamaged(f"{FACTS_FILE} cannot be understood ({error}). Restore it from a copy of the store.") from error
