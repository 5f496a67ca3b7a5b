"""`edgecl export --onnx`: write one version and compare its forms hop by hop, on real pictures, before anything is moved into place.

    live adapters (torch) -> merged weights (torch) -> the written folder (ONNX Runtime)

`edgecl export --deepstream` walks the same way; its graph ends in probabilities, and these are compared.

Each hop has the one before as its reference, so a fault is named where it arises.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgecl.canary import spread
from edgecl.errors import MissingExtra, ParityFailed, StoreDamaged
from edgecl.manifest import FileEntry, Manifest
from edgecl.preprocess import decode, geometry_of, to_input
from edgecl.runtime.base import Predictor
from edgecl.runtime.selftest import CANARY_FILE, read_canary
from edgecl.store import Store
from edgecl.store.names import version_folder
from edgecl.store.space import require_space
from edgecl_export.deepstream import nvinfer_files, nvinfer_graph, prove_probabilities
from edgecl_export.graph import Precision
from edgecl_export.parity import Parity, check, compare
from edgecl_export.to_onnx import Form, export_onnx, trtexec_line

if TYPE_CHECKING:
    from edgecl.runtime.eager import EagerPredictor

Array = NDArray[Any]
Answer = tuple[Array, Array]  # logits [n, capacity], features [n, d]
Progress = Callable[[str, int, int], None]
"""(what, done, total)"""
PICTURES = 64
LIVE, MERGED, RUNTIME = "live adapters", "merged weights", "ONNX Runtime"


@dataclass(frozen=True)
class Hop:
    """Two forms of one version, compared."""

    reference: str
    other: str
    precision: Precision  # whose limits were kept
    compared: Literal["logits", "features", "probabilities"]  # a version without classes has no used logits
    pictures: Literal["memory", "canary"]  # where they came from
    parity: Parity

    @property
    def name(self) -> str:
        """As in messages: `merged weights -> ONNX Runtime`."""
        return f"{self.reference} -> {self.other}"

    def to_json(self) -> dict[str, Any]:
        """One entry of `parity` in export.json."""
        return {
            "hop": self.name,
            "precision": self.precision,
            "compared": self.compared,
            "pictures": self.pictures,
            **self.parity.to_json(),
        }


@dataclass(frozen=True)
class Exported:
    """A finished, proven export."""

    folder: Path
    version: int
    opset: int
    precision: Precision
    hops: tuple[Hop, ...]
    files: Mapping[str, FileEntry]
    trtexec: str  # builds an engine where edgecl does not


def prove_and_export(
    store: Store,
    number: int,
    *,
    opset: int = 18,
    precision: Precision = "fp32",
    out: Path | None = None,
    form: Form = "app",
    limit: int = PICTURES,
    make_predictor: Callable[[], Predictor],
    progress: Progress = lambda what, done, total: None,
) -> Exported:
    """Export version `number` to `out` (default: `exports/<version>/onnx-opset<n>-<precision>` of the store, or `deepstream-...`).

    Compared on up to `limit` pictures of the version's memory, as many classes as possible, or on its canary where it remembers none.

    Raises:
        ParityFailed: two forms do not agree, or ONNX Runtime cannot run the graph; nothing is left behind.
        UsageError: there is no such version; `out` holds something else than an export; an unknown opset or precision.
        MissingExtra: torch, timm, onnx or onnxruntime is not installed.
        StoreDamaged: a file of the version is missing or was changed.
    """
    architecture = store.facts.architecture
    name = "onnx" if form == "app" else form
    place = out or store.root / "exports" / version_folder(number) / f"{name}-opset{opset}-{precision}"
    with store.use(number):  # held against gc, which would take pictures and exports away
        require_space(place, store.version_bytes(store.manifest(number).capacity), "exporting")
        manifest, head = store.manifest(number), store.head(number)
        state = store.merged_state(manifest.recipe)
        hops: list[Hop] = []

        def prove(folder: Path) -> Sequence[Mapping[str, Any]]:
            source, pictures = _pictures(store, manifest, limit, progress)
            answers = {LIVE: lambda: _live(store, manifest, head, pictures), MERGED: lambda: _merged(store, state, head, pictures)}
            if form == "app":
                answers[RUNTIME] = lambda: _written(make_predictor(), folder, pictures)
            walked, last = _walk(answers, manifest.rows(), precision, source, progress)
            hops.extend(walked)
            if form == "deepstream":
                parity = prove_probabilities(folder, pictures, last[0], manifest.rows(), precision, f"{MERGED} -> {RUNTIME}")
                hops.append(Hop(MERGED, RUNTIME, precision, "probabilities", source, parity))
            return [hop.to_json() for hop in hops]

        options: dict[str, Any] = {}
        if form == "deepstream":
            options = {"form": form, "change": nvinfer_graph, "extra": nvinfer_files(manifest, architecture, precision)}
        files = export_onnx(manifest, architecture, state, head, out=place, opset=opset, precision=precision, prove=prove, **options)
    line = trtexec_line(place, opset, precision, architecture.image_size, form)
    return Exported(place, number, opset, precision, tuple(hops), files, line)


def _walk(
    answers: Mapping[str, Callable[[], Answer]],
    rows: Sequence[int],
    precision: Precision,
    source: Literal["memory", "canary"],
    progress: Progress,
) -> tuple[list[Hop], tuple[Array, Array]]:
    """Ask each form in turn and check it against the one before; returns the hops and the last form's answer."""
    hops: list[Hop] = []
    before: tuple[str, Answer] | None = None
    for done, (name, ask) in enumerate(answers.items()):
        progress("comparing", done, len(answers))
        answer = ask()
        if before is not None:
            # What torch holds is fp32 whatever is exported.
            kept: Precision = precision if name == RUNTIME else "fp32"
            compared: Literal["logits", "features"] = "logits" if rows else "features"
            parity = _compare(before[1], answer, rows)
            hop = Hop(before[0], name, kept, compared, source, parity)
            check(parity, precision=kept, hop=hop.name)
            hops.append(hop)
        before = (name, answer)
    progress("comparing", len(answers), len(answers))
    assert before is not None
    return hops, before[1]


