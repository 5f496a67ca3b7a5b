"""What answers to kept pictures say: the accuracy matrix, forgetting, confusions, classes that lost or gained. Pure functions.

All figures are over pictures of the memory. Holdout pictures were never trained on and judge; replay pictures were, and are only counted
where that is said.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecl.evaluate import confidence_interval
from edgecl.manifest import KeptPicture
from edgecl.report.asking import Answers

DOUBT = 0.01  # mean probability from which a pair without a mistake is worth a look


@dataclass(frozen=True)
class Count:
    """Pictures that were named right."""

    right: int
    n: int

    @property
    def accuracy(self) -> float | None:
        """0..1, or None without pictures."""
        return self.right / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""
        return confidence_interval(self.right, self.n)


@dataclass(frozen=True)
class Loss:
    """Pictures of one task that were forgotten; negative when the task is known better than ever before."""

    pictures: int
    of: int

    @property
    def part(self) -> float:
        """0..1"""
        return self.pictures / self.of


@dataclass(frozen=True)
class Pair:
    """Pictures of the class `true` that were taken for `answered`, or nearly so."""

    true: str  # class id
    answered: str  # class id
    holdout: int  # wrong among the pictures that were never trained on
    replay: int  # wrong among those that were
    doubt: float  # mean probability that pictures of `true` give to `answered`
    worst: str  # hash of the picture of `true` that gives most to `answered`


@dataclass(frozen=True)
class Change:
    """One class before and after, on the same kept pictures."""

    class_id: str
    before: Count
    after: Count

    @property
    def gain(self) -> int:
        """Pictures; negative where the class lost."""
        return self.after.right - self.before.right


def counted(right: Mapping[str, bool], pictures: Sequence[KeptPicture]) -> Count:
    """How many of `pictures` were named right; those that were not asked for do not count."""
    answers = [right[kept.hash] for kept in pictures if kept.hash in right]
    return Count(sum(answers), len(answers))


def accuracy_matrix(
    rights: Sequence[Mapping[str, bool]], taught: Sequence[set[str]], tasks: Sequence[str], pictures: Sequence[KeptPicture]
) -> list[list[Count | None]]:
    """Row: a version, column: a task; None where the version had not learned the task yet.

    Args:
        rights: per version, kept hash -> named right.
        taught: per version, the tasks that it had learned.
        pictures: those that count, each with its task; the same for every version, so that rows can be compared.
    """
    by_task = {task: [kept for kept in pictures if kept.task == task] for task in tasks}
    return [
        [counted(right, by_task[task]) if task in known else None for task in tasks] for right, known in zip(rights, taught, strict=True)
    ]


def forgotten(matrix: Sequence[Sequence[Count | None]], column: int) -> Loss | None:
    """What of one task was known when it was known best and is not any more (Chaudhry 2018, arXiv 1801.10112, before its mean).

    None for a task that no version before the last one had learned, or that has no picture.
    """
    earlier = [row[column] for row in matrix[:-1]]
    best = max((count.right for count in earlier if count is not None), default=None)
    last = matrix[-1][column] if matrix else None
    return None if best is None or last is None or last.n == 0 else Loss(best - last.right, last.n)


def mean_forgetting(matrix: Sequence[Sequence[Count | None]]) -> float | None:
    """Mean of `Loss.part` over the tasks that can be forgotten; None when there is none."""
    losses = [forgotten(matrix, column) for column in range(len(matrix[0]) if matrix else 0)]
    parts = [loss.part for loss in losses if loss is not None]
    return float(np.mean(parts)) if parts else None


def confused(answers: Answers, *, most: int) -> list[Pair]:
    """The pairs that are taken for each other: those with most mistakes first, holdout before replay, then those in most doubt."""
    columns = {class_id: column for column, class_id in enumerate(answers.class_ids)}
    asked = [(i, kept) for i, kept in enumerate(answers.pictures) if kept.class_id in columns]
    if not asked or len(columns) < 2:
        return []
    rows = np.array([i for i, _ in asked])
    true = np.array([columns[kept.class_id] for _, kept in asked])
    given = answers.probabilities[rows]  # [pictures, c]
    shares = np.eye(len(columns))[true]  # [pictures, c]
    doubt = shares.T @ given / np.maximum(shares.sum(axis=0), 1)[:, None]  # [c true, c answered]
    np.fill_diagonal(doubt, -1.0)
    wrong = Counter((int(t), int(given[k].argmax()), asked[k][1].role) for k, t in enumerate(true) if given[k].argmax() != t)
    doubted = [
        divmod(int(place), len(columns)) for place in np.argsort(-doubt, axis=None, kind="stable")[:most] if doubt.flat[place] >= DOUBT
    ]
    pairs = []
    for t, a in dict.fromkeys([*((t, a) for t, a, _ in wrong), *doubted]):
        mine = np.flatnonzero(true == t)
        worst = asked[int(mine[given[mine, a].argmax()])][1].hash
        counts = wrong[t, a, "holdout"], wrong[t, a, "replay"]
        pairs.append(Pair(answers.class_ids[t], answers.class_ids[a], *counts, doubt=float(doubt[t, a]), worst=worst))
    return sorted(pairs, key=lambda pair: (-pair.holdout, -pair.replay, -pair.doubt))[:most]


def most_typical(answers: Answers, class_id: str) -> str | None:
    """The kept hash of the class's picture that it is surest of; None when there is no picture of it."""
    if class_id not in answers.class_ids:
        return None
    column = answers.class_ids.index(class_id)
    mine = [(float(answers.probabilities[i, column]), kept.hash) for i, kept in enumerate(answers.pictures) if kept.class_id == class_id]
    return max(mine)[1] if mine else None


def changes(before: Mapping[str, bool], after: Mapping[str, bool], pictures: Sequence[KeptPicture]) -> list[Change]:
    """Each class whose number of right answers changed, the greatest loss first; over the pictures that both versions were asked."""
    both = [kept for kept in pictures if kept.hash in before and kept.hash in after]
    found = []
    for class_id in dict.fromkeys(kept.class_id for kept in both):
        mine = [kept for kept in both if kept.class_id == class_id]
        found.append(Change(class_id, counted(before, mine), counted(after, mine)))
    return sorted((change for change in found if change.gain), key=lambda change: change.gain)
