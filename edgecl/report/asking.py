"""What a version answers to kept pictures, asked of the graph that it is served with."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import StoreDamaged
from edgecl.manifest import KeptPicture, Manifest
from edgecl.preprocess import decode, geometry_of, to_input
from edgecl.runtime.base import Predictor
from edgecl.runtime.decide import check_logits, softmax
from edgecl.store import Store
from edgecl.store.versions import GRAPH_FILE, WEIGHTS_FILE, weights_bytes

BATCH = 32  # pictures in memory at a time
MakePredictor = Callable[[], Predictor]


@dataclass(frozen=True)
class Answers:
    """One version's answers to `pictures`, in their order."""

    pictures: tuple[KeptPicture, ...]
    class_ids: tuple[str, ...]  # [c] in the order of the columns
    probabilities: NDArray[Any]  # [n, c]

    def right(self) -> dict[str, bool]:
        """Kept hash -> whether the class was named; pictures of classes that the version does not know are left out."""
        known, best = set(self.class_ids), self.best()
        return {p.hash: best[i] == p.class_id for i, p in enumerate(self.pictures) if p.class_id in known}

    def best(self) -> list[str]:
        """The class id that each picture was given."""
        return [self.class_ids[column] for column in self.probabilities.argmax(axis=1)] if self.class_ids else []


def ask(
    store: Store, manifest: Manifest, pictures: Sequence[KeptPicture], make_predictor: MakePredictor, *, seen: Callable[[int], None]
) -> Answers:
    """Put `pictures` of the memory through the version of `manifest`; `seen` gets the number of each batch.

    Raises:
        StoreDamaged: a picture or the version cannot be read, or the model answers with what no intact one would.
    """
    rows = manifest.rows()
    ids = {entry.row: entry.id for entry in manifest.classes}
    parts = [np.zeros((0, len(rows)))]
    if pictures and rows:
        geometry = geometry_of(store.facts.architecture)
        with _folder(store, manifest) as folder:
            predictor = make_predictor()
            try:
                predictor.load(folder)
                for start in range(0, len(pictures), BATCH):
                    part = pictures[start : start + BATCH]
                    logits, _ = predictor.infer(np.stack([to_input(decode(store.picture(kept.hash)), geometry) for kept in part]))
                    check_logits(logits, manifest)
                    parts.append(softmax(logits, rows))
                    seen(len(part))
            finally:
                predictor.close()
    return Answers(tuple(pictures) if rows else (), tuple(ids[row] for row in rows), np.concatenate(parts))


@contextmanager
def _folder(store: Store, manifest: Manifest) -> Iterator[Path]:
    """The version's folder; one whose weights gc has dropped is built aside, so that reading costs the store no space."""
    if (store.folder(manifest.number) / WEIGHTS_FILE).is_file():
        with store.use(manifest.number) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="edgecl-") as aside:
        (Path(aside) / GRAPH_FILE).write_bytes(store.file(manifest.number, GRAPH_FILE))
        (Path(aside) / WEIGHTS_FILE).write_bytes(_weights(store, manifest))
        yield Path(aside)


def _weights(store: Store, manifest: Manifest) -> bytes:
    weight, bias = store.head(manifest.number)
    data = weights_bytes(store.merged_state(manifest.recipe), weight, bias, store.facts.architecture)
    if hashlib.sha256(data).hexdigest() != manifest.files[WEIGHTS_FILE].sha256:
        raise StoreDamaged(
            f"the weights of version {manifest.number} do not come out as its manifest says, so nothing can be reported of it. "
            "Find the changed file with: edgecl verify --deep"
        )
    return data
