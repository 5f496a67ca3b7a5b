"""Kept pictures as a model sees them, without torch: features come out of the version's own graph with other weights in it."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.canary import colour_fields, spread
from edgecl.head import Head, empty_head
from edgecl.manifest import KeptPicture
from edgecl.preprocess import Geometry, decode, to_input
from edgecl.runtime.base import Predictor
from edgecl.runtime.selftest import write_canary
from edgecl.store import Store
from edgecl.store.versions import GRAPH_FILE, WEIGHTS_FILE, weights_bytes

Array = NDArray[Any]
MakePredictor = Callable[[], Predictor]


@dataclass(frozen=True)
class Sight:
    """Kept pictures, ready to be looked at. Order: replay, holdout. Without any picture, colour fields that belong to no class."""

    inputs: NDArray[np.uint8]  # [n, s, s, 3]
    kept: tuple[KeptPicture, ...]
    rows: NDArray[np.intp]  # [n]
    fit: NDArray[np.intp]  # indices of replay
    judge: NDArray[np.intp]  # indices of holdout


def prepared(pictures: Sequence[KeptPicture], read: Callable[[str], bytes], rows_of: Mapping[str, int], geometry: Geometry) -> Sight:
    """Decode `pictures`, whose classes have their rows in `rows_of`; `read` gives the JPEG of a hash."""
    ordered = sorted(pictures, key=lambda kept: kept.role == "holdout")
    inputs = np.stack([to_input(decode(read(kept.hash)), geometry) for kept in ordered]) if ordered else colour_fields(geometry.size)
    replay = sum(kept.role == "replay" for kept in ordered)
    rows = np.array([rows_of[kept.class_id] for kept in ordered], dtype=np.intp)
    return Sight(inputs, tuple(ordered), rows, np.arange(replay), np.arange(replay, len(ordered)))


def features_of(
    store: Store, number: int, state: Mapping[str, Array], make_predictor: MakePredictor, *inputs: NDArray[np.uint8]
) -> list[NDArray[np.float32]]:
    """Each `[n, s, s, 3]` of `inputs` -> features `[n, d]` of the backbone `state` (timm names), through the graph of version `number`.

    The caller holds the learning lock, so that nobody sweeps the folder away in which the weights lie meanwhile.
    """
    architecture = store.facts.architecture
    empty = empty_head(store.manifest(number).capacity, architecture.width)
    with tempfile.TemporaryDirectory(dir=store.root / "tmp") as scratch:
        folder = Path(scratch)
        shutil.copyfile(store.folder(number) / GRAPH_FILE, folder / GRAPH_FILE)
        (folder / WEIGHTS_FILE).write_bytes(weights_bytes(state, empty.weight, empty.bias, architecture))
        predictor = make_predictor()
        try:
            predictor.load(folder)
            return [predictor.infer(pictures)[1] for pictures in inputs]
        finally:
            predictor.close()


def canary_of(sight: Sight, features: Array, head: Head) -> bytes:
    """A canary with the answers of `head` over `features [n, d]`: held-out pictures before replayed ones, one per class before any second."""
    preferred = [*sight.judge.tolist(), *sight.fit.tolist()]
    picked = [preferred[i] for i in spread([int(sight.rows[i]) for i in preferred])] or list(range(len(sight.inputs)))
    return write_canary(sight.inputs[picked], head.logits(features[picked]), features[picked])
