"""From logits to an answer."""

import json
import math
from typing import Any

import numpy as np
import pytest

from edgecl.errors import StoreDamaged, UsageError
from edgecl.manifest import BACKGROUND, Thresholds
from edgecl.runtime.base import Prediction
from edgecl.runtime.decide import Smoother, announced, decide, softmax, unknown_score
from tests.runtime.tiny import CAPACITY, manifest_of

WHERE: dict[str, Any] = {"source": "a.jpg", "index": 4, "time": "2024-01-01T00:00:00+00:00", "latency_ms": 1.5}


def logits_of(**rows: float) -> Any:
    """Logits `[capacity]`: free rows at -1e4, `r3=2.0` sets row 3."""
    logits = np.full(CAPACITY, -1e4, np.float32)
    for name, value in rows.items():
        logits[int(name[1:])] = value
    return logits


def answer(logits: Any, **changes: Any) -> Prediction:
    """Decide on a version with red, green and blue."""
    return decide(logits, manifest_of(**changes), **WHERE)


class TestSoftmax:
    def test_is_over_the_given_rows_in_their_order(self) -> None:
        """Rows that are not used have no part in the sum."""
        logits = np.log(np.array([[1.0, 1.0, 98.0, 3.0]]))
        np.testing.assert_allclose(softmax(logits, [3, 0]), [[0.75, 0.25]])

    def test_large_logits_do_not_overflow(self) -> None:
        """The largest logit is subtracted first."""
        np.testing.assert_allclose(softmax(np.array([1e4, 1e4, -1e4], np.float32), [0, 1, 2]), [0.5, 0.5, 0.0])

    @pytest.mark.parametrize("shape", [(CAPACITY,), (2, CAPACITY), (2, 3, CAPACITY), (0, CAPACITY)])
    def test_keeps_the_leading_axes(self, shape: tuple[int, ...]) -> None:
        """Any number of leading axes is fine, also with nothing in them."""
        assert softmax(np.zeros(shape), [1, 2]).shape == (*shape[:-1], 2)

    def test_no_rows_give_no_probabilities(self) -> None:
        """A version without classes has an empty last axis."""
        assert softmax(np.zeros((3, CAPACITY)), []).shape == (3, 0)


class TestUnknownScore:
    def test_max_softmax_is_one_minus_the_largest_probability(self) -> None:
        """Two equal classes are half unknown."""
        logits = np.zeros((2, CAPACITY))
        logits[1, 3] = 50
        score = unknown_score(logits, softmax(logits, [3, 4]), [3, 4], Thresholds())
        np.testing.assert_allclose(score, [0.5, 0.0], atol=1e-12)

    def test_max_logit_is_the_largest_used_logit_negated(self) -> None:
        """Two pictures with equal probabilities differ: one is far from every class. Free rows do not count."""
        logits = np.full((2, CAPACITY), 9.0)
        logits[:, [3, 4]] = [[5.0, 2.0], [-1.0, -4.0]]
        probabilities = softmax(logits, [3, 4])
        np.testing.assert_allclose(probabilities[0], probabilities[1])
        np.testing.assert_array_equal(unknown_score(logits, probabilities, [3, 4], Thresholds(score="max_logit")), [-5.0, 1.0])

    def test_a_score_of_a_newer_edgecl_is_refused(self) -> None:
        """The message names the score and those that are known."""
        with pytest.raises(StoreDamaged, match=r"'energy2', but this edgecl knows \['max_logit', 'max_softmax'\]"):
            unknown_score(np.zeros(4), np.ones(1), [0], Thresholds(score="energy2"))


