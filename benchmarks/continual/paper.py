"""The seed paper's system, by the product: `edgecl.learner.learn` with its own settings for it, in a store, from the photos on.

Task folders are links; the photos of `val` are what edgecl gets with --val: they choose the best epoch and are the memory's hold-out.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from continual.data import KEPT, Course, Pictures
from continual.method import Learned, backbone_costs
from continual.upper import RANK, features
from edgecl.backbone import build
from edgecl.head import Head
from edgecl.learner import learn
from edgecl.runtime.ort import OrtPredictor
from edgecl.settings import DEFAULT_CAPACITY, AdapterShape, LearnSettings, MemorySettings, PaperSettings
from edgecl.start import create_store
from edgecl.store import Store
from edgecl_export.graph import write_graph


def paper(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
    """One store per run; what the current version answers is asked through its merged weights."""
    bench, place = course.bench, course.bench.work / "paper"
    shutil.rmtree(place, ignore_errors=True)
    store = create_store(
        place / "model",
        architecture=bench.architecture,
        state=bench.state,
        source="benchmark",
        capacity=DEFAULT_CAPACITY,
        adapter=AdapterShape(rank=RANK, first_block=bench.first_block),
        memory=MemorySettings(per_class=KEPT),
        write_graph=write_graph,
        make_predictor=OrtPredictor,
    )
    for task, classes in enumerate(course.tasks):
        folders = [
            _linked(bench.folder / split, [bench.classes[c] for c in classes], place / f"{split}{task}") for split in ("train", "val")
        ]
        result = learn(
            store,
            folders[0],
            val=folders[1],
            settings=LearnSettings(seed=course.seed, threads=1),
            paper=PaperSettings(**settings),
            device="cpu",
            write_graph=write_graph,
            make_predictor=OrtPredictor,
        )
        if result.state != "current":  # the gate's no is said, and what the method comes to is measured all the same
            print(f"  refused: {'; '.join(result.gate.reasons)}", flush=True)
            assert store.promote(result.version, expected=store.current)
        kept = sum(file.stat().st_size for part in ("adapters", "memory") for file in (store.root / part).rglob("*") if file.is_file())
        yield Learned(_answers(course, store), kept, backbone_costs(course, len(course.seen(task)) * bench.architecture.width))


def _linked(folder: Path, names: Sequence[str], place: Path) -> Path:
    place.mkdir(parents=True)
    for name in names:
        if (folder / name).is_dir():
            (place / name).symlink_to((folder / name).resolve())
    return place


def _answers(course: Course, store: Store) -> Any:
    """Class numbers by the current version's weights and head, through the tokens that all rows are asked by."""
    number = max(store.numbers())
    manifest = store.manifest(number)
    vit = build(course.bench.architecture, store.merged_state(manifest.recipe))
    numbers = np.full(manifest.capacity, -1)
    for entry in manifest.classes:
        numbers[entry.row] = course.bench.classes.index(entry.name)
    head = Head(*store.head(number))

    def answer(pictures: Pictures) -> Any:
        return numbers[head.logits(features(vit, course.bench, pictures)).argmax(axis=1)]

    return answer
