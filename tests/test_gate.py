"""The gate: old pictures decide whether a version may serve."""

from math import comb

import numpy as np
import pytest

from edgecl.gate import judge, mcnemar


def ask(
    before: list[int],
    after: list[int],
    *,
    classes: list[str] | None = None,
    replay: tuple[list[int], list[int]] = ([], []),
    max_drop: float = 0.03,
):
    """The gate on lists of 0 and 1."""
    classes = classes or ["a"] * len(before)
    return judge(
        holdout_before=np.array(before, bool),
        holdout_after=np.array(after, bool),
        holdout_classes=np.array(classes),
        replay_before=np.array(replay[0], bool),
        replay_after=np.array(replay[1], bool),
        replay_classes=np.array(["a"] * len(replay[0])),
        max_drop=max_drop,
        significance=0.05,
    )


def test_mcnemar_is_the_exact_binomial_tail() -> None:
    """8 lost and 1 won of 9 changed pictures: P(at least 8 of 9 heads)."""
    before = np.array([1] * 8 + [0] + [1] * 20, bool)
    after = np.array([0] * 8 + [1] + [1] * 20, bool)
    assert mcnemar(before, after) == pytest.approx((comb(9, 8) + comb(9, 9)) / 2**9)


def test_nothing_changed_is_no_evidence() -> None:
    """p is 1 for equal answers and for no answers."""
    assert mcnemar(np.ones(5, bool), np.ones(5, bool)) == 1.0
    assert mcnemar(np.zeros(0, bool), np.zeros(0, bool)) == 1.0


def test_a_large_and_certain_drop_fails_with_the_figures_in_words() -> None:
    """10 of 40 lost is more than chance."""
    result = ask([1] * 40, [0] * 10 + [1] * 30)
    assert not result.passed
    assert "40 held-out pictures of old classes fell from 100.0% to 75.0% (more than 3.0%, p = 0.001)" in result.reasons[0]


def test_a_small_drop_passes_however_certain() -> None:
    """One of 100 pictures is within the allowance."""
    assert ask([1] * 100, [0] + [1] * 99).passed


def test_a_large_drop_by_chance_passes() -> None:
    """2 of 18 lost and 1 won is not significant."""
    assert ask([1] * 17 + [0], [0, 0] + [1] * 15 + [1]).passed


def test_max_drop_decides() -> None:
    """The same answers pass once the allowance is larger."""
    before, after = [1] * 40, [0] * 10 + [1] * 30
    assert not ask(before, after, max_drop=0.2).passed
    assert ask(before, after, max_drop=0.3).passed


def test_a_class_that_lost_everything_fails_by_name() -> None:
    """Both held-out pictures and half of the kept ones gone, pooled accuracy hardly changed."""
    result = ask([1, 1] + [1] * 98, [0, 0] + [1] * 98, classes=["a", "a"] + ["b"] * 98, replay=([1] * 8, [0] * 4 + [1] * 4))
    assert result.reasons == ("'a' is lost: none of its 2 held-out pictures is known any more, 4 of 8 kept ones",)


def test_a_class_that_keeps_most_replay_pictures_is_not_lost() -> None:
    """Two held-out pictures alone are too few to call a class lost."""
    assert ask([1, 1] + [1] * 98, [0, 0] + [1] * 98, classes=["a", "a"] + ["b"] * 98, replay=([1] * 8, [0] * 3 + [1] * 5)).passed


def test_without_old_pictures_it_passes_and_says_none() -> None:
    """The first task has nothing to forget."""
    result = ask([], [])
    assert result.passed
    assert (result.holdout, result.before, result.after, result.p_value) == (0, None, None, 1.0)
