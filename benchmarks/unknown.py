"""How well pictures of classes that were not learned yet are told from known ones, by the product's score and by others that were tried.

    python benchmarks/grocery.py --split test --order 0 1 2 --tasks 5      # first: the stores
    python benchmarks/unknown.py --split val --order 0 1 --after 3 5       # development: the score was chosen by this table
    python benchmarks/unknown.py --split test --order 0 1 2 --after 5      # the one test run

Known are the split's pictures of the classes that a version knows, unknown all others; on `val`, where there are few, also `train` pictures
of classes that were not learned. Every score is a function of the graph's two outputs, some also of the features of the memory's replay
pictures. Rows of `results/unknown.csv` hold the area under the ROC curve, the part of unknown pictures that pass at 95 % of known ones, and
for the product's score the parts that the fitted limit calls unknown. What a version answers is kept beside its store.
"""

import argparse
import csv
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from grocery import DATA, HERE, configuration_hash

from edgecl.calibrate import UNKNOWN_SCORE, fit_unknown
from edgecl.evaluate import auroc, false_positives
from edgecl.manifest import Manifest
from edgecl.pictures import find
from edgecl.preprocess import decode, geometry_of, to_input
from edgecl.runtime.decide import softmax, unknown_score
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store

Array = np.ndarray[Any, Any]
ROWS = HERE / "results" / "unknown.csv"
FIELDS = [
    "commit",
    "configuration",
    "split",
    "order",
    "after",
    "score",
    "known",
    "unknown",
    "auroc",
    "fpr95",
    "known_flagged",
    "unknown_flagged",
    "limit",  # empty: the 95 % quantile that was the limit before
]
SHRINKAGE = 0.9  # of covariances, as in the head
PRINCIPAL = 44  # dimensions of the subspace that ViM takes for the known one


@dataclass(frozen=True)
class Answers:
    """What a version answers: class names `[n]`, logits over used rows `[n, c]`, features `[n, d]`."""

    names: Array
    logits: Array
    features: Array

    def of(self, chosen: Array) -> "Answers":
        """A part of them."""
        return Answers(self.names[chosen], self.logits[chosen], self.features[chosen])


def ask(store: Store, manifest: Manifest, split: str, every: int = 1) -> Answers:
    """The version's answers to `train`, `val`, `test`, or to the memory's `replay` or `holdout` pictures; asked once, then read.

    `every` 4 takes the first, fifth, ninth ... picture of each class.
    """
    kept = store.root.parent / "answers" / f"{manifest.deterministic[:16]}-{split}{f'-{every}' if every > 1 else ''}.npz"
    if not kept.exists():
        names, pictures = _pictures(store, manifest, split, every)
        predictor = OrtPredictor(threads=1)
        with store.use(manifest.number) as folder:
            predictor.load(folder)
        logits, features = predictor.infer(pictures)
        kept.parent.mkdir(exist_ok=True)
        np.savez(kept, names=np.array(names), logits=logits[:, manifest.rows()], features=features)
    with np.load(kept) as file:
        return Answers(file["names"], file["logits"].astype(np.float64), file["features"].astype(np.float64))


def _pictures(store: Store, manifest: Manifest, split: str, every: int) -> tuple[list[str], Array]:
    geometry = geometry_of(store.facts.architecture)
    if split in ("replay", "holdout"):
        names = {entry.id: entry.name for entry in manifest.classes}
        memory = [picture for picture in store.memory(manifest.number) if picture.role == split]
        return [names[p.class_id] for p in memory], np.stack([to_input(decode(store.picture(p.hash)), geometry) for p in memory])
    with tempfile.TemporaryDirectory() as thinned:
        for folder in sorted((DATA / split).iterdir()):
            (Path(thinned) / folder.name).mkdir()
            for photo in sorted(folder.iterdir())[::every]:
                (Path(thinned) / folder.name / photo.name).symlink_to(photo.resolve())
        found = find(Path(thinned), geometry).pictures
    if split == "train":  # only asked about classes that were not learned
        found = tuple(picture for picture in found if manifest.class_by_name(picture.class_name) is None)
    return [p.class_name for p in found], np.stack([p.input for p in found])


