"""The folder of one version: what lies in it, checked against its manifest at each read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.architecture import Architecture
from edgecl.errors import StoreDamaged
from edgecl.gaussians import Gaussians, parse_gaussians
from edgecl.manifest import KeptPicture, Manifest, manifest_from_json, memory_from_json
from edgecl.store.content import parse_head
from edgecl.store.formats import migrated
from edgecl.store.reading import TENSOR_LIMIT, file_sha256, parse_json, place, read_bytes, read_json
from edgecl.store.versions import HEAD_FILE, MANIFEST_FILE, MEMORY_FILE, RUN_FILE, STATISTICS_FILE, WEIGHTS_FILE, weights_bytes

Array = NDArray[Any]


@dataclass(frozen=True)
class VersionFolder:
    """Version `number` in `path`, which is there, of a backbone of this architecture. Keeps nothing; every read goes to the disk."""

    path: Path
    number: int
    architecture: Architecture

    def manifest(self) -> Manifest:
        """`manifest.json`

        Raises:
            StoreDamaged: it was changed.
        """
        path = self.path / MANIFEST_FILE
        manifest = manifest_from_json(read_json(path, "version"))
        if manifest.number != self.number:
            raise StoreDamaged(f"{place(path)} says that it is version {manifest.number}. Run: edgecl verify")
        return manifest

    def run_info(self) -> dict[str, Any]:
        """`run.json`; `{}` when it is missing, for nothing depends on it."""
        path = self.path / RUN_FILE
        return read_json(path, "run") if path.exists() else {}

    def file(self, name: str) -> bytes:
        """The content of a file that the manifest lists.

        Raises:
            StoreDamaged: it is missing or was changed.
        """
        path, entry = self.path / name, self.manifest().files.get(name)
        data = read_bytes(path, limit=TENSOR_LIMIT)
        if entry is None or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise StoreDamaged(f"{place(path)} was changed. Restore it from a copy of the store, or run: edgecl rollback")
        return data

    def head(self) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
        """Weight `[capacity, d]` and bias `[capacity]`."""
        return parse_head(self.file(HEAD_FILE), self._where(HEAD_FILE), self.manifest().capacity, self.architecture.width)

    def memory(self) -> tuple[KeptPicture, ...]:
        """The memory's index."""
        where = self._where(MEMORY_FILE)
        return memory_from_json(migrated("memory", parse_json(self.file(MEMORY_FILE), where), where))

    def statistics(self) -> Gaussians | None:
        """What is known of classes that came without pictures; None where there is nothing.

        Raises:
            StoreDamaged: the file was changed or holds something else.
        """
        if STATISTICS_FILE not in self.manifest().files:
            return None
        try:
            return parse_gaussians(self.file(STATISTICS_FILE), self.architecture.width)
        except ValueError as error:
            raise StoreDamaged(f"{self._where(STATISTICS_FILE)}: {error}. Restore it from a copy of the store.") from error

    def check_files(self) -> None:
        """Compare every file but the weights, which can be built again, with its hash.

        Raises:
            StoreDamaged: one was changed.
        """
        for name, entry in self.manifest().files.items():
            path = self.path / name
            if name != WEIGHTS_FILE and file_sha256(path) != entry.sha256:
                raise StoreDamaged(f"{place(path)} was changed, so version {self.number} is not served. Run: edgecl verify --deep")

    def has_weights(self) -> bool:
        """Whether the weights are there and as they were."""
        path = self.path / WEIGHTS_FILE
        return path.is_file() and file_sha256(path) == self.manifest().files[WEIGHTS_FILE].sha256

    def weights_again(self, state: Mapping[str, Array]) -> bytes:
        """`weights.safetensors` from the merged backbone `state` (timm names) and the head, bit-equal.

        Raises:
            StoreDamaged: what comes out is not what the manifest says.
        """
        weight, bias = self.head()
        data = weights_bytes(state, weight, bias, self.architecture)
        if hashlib.sha256(data).hexdigest() != self.manifest().files[WEIGHTS_FILE].sha256:
            raise StoreDamaged(
                f"the weights of version {self.number} cannot be built again: the result differs from what its manifest says. "
                "Find the changed file with: edgecl verify --deep"
            )
        return data

    def _where(self, name: str) -> str:
        return f"{self.path.name}/{name}"