def _compare(reference: Answer, other: Answer, rows: Sequence[int]) -> Parity:
    if rows:
        return compare(reference[0], other[0], rows)
    features = compare(reference[1], other[1], range(reference[1].shape[1]))
    free = compare(reference[0], other[0], rows).free_rows_ok
    return Parity(**{**features.to_json(), "free_rows_ok": free})


def _pictures(store: Store, manifest: Manifest, limit: int, progress: Progress) -> tuple[Literal["memory", "canary"], NDArray[np.uint8]]:
    """At most `limit` pictures `[n, size, size, 3]`, one of each class before a second of any, and where they come from."""
    row = {entry.id: entry.row for entry in manifest.classes}
    kept = [picture for picture in store.memory(manifest.number) if picture.class_id in row]
    chosen = [kept[i] for i in spread([row[picture.class_id] for picture in kept], limit)]
    if not chosen:
        return "canary", read_canary(store.folder(manifest.number) / CANARY_FILE).pictures
    geometry = geometry_of(store.facts.architecture)
    inputs = []
    for done, picture in enumerate(chosen):
        progress("reading pictures", done, len(chosen))
        inputs.append(to_input(decode(store.picture(picture.hash)), geometry))
    progress("reading pictures", len(chosen), len(chosen))
    return "memory", np.stack(inputs)


def _live(store: Store, manifest: Manifest, head: tuple[Array, Array], pictures: NDArray[np.uint8]) -> Answer:
    """The backbone as it came, with every adapter beside its Linear: what was trained, before any merge."""
    predictor = _eager(store)
    from edgecl.lora import attached

    predictor.use(store.base(), *head)
    adapters = store.adapters(manifest.recipe)
    with attached(predictor.vit.model, [a for a, _ in adapters], [c for _, c in adapters]):
        return predictor.infer(pictures)


def _merged(store: Store, state: Mapping[str, Array], head: tuple[Array, Array], pictures: NDArray[np.uint8]) -> Answer:
    predictor = _eager(store)
    predictor.use(state, *head)
    return predictor.infer(pictures)


def _eager(store: Store) -> "EagerPredictor":
    try:
        from edgecl.runtime.eager import EagerPredictor
    except ImportError as error:
        raise MissingExtra.of("torch", "learn", "Comparing an export with the trained model") from error
    return EagerPredictor(store.facts.architecture)


def _written(predictor: Predictor, folder: Path, pictures: NDArray[np.uint8]) -> Answer:
    try:
        predictor.load(folder)
        return predictor.infer(pictures)
    except StoreDamaged as error:
        # The files are fresh: it is the runtime that does not take this graph.
        raise ParityFailed(f"the written graph cannot be run: {error.args[0]} Nothing was exported. Try another --opset.") from error
    finally:
        predictor.close()