# Scores: (asked, replay pictures) -> [n], larger is less known. c columns in the order of used rows.

Score = Callable[[Answers, Answers], Array]


def _named(name: str) -> Score:
    """A score of the product."""

    def score(asked: Answers, replay: Answers) -> Array:
        used = list(range(asked.logits.shape[1]))
        return np.asarray(unknown_score(asked.logits, softmax(asked.logits, used), used, _thresholds(name)))

    return score


def _thresholds(name: str) -> Any:
    from edgecl.manifest import Thresholds

    return Thresholds(score=name)


def energy(asked: Answers, replay: Answers) -> Array:
    """-log sum exp (Liu et al. 2020, arXiv 2010.03759)."""
    return -np.logaddexp.reduce(asked.logits, axis=1)


def entropy(asked: Answers, replay: Answers) -> Array:
    """Of the softmax."""
    probabilities = softmax(asked.logits, range(asked.logits.shape[1]))
    return -(probabilities * np.log(probabilities + 1e-30)).sum(axis=1)


def margin(asked: Answers, replay: Answers) -> Array:
    """The second largest logit less the largest."""
    ordered = np.sort(asked.logits, axis=1)
    return np.asarray(ordered[:, -2] - ordered[:, -1])


def mahalanobis(asked: Answers, replay: Answers) -> Array:
    """Squared distance to the nearest class mean under the shared covariance (Lee et al. 2018, arXiv 1807.03888)."""
    means, targets = _means(replay)
    precision = np.linalg.inv(_shrunk(replay.features - means[targets]))
    return np.min([_squared(asked.features - mean, precision) for mean in means], axis=0)


def relative_mahalanobis(asked: Answers, replay: Answers) -> Array:
    """The same less the distance to the mean of everything (Ren et al. 2021, arXiv 2106.09022)."""
    mean = replay.features.mean(axis=0)
    return np.asarray(mahalanobis(asked, replay) - _squared(asked.features - mean, np.linalg.inv(_shrunk(replay.features - mean))))


def nearest(asked: Answers, replay: Answers) -> Array:
    """Cosine distance to the nearest replay picture (Sun et al. 2022, arXiv 2204.06507, k = 1)."""
    return np.asarray(-(_unit(asked.features) @ _unit(replay.features).T).max(axis=1))


def vim(asked: Answers, replay: Answers) -> Array:
    """Energy and what lies outside the principal subspace of the replay pictures (Wang et al. 2022, arXiv 2203.10807)."""
    mean = replay.features.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(replay.features.T))
    rest = vectors[:, :-PRINCIPAL]
    weight = replay.logits.max(axis=1).mean() / np.linalg.norm((replay.features - mean) @ rest, axis=1).mean()
    return np.asarray(weight * np.linalg.norm((asked.features - mean) @ rest, axis=1) + energy(asked, replay))


def one_vs_rest(asked: Answers, replay: Answers) -> Array:
    """The best of one ridge classifier per class against all others, both sides with equal weight; a second head of the head's size."""
    _, targets = _means(replay)
    mean, scale = replay.features.mean(axis=0), replay.features.std()
    known, new = (np.c_[(answers.features - mean) / scale, np.ones(len(answers.features))] for answers in (replay, asked))
    penalty = np.diag([1.0] * replay.features.shape[1] + [1e-9])
    best = np.full(len(new), -np.inf)
    for column in np.unique(targets):
        mine = targets == column
        weighted = known * np.where(mine, 1 / mine.sum(), 1 / (~mine).sum())[:, None]
        solved = np.linalg.solve(weighted.T @ known + penalty, weighted.T @ np.where(mine, 1.0, -1.0))
        best = np.maximum(best, new @ solved)
    return -best


def _means(replay: Answers) -> tuple[Array, Array]:
    names, targets = np.unique(replay.names, return_inverse=True)
    return np.stack([replay.features[targets == column].mean(axis=0) for column in range(len(names))]), targets