class TestDecide:
    def test_names_the_best_used_row(self) -> None:
        """Label, id, score and top come from the used rows, best first; the rest is passed through."""
        prediction = answer(logits_of(r0=1.0, r1=3.0, r2=2.0))
        assert (prediction.label, prediction.class_id, prediction.unknown) == ("green", "id-green", False)
        assert [name for name, _ in prediction.top] == ["green", "blue", "red"]
        assert prediction.score == prediction.top[0][1] == pytest.approx(math.exp(3) / (math.e + math.exp(2) + math.exp(3)))
        assert (prediction.source, prediction.index, prediction.time, prediction.version) == ("a.jpg", 4, WHERE["time"], 7)
        assert prediction.latency_ms == 1.5

    def test_free_rows_never_win(self) -> None:
        """Even a free row with the largest logit is not looked at."""
        assert answer(logits_of(r0=1.0, r1=0.0, r2=0.0, r9=50.0)).label == "red"

    def test_rows_need_not_be_in_the_order_of_the_classes(self) -> None:
        """A class keeps its row, wherever it stands in the manifest."""
        assert answer(logits_of(r9=0.0, r3=5.0, r12=1.0), rows=(9, 3, 12)).label == "green"
        assert answer(logits_of(r9=0.0, r3=1.0, r12=5.0), rows=(9, 3, 12)).label == "blue"

    def test_top_holds_at_most_five(self) -> None:
        """Of eight classes the best five are listed."""
        names = [f"c{i}" for i in range(8)]
        prediction = answer(logits_of(**{f"r{i}": float(i) for i in range(8)}), names=names)
        assert [name for name, _ in prediction.top] == ["c7", "c6", "c5", "c4", "c3"]

    def test_equal_scores_are_ordered_by_row(self) -> None:
        """The answer to a tie does not depend on chance."""
        prediction = answer(logits_of(r9=0.0, r3=0.0, r12=0.0), rows=(9, 3, 12))
        assert [name for name, _ in prediction.top] == ["green", "red", "blue"]

    @pytest.mark.parametrize(("limit", "unknown"), [(0.49, True), (0.5, False), (0.51, False)])
    def test_is_unknown_above_the_threshold_and_not_at_it(self, limit: float, unknown: bool) -> None:
        """Two equal classes score 0.5; the label stays the best guess."""
        prediction = answer(logits_of(r0=0.0, r1=0.0, r2=-1e4), thresholds=Thresholds(unknown_above=limit))
        assert (prediction.label, prediction.unknown, announced(prediction)) == ("red", unknown, not unknown)

    def test_nothing_is_unknown_by_default(self) -> None:
        """The threshold of a version that was never calibrated is never exceeded."""
        assert not answer(logits_of(r0=0.0, r1=0.0, r2=0.0)).unknown

    def test_background_is_answered_but_never_announced(self) -> None:
        """It is not unknown either, however unsure."""
        prediction = answer(logits_of(r0=0.1, r1=0.0), names=(BACKGROUND, "cola"), thresholds=Thresholds(unknown_above=0.0))
        assert (prediction.label, prediction.unknown, announced(prediction)) == (BACKGROUND, False, False)

    def test_without_classes_everything_is_unknown(self) -> None:
        """An empty version answers with nothing."""
        prediction = answer(logits_of(), names=())
        assert (prediction.label, prediction.class_id, prediction.score, prediction.unknown, prediction.top) == ("", "", 0.0, True, ())

    def test_one_class_is_certain(self) -> None:
        """Softmax over a single row is 1."""
        prediction = answer(logits_of(r0=-3.0), names=("only",))
        assert (prediction.label, prediction.score, prediction.unknown) == ("only", 1.0, False)

    def test_the_answer_is_plain_json(self) -> None:
        """No numpy type is left in it."""
        fields = json.loads(json.dumps(answer(logits_of(r0=1.0, r1=0.0, r2=0.0)).to_json(), allow_nan=False))
        assert fields["format"] == "edgecl.prediction/1"
        assert fields["top"][0][0] == "red"

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_values_that_are_not_finite_are_damage(self, value: float) -> None:
        """A used row must be a number; a free row may be anything."""
        with pytest.raises(StoreDamaged, match="version 7 answers row 1 with a value that is not finite"):
            answer(logits_of(r0=0.0, r1=value, r2=0.0))
        assert answer(logits_of(r0=1.0, r1=0.0, r2=0.0, r5=value)).label == "red"

    def test_another_number_of_rows_is_damage(self) -> None:
        """Model and manifest must belong together."""
        with pytest.raises(StoreDamaged, match="answers with 8 logits per picture, but version 7 has 16 rows"):
            answer(np.zeros(8, np.float32))


class TestSmoother:
    def test_gives_the_mean_of_the_last_frames(self) -> None:
        """A frame older than the window is forgotten."""
        smoother = Smoother(2)
        frames = [np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0])]
        means = [smoother.update("video", 1, frame).tolist() for frame in frames]
        assert means == [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]

    @pytest.mark.parametrize("key", [("other", 1), ("video", 2)], ids=["source", "version"])
    def test_starts_anew_with_another_source_or_version(self, key: tuple[str, int]) -> None:
        """Also where the number of classes differs."""
        smoother = Smoother(5)
        smoother.update("video", 1, np.array([1.0, 0.0]))
        assert smoother.update(*key, np.array([0.0, 0.5, 0.5])).tolist() == [0.0, 0.5, 0.5]

    def test_one_odd_frame_does_not_change_the_answer(self) -> None:
        """decide answers from the smoothed probabilities; score and label belong together."""
        smoother, manifest = Smoother(3), manifest_of()
        red, blue = logits_of(r0=5.0, r1=0.0, r2=0.0), logits_of(r0=0.0, r1=0.0, r2=5.0)
        answers = [decide(logits, manifest, **WHERE, smoother=smoother) for logits in (red, red, blue)]
        assert [prediction.label for prediction in answers] == ["red", "red", "red"]
        assert answers[2].score == pytest.approx((2 * answers[0].score + softmax(blue, [0, 1, 2])[0]) / 3)

    def test_unknown_is_judged_by_the_smoothed_logits(self) -> None:
        """One frame far from every class is not called unknown, three of them are; the caller's logits stay as they were."""
        smoother, manifest = Smoother(3), manifest_of(thresholds=Thresholds(score="max_logit", unknown_above=-3.0))
        near, far = logits_of(r0=9.0, r1=0.0, r2=0.0), logits_of(r0=0.0, r1=0.0, r2=0.0)
        frames = (near, near, far, far, far)
        assert [decide(logits, manifest, **WHERE, smoother=smoother).unknown for logits in frames] == [False, False, False, False, True]
        assert (far[0], near[0]) == (0.0, 9.0)

    def test_a_window_below_one_is_refused(self) -> None:
        """The message has the value."""
        with pytest.raises(UsageError, match="window of 0 frames"):
            Smoother(0)
