"""Making room: weights that can be built again, versions nobody keeps, and what no version names any more."""

import dataclasses
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecl.errors import EdgeclError, StoreBusy, StoreDamaged, UsageError
from edgecl.store.atomic import os_errors, remove_all, size_of
from edgecl.store.locks import unused
from edgecl.store.names import GOOD, is_hash, version_folder
from edgecl.store.reports import lost_reports
from edgecl.store.store import Store
from edgecl.store.versions import WEIGHTS_FILE


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was removed, or with `dry_run` would be."""

    dry_run: bool
    bytes_freed: int = 0
    versions_removed: tuple[int, ...] = ()
    weights_dropped: tuple[int, ...] = ()  # of versions that stay
    pictures_removed: int = 0
    adapters_removed: int = 0

    def to_json(self) -> dict[str, Any]:
        """`edgecl.gc/1`"""
        return {"format": "edgecl.gc/1", **dataclasses.asdict(self)}


def gc(store: Store, keep: int | None = None, *, dry_run: bool = False) -> Report:
    """Drop the weights of all versions but current, good, their parents and those in use; remove what no version names.

    With `keep`, also remove all versions but the `keep` newest, current, good, their parents and those in use. Engines that hold the
    weights of a version that is gone go with it.

    Raises:
        UsageError: `keep` is negative.
        StoreBusy: someone is learning.
        StoreDamaged: a version that stays cannot be read, so nobody knows what it needs; nothing was removed.
    """
    if keep is not None and keep < 0:
        raise UsageError(f"--keep {keep} is negative. Use 0 or more versions.")
    leftovers = size_of(store.root / "tmp") if (store.root / "tmp").is_dir() else 0
    if dry_run:
        return _collect(store, _surplus(store, keep), _Remover(store, dry_run=True, freed=leftovers))
    with store.learning_lock():  # which sweeps tmp/
        return _collect(store, _surplus(store, keep), _Remover(store, dry_run=False, freed=leftovers))


def purge(store: Store, pictures: Collection[str], *, dry_run: bool = False) -> Report:
    """Remove every version, with its exports and engines, whose memory holds one of `pictures` (hashes), then what no version names any more.

    `good` is removed when it points at one of them.

    Raises:
        UsageError: the current version still holds one of them.
        StoreBusy: someone is learning, or such a version is being used by the app.
    """
    if dry_run:
        return _purge(store, set(pictures), _Remover(store, dry_run=True))
    with store.learning_lock():
        return _purge(store, set(pictures), _Remover(store, dry_run=False))


def protected(store: Store, doomed: Collection[int] = ()) -> set[int]:
    """Versions that gc never touches: current, good and their parents; the newest one while nothing is current.

    `doomed` are not protected by being good or a parent.
    """
    numbers, current, good = store.numbers(), store.current, store.good
    pointed = set(numbers[-1:]) if current is None else {current}
    if good is not None and good not in doomed:
        pointed.add(good)
    missing = pointed - set(numbers)
    if missing:
        raise StoreDamaged(f"current or good points at version {min(missing)}, which is not there. Run: edgecl verify")
    parents = {store.manifest(number).parent for number in pointed} & (set(numbers) - set(doomed))
    return pointed | {parent for parent in parents if parent is not None}


class _Remover:
    """Removes, or only counts."""

    def __init__(self, store: Store, *, dry_run: bool, freed: int = 0) -> None:
        self.store, self.dry_run, self.freed = store, dry_run, freed

    def remove(self, paths: Sequence[Path], seen_to: Sequence[str] = ()) -> None:
        """`seen_to`: folders of the store in which what is gone already stays gone, too."""
        with os_errors("looking at what is not needed"):
            self.freed += sum(size_of(path) for path in paths)
        if not self.dry_run:
            folders = [folder for name in seen_to if (folder := self.store.root / name).is_dir()]
            remove_all(paths, tmp=self.store.root / "tmp", seen_to=folders)

    def settle(self) -> None:
        """Before anything is removed: what points elsewhere by now does so whatever happens."""
        if not self.dry_run:
            self.store.settle()


def _surplus(store: Store, keep: int | None) -> list[int]:
    if keep is None:
        return []
    numbers = store.numbers()
    kept = protected(store) | set(numbers[len(numbers) - keep :] if keep else [])
    return [number for number in numbers if number not in kept]


def _purge(store: Store, pictures: set[str], remover: _Remover) -> Report:
    holders = [number for number in store.numbers() if pictures & {kept.hash for kept in store.memory(number)}]
    if store.current in holders:
        raise UsageError(f"the current version {store.current} still holds these pictures. Forget the task or class first: edgecl forget")
    for number in holders:
        with unused(store.folder(number)) as free:
            if not free:
                raise StoreBusy(f"version {number} holds these pictures and is in use. Restart the app, then try again.")
    if store.good in holders and not remover.dry_run:
        with store.pointer_lock(), os_errors("removing good"):
            (store.root / GOOD).unlink()  # durable once `_collect` settles
    remover.remove([path for number in holders if (path := store.root / "exports" / version_folder(number)).is_dir()])
    remover.remove(lost_reports(store.root, ()))  # each may show a picture that is to go
    return _collect(store, holders, remover, doomed=holders)


def _collect(store: Store, surplus: list[int], remover: _Remover, doomed: Collection[int] = ()) -> Report:
    stay = [number for number in store.numbers() if number not in surplus]
    _reachable(store, stay)  # before anything is removed: raises when a version that stays cannot be read
    remover.settle()
    removed = _remove_unused(store, surplus, remover, doomed, lambda folder: folder)
    stay = sorted({*stay, *surplus} - set(removed))
    with_weights = [number for number in stay if (store.folder(number) / WEIGHTS_FILE).is_file()]
    dropped = _remove_unused(store, with_weights, remover, doomed, lambda folder: folder / WEIGHTS_FILE)
    adapters, pictures = _reachable(store, stay)
    lost_adapters = [path for path in sorted((store.root / "adapters").iterdir()) if is_hash(path.name) and path.name not in adapters]
    lost_pictures = [path for path in sorted((store.root / "memory").glob("*.jpg")) if is_hash(path.stem) and path.stem not in pictures]
    # Single files that a killed gc removed may come back; other than folders they leave nothing in tmp/ that would tell the next one.
    seen_to = ["memory", "reports", "engines", *(f"versions/{version_folder(number)}" for number in stay if number not in dropped)]
    remover.remove([*lost_adapters, *lost_pictures, *lost_reports(store.root, stay), *_lost_engines(store, stay)], seen_to)
    return Report(
        dry_run=remover.dry_run,
        bytes_freed=remover.freed,
        versions_removed=tuple(removed),
        weights_dropped=tuple(dropped),
        pictures_removed=len(lost_pictures),
        adapters_removed=len(lost_adapters),
    )


def _remove_unused(
    store: Store, numbers: Sequence[int], remover: _Remover, doomed: Collection[int], part: Callable[[Path], Path]
) -> list[int]:
    """Remove `part` of the folder of each of these versions that nobody uses and nothing protects; returns their numbers."""
    with ExitStack() as held:
        # Looked up while they are held: somebody may have promoted one since.
        free = [number for number in numbers if held.enter_context(unused(store.folder(number)))]
        kept = protected(store, doomed)
        gone = [number for number in free if number not in kept]
        remover.remove([part(store.folder(number)) for number in gone])
    return gone


def _lost_engines(store: Store, stay: Collection[int]) -> list[Path]:
    """Engines that hold the weights of no version that stays: frozen plans, and what ONNX Runtime built for one weights file."""
    engines = store.root / "engines"
    held = {store.manifest(number).files[WEIGHTS_FILE].sha256[:16] for number in stay}
    lost = []
    for path in sorted(engines.iterdir()) if engines.is_dir() else []:
        match = re.search(r"(?:-frozen-|^ort-)([0-9a-f]{16})(?:\.plan|\.json)?$", path.name)
        if match and match[1] not in held:
            lost.append(path)
    # A plan without its JSON does not exist, so the JSON goes first.
    return sorted(lost, key=lambda path: path.suffix != ".json")


def _reachable(store: Store, numbers: Collection[int]) -> tuple[set[str], set[str]]:
    """Hashes of the adapters and of the pictures that these versions name."""
    adapters: set[str] = set()
    pictures: set[str] = set()
    for number in numbers:
        try:
            adapters |= {step.adapter for step in store.manifest(number).recipe.steps}
            pictures |= {picture.hash for picture in store.memory(number)}
        except EdgeclError as error:
            folder = f"versions/{version_folder(number)}"
            raise StoreDamaged(
                f"version {number} cannot be read, so nothing is removed that it may need ({error}) "
                f"Restore {folder} from a copy of the store, or delete it."
            ) from error
    return adapters, pictures