def _shrunk(residuals: Array) -> Array:
    covariance = residuals.T @ residuals / len(residuals)
    spread = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return np.asarray((1 - SHRINKAGE) * covariance + SHRINKAGE * spread)


def _squared(differences: Array, precision: Array) -> Array:
    return np.asarray((differences @ precision * differences).sum(axis=1))


def _unit(features: Array) -> Array:
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True))


SCORES: dict[str, Score] = {
    "max_softmax": _named("max_softmax"),
    "max_logit": _named("max_logit"),
    **{s.__name__: s for s in (energy, entropy, margin, mahalanobis, relative_mahalanobis, nearest, vim, one_vs_rest)},
}


def measure(store: Store, split: str, order: int, after: int) -> list[dict[str, Any]]:
    """One row per score for version `after`, which has learned as many tasks."""
    manifest = store.manifest(after)
    asked, replay, holdout = (ask(store, manifest, part) for part in (split, "replay", "holdout"))
    is_known = np.array([manifest.class_by_name(name) is not None for name in asked.names])
    known, unknown = asked.of(is_known), asked.of(~is_known)
    if split == "val":
        more = ask(store, manifest, "train")
        unknown = Answers(*(np.concatenate([getattr(unknown, f), getattr(more, f)]) for f in ("names", "logits", "features")))
    limit = fit_unknown(holdout.logits, list(range(holdout.logits.shape[1]))).unknown_above
    rows = []
    for name, score in SCORES.items():
        inside, outside = score(known, replay), score(unknown, replay)
        row = {"score": name, "known": len(inside), "unknown": len(outside)}
        row |= {"auroc": auroc(inside, outside), "fpr95": false_positives(inside, outside)}
        if name == UNKNOWN_SCORE:
            row |= {
                "known_flagged": float((inside > limit).mean()),
                "unknown_flagged": float((outside > limit).mean()),
                "limit": "tolerance",
            }
        rows.append({"split": split, "order": order, "after": after, **row})
    return rows


def append(rows: list[dict[str, Any]]) -> None:
    """Put the rows behind those that are there, unless these are the same measurement."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    known = list(csv.DictReader(ROWS.open(), restval="")) if ROWS.exists() else []
    key = ("configuration", "split", "order", "after", "score", "limit")
    there = {tuple(row[name] for name in key) for row in known}
    with ROWS.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, restval="", lineterminator="\n")
        if not known:
            writer.writeheader()
        for row in rows:
            full = {"commit": commit, "configuration": configuration_hash(), "limit": "", **row}
            if tuple(str(full[name]) for name in key) not in there:
                writer.writerow({name: f"{value:.4f}" if isinstance(value, float) else value for name, value in full.items()})


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--order", type=int, nargs="+", default=[0], choices=[0, 1, 2])
    parser.add_argument("--after", type=int, nargs="+", default=[5], help="tasks learned")
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="the folder given to grocery.py")
    arguments = parser.parse_args()
    rows = []
    for order in arguments.order:
        store = Store.open(arguments.work / f"test-{configuration_hash()}" / f"order{order}-seed{arguments.seed}" / "model")
        for after in arguments.after:
            rows += measure(store, arguments.split, order, after)
    append(rows)
    print(f"{arguments.split} split, orders {arguments.order}, after {arguments.after} of 9 tasks; AUROC (FPR at 95 % TPR), then the mean")
    for name in SCORES:
        mine = [row for row in rows if row["score"] == name]
        cells = "  ".join(f"{row['auroc']:.3f} ({row['fpr95']:.3f})" for row in mine)
        print(f"{name:22s}{cells}  {np.mean([row['auroc'] for row in mine]):.4f} ({np.mean([row['fpr95'] for row in mine]):.3f})")
    flagged = [row for row in rows if "known_flagged" in row]
    print(f"with the fitted limit, called unknown: {np.mean([r['known_flagged'] for r in flagged]):.1%} of known pictures, ", end="")
    print(f"{np.mean([r['unknown_flagged'] for r in flagged]):.1%} of unknown ones")


if __name__ == "__main__":
    main()
