"""What answers to kept pictures say, on answers made by hand."""

import numpy as np
import pytest

from edgecl.manifest import KeptPicture, Role
from edgecl.report.asking import Answers
from edgecl.report.findings import Count, Loss, accuracy_matrix, changes, confused, counted, forgotten, mean_forgetting, most_typical


def kept(hash: str, class_id: str, role: Role = "holdout", task: str = "t1") -> KeptPicture:
    """A picture of the memory; only what findings look at matters."""
    return KeptPicture(hash=hash, class_id=class_id, role=role, task=task, source=hash, phash="0" * 16, bytes=1)


def answers(*given: tuple[KeptPicture, list[float]], classes: tuple[str, ...] = ("a", "b", "c")) -> Answers:
    """Probabilities per picture, over `classes`."""
    return Answers(tuple(p for p, _ in given), classes, np.array([values for _, values in given]).reshape(len(given), len(classes)))


def test_right_leaves_out_classes_that_the_version_does_not_know() -> None:
    """A picture of a later class is no mistake of an earlier version."""
    found = answers((kept("1", "a"), [0.6, 0.4, 0]), (kept("2", "b"), [0.9, 0.1, 0]), (kept("3", "later"), [1, 0, 0]))
    assert found.right() == {"1": True, "2": False}


def test_a_version_without_classes_answers_nothing() -> None:
    """There is no best of none."""
    assert Answers((), (), np.zeros((0, 0))).right() == {}


def test_the_matrix_has_a_cell_where_the_version_had_learned_the_task() -> None:
    """Pictures that were not asked for do not count, and a version before the task has no cell, even if it was asked."""
    pictures = [kept("1", "a"), kept("2", "a"), kept("3", "b", task="t2")]
    first, second = {"1": True, "2": True, "3": True}, {"1": True, "2": False}
    matrix = accuracy_matrix([first, second], [{"t1"}, {"t1", "t2"}], ["t1", "t2"], pictures)
    assert matrix == [[Count(2, 2), None], [Count(1, 2), Count(0, 0)]]


def test_forgotten_is_against_the_best_earlier_version() -> None:
    """Not against the first one; the last version's own task cannot be forgotten yet, nor one without pictures."""
    rows = [[Count(3, 5), None, None], [Count(5, 5), Count(2, 4), Count(0, 0)], [Count(4, 5), Count(3, 4), Count(0, 0)]]
    assert [forgotten(rows, column) for column in range(3)] == [Loss(1, 5), Loss(-1, 4), None]
    assert mean_forgetting(rows) == pytest.approx((1 / 5 - 1 / 4) / 2)
    assert forgotten([[Count(3, 5)]], 0) is None
    assert mean_forgetting([[Count(3, 5)]]) is None
    assert mean_forgetting([]) is None


def test_mistakes_on_holdout_come_before_those_on_replay_and_both_before_doubt() -> None:
    """Each pair names the picture that comes nearest to the other class; pairs without mistake or doubt are left out."""
    found = answers(
        (kept("1", "a"), [0.3, 0.7, 0.0]),
        (kept("2", "a"), [0.9, 0.1, 0.0]),
        (kept("3", "b", "replay"), [0.6, 0.4, 0.0]),
        (kept("4", "b", "replay"), [0.8, 0.2, 0.0]),
        (kept("5", "c"), [0.2, 0.3, 0.5]),
    )
    pairs = confused(found, most=10)
    assert [(p.true, p.answered, p.holdout, p.replay, p.worst) for p in pairs] == [
        ("a", "b", 1, 0, "1"),
        ("b", "a", 0, 2, "4"),
        ("c", "b", 0, 0, "5"),
        ("c", "a", 0, 0, "5"),
    ]
    assert [p.doubt for p in pairs] == pytest.approx([0.4, 0.7, 0.3, 0.2])
    assert confused(found, most=1) == pairs[:1]


def test_nothing_is_confused_where_there_is_nothing_to_confuse() -> None:
    """No pictures, or one class."""
    assert confused(answers(), most=3) == []
    assert confused(answers((kept("1", "a"), [1.0]), classes=("a",)), most=3) == []


def test_the_most_typical_picture_is_the_surest() -> None:
    """Of the class itself, not of another that is surer."""
    found = answers((kept("1", "a"), [0.6, 0.4, 0]), (kept("2", "a"), [0.8, 0.2, 0]), (kept("3", "b"), [0.9, 0.1, 0]))
    assert most_typical(found, "a") == "2"
    assert most_typical(found, "c") is None
    assert most_typical(found, "stranger") is None


def test_changes_are_counted_on_pictures_that_both_versions_were_asked() -> None:
    """The greatest loss first; classes with as many right answers as before are left out."""
    pictures = [kept(name, name[0]) for name in ("a1", "a2", "b1", "b2", "c1", "d1")]
    before = {"a1": True, "a2": True, "b1": False, "b2": True, "c1": True}
    after = {"a1": False, "a2": False, "b1": True, "b2": True, "c1": True, "d1": True}
    found = changes(before, after, pictures)
    assert [(c.class_id, c.before.right, c.after.right, c.after.n, c.gain) for c in found] == [("a", 2, 0, 2, -2), ("b", 1, 2, 2, 1)]


def test_a_count_without_pictures_has_no_accuracy() -> None:
    """And an interval that says nothing."""
    assert (Count(0, 0).accuracy, Count(0, 0).interval) == (None, (0.0, 1.0))
    assert counted({"1": True}, [kept("1", "a"), kept("2", "a")]) == Count(1, 1)
