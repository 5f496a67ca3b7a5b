"""How often small stores call known things unknown where the camera sees them otherwise than the folder did. No test picture is read.

    python benchmarks/unknown_small.py                        # stores of one task of 4 groceries, sixteen of them
    python benchmarks/unknown_small.py --tasks 5 --classes 9 --stores 2

Each store learns classes drawn at random from the Grocery `train` photos, without --val, as somebody with one folder does, with the built-in backbone.
Asked are all `val` photos, which other shops gave: those of its classes are known, the others unknown. Beside the product's limit stands the plain 95 %
quantile of the same pictures' scores. Rows of results/unknown_small.csv are means over the stores.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from ablation import empty_store
from continual import rows
from grocery import DATA, HERE, folder_of

from edgecl import calibrate
from edgecl.evaluate import auroc
from edgecl.learner import learn
from edgecl.pictures import find
from edgecl.preprocess import geometry_of
from edgecl.runtime.decide import softmax, unknown_score
from edgecl.runtime.ort import OrtPredictor
from edgecl.settings import LearnSettings
from edgecl.store import Store
from edgecl_export.graph import write_graph

ROWS = HERE / "results" / "unknown_small.csv"
FIELDS = ("commit", "machine", "tasks", "classes", "stores", "limit", "right", "auroc", "known_flagged", "unknown_flagged")
KEY = ("tasks", "classes", "stores", "limit")
BACKBONE = "edgecl_vit_nano"
BATCH = 50
TOLERANCE = "tolerance"  # the product's rule, as in results/unknown.csv


def learned(store: Store, tasks: Sequence[Sequence[str]], work: Path, seed: int) -> dict[str, float]:
    """Teach the tasks; limit by rule for the last version."""
    judged: list[Any] = []

    def watched(logits: Any, used: list[int], *rest: Any) -> Any:
        judged[:] = [logits, used]
        return calibrate.fit_unknown(logits, used, *rest)

    for number, names in enumerate(tasks):
        with mock.patch("edgecl.outcome.fit_unknown", watched):
            result = learn(
                store, folder_of(list(names), DATA / "train", work / f"task{number}"), settings=LearnSettings(seed=seed, threads=1), device="cpu",
                write_graph=write_graph, make_predictor=OrtPredictor,
            )  # fmt: skip
        if result.state != "current":
            store.promote(result.version, expected=store.current)
    limits = store.manifest(result.version).thresholds
    scores = unknown_score(judged[0], softmax(*judged), judged[1], limits)
    return {TOLERANCE: limits.unknown_above, "95 % quantile": float(np.quantile(scores, 0.95))}


def asked(store: Store) -> tuple[Any, Any, Any]:
    """Of each val photo: its score, whether its class is known, and whether the answer is right."""
    assert store.current is not None
    manifest = store.manifest(store.current)
    pictures = find(DATA / "val", geometry_of(store.facts.architecture)).pictures
    predictor = OrtPredictor(threads=1)
    with store.use() as folder:
        predictor.load(folder)
        inputs = [np.stack([p.input for p in pictures[start : start + BATCH]]) for start in range(0, len(pictures), BATCH)]
        logits = np.concatenate([predictor.infer(batch)[0] for batch in inputs])
    used = sorted(entry.row for entry in manifest.classes)
    row_of = {entry.name: entry.row for entry in manifest.classes}
    right = np.array([row_of.get(p.class_name, -1) for p in pictures])
    answers = np.array(used)[logits[:, used].argmax(axis=1)]
    return unknown_score(logits, softmax(logits, used), used, manifest.thresholds), right >= 0, answers == right


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--classes", type=int, default=4, help="of each task")
    parser.add_argument("--stores", type=int, default=16)
    parser.add_argument("--work", type=Path, default=HERE / "work" / "unknown_small")
    arguments = parser.parse_args()
    names = sorted(path.name for path in (DATA / "val").iterdir())  # not every class has photos there
    found: dict[str, list[tuple[float, ...]]] = {}
    for number in range(arguments.stores):
        shutil.rmtree(arguments.work, ignore_errors=True)
        drawn = np.random.default_rng(number).permutation(names)[: arguments.tasks * arguments.classes]
        store = empty_store(arguments.work / "model", BACKBONE)
        limits = learned(store, drawn.reshape(arguments.tasks, arguments.classes).tolist(), arguments.work, seed=number)
        scores, known, right = asked(store)
        for rule, limit in limits.items():
            flagged = scores > limit
            figures = right[known].mean(), auroc(scores[known], scores[~known]), flagged[known].mean(), flagged[~known].mean()
            found.setdefault(rule, []).append(tuple(float(figure) for figure in figures))
        print(f"  store {number}: {found[TOLERANCE][-1]}", flush=True)
    shutil.rmtree(arguments.work, ignore_errors=True)
    for rule, of_each in found.items():
        right_share, area, known_flagged, unknown_flagged = np.mean(of_each, axis=0)
        print(
            f"{arguments.tasks} tasks of {arguments.classes} classes, {rule}: {right_share:.1%} of known pictures right, AUROC {area:.3f}; "
            f"called unknown: {known_flagged:.1%} of known, {unknown_flagged:.1%} of unknown pictures"
        )
        row = {"tasks": arguments.tasks, "classes": arguments.classes, "stores": arguments.stores, "limit": rule}
        row |= {"right": right_share, "auroc": area, "known_flagged": known_flagged, "unknown_flagged": unknown_flagged}
        rows.append(row, ROWS, columns=FIELDS, key=KEY)


if __name__ == "__main__":
    main()
