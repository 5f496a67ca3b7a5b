"""One store: reading its versions, committing a new one, moving its two pointers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.adapter import Adapter
from edgecl.architecture import Architecture
from edgecl.errors import BadInput, StoreBusy, StoreDamaged, UsageError
from edgecl.gaussians import Gaussians
from edgecl.manifest import KeptPicture, Manifest, Recipe
from edgecl.merge import Coefficients, merge
from edgecl.settings import AdapterShape, GateSettings, MemorySettings
from edgecl.store.atomic import folder_aside, os_errors, ready, replace_all
from edgecl.store.content import keep_adapters, keep_pictures, load_adapter, load_base, load_picture, picture_path
from edgecl.store.creating import BASE_FILE, empty_place, write_facts
from edgecl.store.facts import FACTS_FILE, Facts, read_facts
from edgecl.store.folder import VersionFolder
from edgecl.store.locks import NestedLock, exclusive, in_use
from edgecl.store.names import CURRENT, GOOD, version_folder, version_number
from edgecl.store.ownership import check_changeable
from edgecl.store.pointers import read_pointer
from edgecl.store.protocol import appear, confirm, point, settle, sweep_scratch
from edgecl.store.settings import Settings, read_settings
from edgecl.store.space import require_space
from edgecl.store.state import STATE_FILE, read_state, state_bytes
from edgecl.store.versions import MANIFEST_FILE, WEIGHTS_FILE, Draft, check_draft, version_bytes, written_out

Array = NDArray[Any]
POINTER_WAIT_S = 10.0


class Store:
    """A store on disk. Objects are cheap and keep nothing but the facts; every read goes to the disk."""

    def __init__(self, root: Path, facts: Facts) -> None:
        self.root = root
        self.facts = facts
        self._learning = NestedLock(root / "learn.lock")

    @classmethod
    def create(
        cls,
        root: Path,
        *,
        architecture: Architecture,
        base: Mapping[str, Array],
        source: str,
        capacity: int,
        adapter: AdapterShape,
        memory: MemorySettings,
        gate: GateSettings | None = None,
        first: Callable[["Store"], None] | None = None,
    ) -> "Store":
        """Make a store in `root`, an absent or empty folder, from the backbone `base` (timm names, no head).

        `source` says where the weights came from: a file's name or a hub id. `first` is called with the store before it is moved
        into place, to commit and promote version 0: when it fails, nothing is left behind.

        Raises:
            UsageError: `root` is occupied, or `capacity` or `adapter` make no sense.
            BadWeights: `base` is not the backbone.
            BadInput: the file system cannot hold a store.
            NoSpace: the disk is full.
        """
        root = root.resolve()
        settings = Settings(memory=memory, gate=gate or GateSettings())
        with empty_place(root) as building:
            facts = write_facts(
                building, architecture=architecture, base=base, source=source, capacity=capacity, adapter=adapter, settings=settings
            )
            if first is not None:
                first(cls(building, facts))
        return cls(root, facts)

    @classmethod
    def open(cls, root: Path) -> "Store":
        """The store in `root`.

        Raises:
            BadInput: there is none, or it may not be read.
            StoreDamaged: its facts are missing or broken, or a newer edgecl wrote them.
        """
        with os_errors(f"looking into {root}"):
            absent = not (root / FACTS_FILE).exists() and not (root / "versions").is_dir()
        if absent:
            raise BadInput(f"there is no store at {root}. Make one with: edgecl init {root}")
        root = root.resolve()
        return cls(root, read_facts(root))

    # What is there

    def settings(self) -> Settings:
        """`settings.toml`, checked.

        Raises:
            BadSettings: an unknown key or an unusable value.
        """
        return read_settings(self.root)

    def state(self) -> dict[str, Any]:
        """`state.json`"""
        return read_state(self.root)

    @property
    def current(self) -> int | None:
        """The version that the app should serve."""
        return read_pointer(self.root, CURRENT)

    @property
    def good(self) -> int | None:
        """The last version that proved healthy on the app's own engine."""
        return read_pointer(self.root, GOOD)

    def numbers(self) -> list[int]:
        """Numbers of all versions, ascending. A folder without a manifest does not exist."""
        versions = self.root / "versions"
        with os_errors("listing versions"):
            return [number for number in self._listed("versions") if (versions / version_folder(number) / MANIFEST_FILE).is_file()]

    def _listed(self, folder: str) -> list[int]:
        """The version numbers that entries of a folder of the store are called after, ascending."""
        with os_errors(f"listing {folder}"):
            found = [version_number(entry.name) for entry in (self.root / folder).iterdir()]
        return sorted(number for number in found if number is not None)

    def folder(self, number: int) -> Path:
        """Where version `number` lies.

        Raises:
            UsageError: there is no such version.
        """
        folder = self.root / "versions" / version_folder(number)
        with os_errors(f"looking into version {number}"):
            there = (folder / MANIFEST_FILE).is_file()
        if not there:
            raise UsageError(f"there is no version {number}; there are {self.numbers()}. See them with: edgecl log")
        return folder

    def _version(self, number: int) -> VersionFolder:
        return VersionFolder(self.folder(number), number, self.facts.architecture)

    def manifest(self, number: int) -> Manifest:
        """The manifest of version `number`.

        Raises:
            UsageError: there is no such version.
            StoreDamaged: its manifest was changed.
        """
        return self._version(number).manifest()

    def run_info(self, number: int) -> dict[str, Any]:
        """`run.json`: when, where and how long; `{}` when it is missing, for nothing depends on it."""
        return self._version(number).run_info()

    def file(self, number: int, name: str) -> bytes:
        """The content of a file that the manifest of version `number` lists, checked against its hash.

        Raises:
            UsageError: there is no such version.
            StoreDamaged: the file is missing or was changed.
        """
        return self._version(number).file(name)

    def head(self, number: int) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
        """Weight `[capacity, d]` and bias `[capacity]` of version `number`."""
        return self._version(number).head()

    def memory(self, number: int) -> tuple[KeptPicture, ...]:
        """The memory's index as version `number` has it."""
        return self._version(number).memory()

    def statistics(self, number: int) -> Gaussians | None:
        """What version `number` knows of classes that came without pictures; None where there is nothing."""
        return self._version(number).statistics()

    def picture(self, hash: str) -> bytes:
        """The JPEG of a kept picture.

        Raises:
            StoreDamaged: it is missing or was changed.
        """
        return load_picture(self.root, hash)

    def adapters(self, recipe: Recipe) -> list[tuple[Adapter, Coefficients]]:
        """The adapters of a recipe in its order, with their coefficients.

        Raises:
            StoreDamaged: one is missing or was changed.
        """
        return [(load_adapter(self.root, step.adapter), step.coefficients) for step in recipe.steps]

    def base(self) -> dict[str, Array]:
        """The backbone as it came, timm names, float32."""
        return load_base(self.root / BASE_FILE, self.facts.architecture)

    def merged_state(self, recipe: Recipe) -> dict[str, Array]:
        """The backbone with the recipe merged in, timm names, float32."""
        return merge(self.base(), self.adapters(recipe))

    def version_bytes(self, capacity: int) -> int:
        """Room that a version with so many rows takes on the disk, its canary estimated."""
        return version_bytes(self.facts.architecture, capacity)

    # Locks

    @contextmanager
    def learning_lock(self) -> Iterator[None]:
        """Hold `learn.lock`, which everything that adds or removes versions needs; may be nested within one thread. Sweeps `tmp/`.

        Raises:
            StoreBusy: someone else holds it.
            BadInput: the store belongs to another user.
        """
        check_changeable(self.root)
        with self._learning.held() as outermost:
            if outermost:
                with self.pointer_lock():
                    sweep_scratch(self.root)
            yield

    @contextmanager
    def pointer_lock(self) -> Iterator[None]:
        """Hold `pointer.lock` for the milliseconds in which a pointer or state.json changes; waits for it. Not nested.

        Raises:
            StoreBusy: it was not free for ten seconds.
            BadInput: the store belongs to another user.
        """
        check_changeable(self.root)
        with exclusive(self.root / "pointer.lock", wait_s=POINTER_WAIT_S):
            yield

    @contextmanager
    def use(self, number: int | None = None) -> Iterator[Path]:
        """The folder of version `number` (default: `current`) for reading, held against gc during the body; its weights are there.

        Raises:
            StoreDamaged: nothing is current, or the version vanished.
            UsageError: there is no such version.
        """
        while True:
            wanted = self.current if number is None else number
            if wanted is None:
                raise StoreDamaged("no version is current. Choose one with: edgecl promote NUMBER")
            with in_use(self.folder(wanted)):
                if number is None and self.current != wanted:
                    continue  # promoted away while the lock was being taken
                self.rebuild(wanted)
                yield self.folder(wanted)
                return

    # Changes

    def next_number(self) -> int:
        """The number that the next commit gives; certain only under the learning lock."""
        exported = self._listed("exports") if (self.root / "exports").is_dir() else []
        return max(int(self.state()["next_version"]), *(number + 1 for number in (*self._listed("versions"), *exported)), 0)

    def commit(self, draft: Draft) -> Manifest:
        """Write `draft` as a new, staged version; nothing that exists is changed.

        Raises:
            ValueError: the draft contradicts itself or the store.
            StoreBusy: someone else is learning.
            NoSpace: the disk is full; nothing is left of the version.
        """
        check_draft(draft, self.facts.architecture)
        with self.learning_lock():
            if (draft.parent is None) != (draft.operation == "init") or draft.parent not in (None, *self.numbers()):
                raise ValueError(f"a draft of {draft.operation!r} names the parent {draft.parent}; there are {self.numbers()}")
            self._keep_content(draft)
            number = self.next_number()
            created = datetime.now(timezone.utc).isoformat(timespec="seconds")
            manifest, files = written_out(draft, number, self.merged_state(draft.recipe), self.facts.architecture, created)
            require_space(self.root, sum(map(len, files.values())), f"writing version {number}")
            with folder_aside(version_folder(number), files, tmp=self.root / "tmp") as fresh, self.pointer_lock():
                appear(self.root, number, fresh, self.state())
            return manifest

    def settle(self) -> None:
        """Make durable what a killed command may have left visible only; call it before anything is removed."""
        with self.pointer_lock():
            settle(self.root, self.state(), self.next_number())

    def confirm(self, number: int) -> None:
        """For a command that finds version `number` made already: its weights are there, and no power cut takes it or its promotion away.

        Raises:
            UsageError: there is no such version.
            StoreDamaged, StoreBusy: as for `rebuild`.
        """
        self.rebuild(number)
        with self.pointer_lock():
            confirm(self.root)

    def _keep_content(self, draft: Draft) -> None:
        keep_adapters(self.root, draft.new_adapters)
        keep_pictures(self.root, draft.new_pictures)
        for picture in draft.memory:
            if not picture_path(self.root, picture.hash).is_file():
                raise ValueError(f"the memory's index names the picture {picture.hash[:12]}, which is not there")

    def rebuild(self, number: int) -> bool:
        """Make sure that version `number` has its weights, bit-equal; returns whether they had to be built again.

        Raises:
            StoreDamaged: what comes out is not what the manifest says.
            StoreBusy: they must be built, and someone else is learning.
        """
        version = self._version(number)
        if version.has_weights():
            return False
        manifest = version.manifest()
        require_space(self.root, manifest.files[WEIGHTS_FILE].bytes, f"building the weights of version {number} again")
        with self.learning_lock():
            data = version.weights_again(self.merged_state(manifest.recipe))
            # Whoever points at the version makes the name durable; for everybody else it can be built again.
            with ready({version.path / WEIGHTS_FILE: data}, tmp=self.root / "tmp") as put:
                put()
        return True

    def promote(self, number: int, *, expected: int | None) -> bool:
        """Point `current` at version `number` if it points at `expected` now; returns whether it did. Dropped weights are built again.

        Raises:
            UsageError: there is no such version.
            StoreDamaged: one of its files was changed; `current` stays.
            StoreBusy: its weights must be built again, and someone is learning or cleaning up.
        """
        self._version(number).check_files()
        self.rebuild(number)
        with in_use(self.folder(number)), self.pointer_lock():
            if self.current != expected:
                return False
            if not (self.folder(number) / WEIGHTS_FILE).is_file():
                raise StoreBusy(f"the weights of version {number} were dropped by gc at this moment. Try again.")
            state = self.state()
            state["promoted"] = sorted({*state["promoted"], number})
            state["next_version"] = self.next_number()  # a kill may have come between a version and its record
            point(self.root, CURRENT, number, state)
            return True

    def mark_good(self, number: int) -> None:
        """Point `good` at version `number`: the app's own engine passed its self-test and N frames."""
        with in_use(self.folder(number)), self.pointer_lock():
            point(self.root, GOOD, number)

    def update_state(self, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
        """Replace `state.json` by what `change` makes of it, under pointer.lock: `change` must be quick and must not call the store."""
        with self.pointer_lock():
            replace_all({self.root / STATE_FILE: state_bytes(change(self.state()))}, tmp=self.root / "tmp")
