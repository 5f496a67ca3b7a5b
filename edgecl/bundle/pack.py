"""What one version learned, as one file for other boards. Numpy and the graph; without torch."""

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecl import __version__
from edgecl.adapter import CONFIG_FILE, TENSOR_FILE
from edgecl.bundle.container import UNSIGNED, packed, starts_like_one, to_be_signed
from edgecl.bundle.content import Before, Contents, Model, Provenance, header_of, parts_of
from edgecl.bundle.keys import key_text, sign
from edgecl.bundle.probe import probe_pictures
from edgecl.errors import BadInput, NoSpace, UsageError, few
from edgecl.gaussians import measured
from edgecl.manifest import ClassEntry, KeptPicture, Manifest, RecipeStep
from edgecl.preprocess import geometry_of
from edgecl.sight import MakePredictor, prepared
from edgecl.store import Store
from edgecl.store.atomic import sync_folder, write_file
from edgecl.store.content import adapter_folder, load_adapter
from edgecl.store.reading import TENSOR_LIMIT, read_bytes


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What `pack --json` prints."""

    file: str
    bytes: int
    sha256: str
    version: int
    since: int
    tasks: tuple[str, ...]
    classes: tuple[str, ...]  # names
    pictures: int  # that leave this board in the file
    needs: tuple[str, ...]  # tasks that a board must have already
    signed_by: str | None

    def to_json(self) -> dict[str, Any]:
        """`edgecl.pack/1`"""
        return {"format": "edgecl.pack/1", **asdict(self)}


def pack(
    store: Store,
    number: int,
    out: Path,
    *,
    make_predictor: MakePredictor,
    since: int | None = None,
    pictures: bool = False,
    key: Path | None = None,
) -> Packed:
    """Write the tasks that version `number` has and version `since` has not to the file `out`, the same bytes each time.

    Without `since`, since the nearest older version with fewer tasks. With `pictures`, the kept pictures of the tasks' classes go along.
    `key` is the file of a private key to sign with.

    Raises:
        UsageError: there is no such version, nothing was learned since, or `out` is something else than a bundle.
        StoreDamaged: a file of the version was changed.
        BadInput, MissingExtra: the key cannot be used.
    """
    refuse_other_files(out)
    manifest = store.manifest(number)
    before = store.manifest(_since(store, manifest) if since is None else since)
    steps = _steps_since(manifest, before)
    taught = {step.task for step in steps}
    classes = tuple(entry for entry in manifest.classes if set(entry.tasks) & taught)
    memory = [kept for kept in store.memory(number) if kept.class_id in {entry.id for entry in classes}]
    sent = tuple(memory) if pictures else ()
    adapters = {step.adapter: _adapter_files(store, step.adapter) for step in steps}
    parts = parts_of(adapters, _model(store, manifest, classes, memory, make_predictor), {p.hash: store.picture(p.hash) for p in sent})
    contents = _contents(store, manifest, before, steps, classes, sent)
    header = header_of(contents, parts)
    signature = UNSIGNED if key is None else sign(key, to_be_signed(header))
    data = packed(header, parts, signature)
    _write(out, data)
    return Packed(
        file=str(out),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        version=number,
        since=before.number,
        tasks=contents.tasks,
        classes=tuple(entry.name for entry in classes),
        pictures=len(sent),
        needs=tuple(step.task for step in contents.needed),
        signed_by=None if key is None else key_text(signature[0]),
    )


def _contents(
    store: Store,
    manifest: Manifest,
    before: Manifest,
    steps: tuple[RecipeStep, ...],
    classes: tuple[ClassEntry, ...],
    pictures: tuple[KeptPicture, ...],
) -> Contents:
    """The header, before its parts are listed."""
    return Contents(
        backbone=store.facts.architecture.backbone,
        base=store.facts.base.sha256,
        architecture=store.facts.architecture.key(),
        capacity=manifest.capacity,
        next_row=manifest.next_row,
        before=Before(version=before.number, next_row=before.next_row, rows={entry.id: entry.row for entry in before.classes}),
        rows={entry.id: entry.row for entry in manifest.classes},
        recipe=manifest.recipe,
        tasks=tuple(step.task for step in steps),
        classes=classes,
        thresholds=manifest.thresholds,
        temperature=manifest.temperature,
        accuracy=manifest.checks.get("accuracy", {}),
        pictures=pictures,
        provenance=Provenance(version=manifest.number, deterministic=manifest.deterministic, edgecl=__version__),
        files={},
    )


def refuse_other_files(out: Path) -> None:
    """A bundle may be written over a bundle, and over nothing else.

    Raises:
        UsageError: there is something else.
    """
    if (out.exists() or out.is_symlink()) and not starts_like_one(out):
        raise UsageError(f"{out} exists and is no bundle, so it is not overwritten. Choose another file with -o, or delete it first.")


def _since(store: Store, manifest: Manifest) -> int:
    """The nearest older version that lacks one of the tasks."""
    numbers, number = set(store.numbers()), manifest.parent
    while number is not None and number in numbers:
        older = store.manifest(number)
        if older.recipe != manifest.recipe:
            return number
        number = older.parent
    if number is None:
        raise UsageError(f"version {manifest.number} has learned no task, so there is nothing to pack. Choose another: edgecl log")
    raise UsageError(f"version {number}, from which {manifest.number} was learned, was removed by gc. Say since which one: --since N")


def _steps_since(manifest: Manifest, before: Manifest) -> tuple[RecipeStep, ...]:
    shared, steps = before.recipe.steps, manifest.recipe.steps
    if steps[: len(shared)] != shared:
        raise UsageError(
            f"version {manifest.number} was not built on version {before.number}: it lacks one of its tasks. "
            "Choose an older one with --since N; --since 0 takes every task."
        )
    if len(steps) == len(shared):
        raise UsageError(f"version {manifest.number} has learned no task since version {before.number}. Choose others: edgecl log")
    return steps[len(shared) :]


def _adapter_files(store: Store, hash: str) -> dict[str, bytes]:
    load_adapter(store.root, hash)  # checks its hash
    return {name: read_bytes(adapter_folder(store.root, hash) / name, limit=TENSOR_LIMIT) for name in (CONFIG_FILE, TENSOR_FILE)}


def _model(
    store: Store, manifest: Manifest, classes: Sequence[ClassEntry], memory: Sequence[KeptPicture], make_predictor: MakePredictor
) -> Model:
    """Head rows, statistics of the classes from their replay pictures, and what the version makes of the probe pictures."""
    architecture = store.facts.architecture
    weight, bias = store.head(manifest.number)
    rows_of = {entry.id: entry.row for entry in classes}
    sight = prepared([kept for kept in memory if kept.role == "replay"], store.picture, rows_of, geometry_of(architecture))
    predictor = make_predictor()
    with store.use(manifest.number) as folder:
        try:
            predictor.load(folder)
            features = predictor.infer(sight.inputs)[1][: len(sight.kept)]  # without any picture, inputs are colour fields
            probe = predictor.infer(probe_pictures(architecture.image_size))[1]
        finally:
            predictor.close()
    seen = measured(features, [kept.class_id for kept in sight.kept])
    known = store.statistics(manifest.number)
    means = {**(known.only(rows_of).means if known is not None else {}), **seen.means}
    # Of what the version was taught from, where it knows that: more pictures than those that it keeps.
    covariance = known.covariance if known is not None else seen.covariance
    used = manifest.rows()
    return Model(
        head_weight=weight[used],
        head_bias=bias[used],
        means=_means(means, classes, manifest, architecture.width),
        covariance=covariance[np.tril_indices(architecture.width)],
        probe=probe,
    )


def _means(means: Mapping[str, Any], classes: Sequence[ClassEntry], manifest: Manifest, width: int) -> Any:
    bare = [entry.name for entry in classes if entry.id not in means]
    if bare:
        raise UsageError(
            f"version {manifest.number} has neither a picture nor statistics of {few(bare)}, so another board could not be taught "
            "them. Learn a few pictures of each, then pack again."
        )
    return np.stack([means[entry.id] for entry in classes]) if classes else np.zeros((0, width), np.float32)


def _write(out: Path, data: bytes) -> None:
    """All or nothing, beside its place first."""
    fresh = out.with_name(f".{out.name}.{uuid.uuid4().hex[:12]}")
    try:
        write_file(fresh, data)
        os.replace(fresh, out)
        sync_folder(out.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"{out} does not fit ({len(data)} bytes): {error.strerror}. Nothing was written. Free some space.") from error
        raise BadInput(f"{out} cannot be written ({error.strerror}). Choose another file with -o.") from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()
