"""What edgecl itself learns: `edgecl.learner.learn` in a store, from the photos on, by its own method or by the seed paper's.

A task folder holds links to exactly the pictures that the task brings. The photos of `val` are what edgecl gets with --val: they choose the
best epoch or the coefficient and are the memory's hold-out; without any, edgecl divides what it is taught.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from continual.data import KEPT, Course, Pictures
from continual.method import Learned, backbone_costs
from continual.upper import features
from edgecl.backbone import build
from edgecl.head import Head
from edgecl.learner import learn
from edgecl.runtime.ort import OrtPredictor
from edgecl.settings import DEFAULT_CAPACITY, AdapterShape, LearnSettings, MemorySettings, PaperSettings
from edgecl.start import create_store
from edgecl.store import Store
from edgecl_export.graph import write_graph


def by_default(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
    """edgecl's own method with its default settings. `settings` only names the configuration that these are, for the row's hash."""
    yield from _learned(course, None)


def paper(course: Course, settings: Mapping[str, Any]) -> Iterator[Learned]:
    """The seed paper's system, `learn --method paper`."""
    yield from _learned(course, PaperSettings(**settings))


def _learned(course: Course, how: PaperSettings | None) -> Iterator[Learned]:
    """One store per run; what the newest version answers is asked through its merged weights."""
    bench = course.bench
    with tempfile.TemporaryDirectory(dir=bench.work, prefix="store-") as folder:
        place = Path(folder)
        store = create_store(
            place / "model",
            architecture=bench.architecture,
            state=bench.state,
            source="benchmark",
            capacity=DEFAULT_CAPACITY,
            adapter=AdapterShape(first_block=bench.first_block),
            memory=MemorySettings(per_class=KEPT),
            write_graph=write_graph,
            make_predictor=OrtPredictor,
        )
        for task, classes in enumerate(course.tasks):
            val = bench.val.of(classes)
            result = learn(
                store,
                _linked(course.taught(task), bench.folder / "train", place / f"task{task}"),
                val=_linked(val, bench.folder / "val", place / f"val{task}") if len(val) else None,
                settings=LearnSettings(seed=course.seed),
                paper=how,
                device="cpu",
                write_graph=write_graph,
                make_predictor=OrtPredictor,
            )
            if result.state != "current":  # the gate's no is said, and what the method comes to is measured all the same
                print(f"  refused: {'; '.join(result.gate.reasons)}", flush=True)
                assert store.promote(result.version, expected=store.current)
            kept = sum(file.stat().st_size for part in ("adapters", "memory") for file in (store.root / part).rglob("*") if file.is_file())
            yield Learned(_answers(course, store), kept, backbone_costs(course, len(course.seen(task)) * bench.architecture.width))


def _linked(pictures: Pictures, folder: Path, place: Path) -> Path:
    """A task folder of these pictures of a split."""
    for path in pictures.paths.tolist():
        link = place / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((folder / path).resolve())
    return place


def _answers(course: Course, store: Store) -> Any:
    """Class numbers by the newest version's weights and head, through the tokens that all rows are asked by."""
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
