"""Accuracy on class folders, and the figures of continual learning."""

import json
import unicodedata
from typing import Any

import numpy as np
import pytest

from edgecl import evaluate as module
from edgecl.errors import BadInput, StoreDamaged
from edgecl.evaluate import (
    Confusion,
    auroc,
    average_accuracy,
    average_incremental_accuracy,
    backward_transfer,
    confidence_interval,
    evaluate,
    expected_calibration_error,
    false_positives,
    forgetting,
)
from edgecl.manifest import BACKGROUND, Thresholds
from edgecl.runtime.fake import FakePredictor
from tests.runtime.tiny import CAPACITY, manifest_of, plain

NAN = np.nan


def labelled(*pairs: tuple[str, str]) -> Any:
    """(class folder, true colour) -> what `evaluate` takes."""
    return [(name, plain(colour)[0]) for name, colour in pairs]


class TestEvaluate:
    PICTURES = (("red", "red"), ("red", "red"), ("red", "blue"), ("green", "green"), ("blue", "green"), ("blue", "green"))

    def test_counts_what_was_named_right(self) -> None:
        """Accuracy is over pictures, per class and together; confusions come most frequent first."""
        result = evaluate(FakePredictor(), labelled(*self.PICTURES), manifest_of())
        assert (result.version, result.n, result.accuracy) == (7, 6, 0.5)
        assert {name: (figures.n, figures.accuracy) for name, figures in result.per_class.items()} == {
            "blue": (2, 0.0),
            "green": (1, 1.0),
            "red": (3, pytest.approx(2 / 3)),
        }
        assert result.confusions == (Confusion("blue", "green", 2), Confusion("red", "blue", 1))
        assert (result.unknown_rate, result.unlearned) == (0.0, {})

    @pytest.mark.parametrize("batch", [1, 2, 4, 6, 100])
    def test_does_not_depend_on_the_batch(self, batch: int) -> None:
        """Only the number of questions does, and progress counts to the end."""
        seen: list[int] = []
        predictor = FakePredictor()
        result = evaluate(predictor, iter(labelled(*self.PICTURES)), manifest_of(), batch=batch, progress=seen.append)
        assert result == evaluate(FakePredictor(), labelled(*self.PICTURES), manifest_of())
        assert len(predictor.batches) == len(seen) == -(-6 // batch)
        assert seen[-1] == 6

    def test_folders_that_were_never_learned_stand_apart(self) -> None:
        """They change no figure, and the model is not asked about them."""
        predictor = FakePredictor()
        result = evaluate(predictor, labelled(("fanta", "red"), ("red", "red"), ("fanta", "blue"), ("ayran", "blue")), manifest_of())
        assert (result.n, result.accuracy) == (1, 1.0)
        assert result.unlearned == {"ayran": 1, "fanta": 2}
        assert sum(shape[0] for shape in predictor.batches) == 1

    def test_names_are_compared_after_nfc(self) -> None:
        """A folder written by another system has another spelling of the same name."""
        name = unicodedata.normalize("NFC", "café")
        result = evaluate(FakePredictor(), labelled((unicodedata.normalize("NFD", name), "red")), manifest_of((name, "tea")))
        assert list(result.per_class) == [name]

    def test_unknown_is_a_rate_and_no_error(self) -> None:
        """The best class counts, even where the answer would be called unknown."""
        pictures = [*labelled(("red", "red")), ("red", np.full((8, 8, 3), 100, np.uint8))]
        result = evaluate(FakePredictor(), pictures, manifest_of(thresholds=Thresholds(unknown_above=0.5)))
        assert (result.unknown_rate, result.accuracy) == (0.5, 1.0)

    def test_background_is_never_unknown(self) -> None:
        """As in the app."""
        manifest = manifest_of((BACKGROUND, "green", "blue"), thresholds=Thresholds(unknown_above=0.0))
        result = evaluate(FakePredictor(), labelled((BACKGROUND, "red"), ("green", "green")), manifest)
        assert (result.accuracy, result.unknown_rate) == (1.0, 0.5)

    def test_ten_confusions_at_most(self) -> None:
        """The list is for people."""
        names = [f"c{i:02}" for i in range(12)]
        predictor = FakePredictor(lambda pictures: np.eye(CAPACITY)[[0] * len(pictures)])
        result = evaluate(predictor, [(name, plain("red")[0]) for name in names], manifest_of(names))
        assert [pair.true for pair in result.confusions] == names[1:11]

    def test_json_is_the_agreed_object(self) -> None:
        """`edgecl.evaluation/1` begins as the design says."""
        fields = json.loads(json.dumps(evaluate(FakePredictor(), labelled(*self.PICTURES), manifest_of()).to_json(), allow_nan=False))
        assert list(fields)[:5] == ["format", "version", "n", "accuracy", "per_class"]
        assert fields["format"] == "edgecl.evaluation/1"
        assert fields["per_class"]["green"] == {"n": 1, "accuracy": 1.0}
        assert fields["confusions"][0] == {"true": "blue", "answered": "green", "n": 2}

    def test_nothing_known_is_refused(self) -> None:
        """The message names what came and what the version knows."""
        with pytest.raises(
            BadInput, match=r"version 7 knows none of the 1 classes to evaluate \(fanta\); it knows blue, green, red\. .*edgecl learn"
        ):
            evaluate(FakePredictor(), labelled(("fanta", "red")), manifest_of())
        with pytest.raises(BadInput, match="it knows no class at all"):
            evaluate(FakePredictor(), labelled(("fanta", "red")), manifest_of(()))

    def test_no_picture_is_refused(self) -> None:
        """There is nothing to divide by."""
        with pytest.raises(BadInput, match="no picture to evaluate"):
            evaluate(FakePredictor(), [], manifest_of())

    def test_a_model_of_another_capacity_is_damage(self) -> None:
        """It is not evaluated by chance."""
        with pytest.raises(StoreDamaged, match="answers with 24 logits per picture"):
            evaluate(FakePredictor(capacity=24), labelled(("red", "red")), manifest_of())


class TestContinualLearning:
    MATRIX = np.array([[0.9, NAN, NAN], [0.95, 0.8, NAN], [0.7, 0.85, 0.6]])

    def test_average_accuracy_is_the_mean_of_the_last_row(self) -> None:
        """(0.7 + 0.85 + 0.6) / 3"""
        assert average_accuracy(self.MATRIX) == pytest.approx(2.15 / 3)

    def test_average_incremental_accuracy_is_the_mean_of_the_rows_means(self) -> None:
        """Each row over its seen tasks."""
        assert average_incremental_accuracy(self.MATRIX) == pytest.approx((0.9 + 0.875 + 2.15 / 3) / 3)

    def test_forgetting_is_from_the_best_earlier_row(self) -> None:
        """Task 0 was best after task 1, not when it was learned; task 1 got better."""
        assert forgetting(self.MATRIX) == pytest.approx(((0.95 - 0.7) + (0.8 - 0.85)) / 2)

    def test_backward_transfer_is_from_the_own_row(self) -> None:
        """Negative where tasks were forgotten."""
        assert backward_transfer(self.MATRIX) == pytest.approx(((0.7 - 0.9) + (0.85 - 0.8)) / 2)

    def test_what_stands_above_the_diagonal_does_not_count(self) -> None:
        """A chance accuracy on tasks that were not seen changes nothing."""
        filled = np.where(np.isnan(self.MATRIX), 1.0, self.MATRIX)
        for figure in (average_accuracy, average_incremental_accuracy, forgetting, backward_transfer):
            assert figure(filled) == figure(self.MATRIX)

    def test_one_task_has_nothing_to_forget(self) -> None:
        """Forgetting and transfer are 0, both averages the one value."""
        one = np.array([[0.5]])
        assert [average_accuracy(one), average_incremental_accuracy(one), forgetting(one), backward_transfer(one)] == [0.5, 0.5, 0.0, 0.0]

    @pytest.mark.parametrize("name", ["average_accuracy", "average_incremental_accuracy", "forgetting", "backward_transfer"])
    @pytest.mark.parametrize(
        ("matrix", "message"),
        [
            (np.zeros((2, 3)), r"shape \[2, 3\], expected \[t, t\]"),
            (np.zeros(3), r"shape \[3\]"),
            (np.zeros((0, 0)), r"shape \[0, 0\]"),
            (np.array([[0.5, NAN], [NAN, 0.5]]), "no value for task 0 after task 1"),
        ],
    )
    def test_an_incomplete_matrix_is_refused(self, name: str, matrix: Any, message: str) -> None:
        """No figure is made up for a task that was not evaluated."""
        with pytest.raises(BadInput, match=message):
            getattr(module, name)(matrix)


class TestConfidence:
    def test_calibration_error_is_the_mean_gap_over_pictures(self) -> None:
        """Two bins: four answers at 0.9 of which two are right, one at 0.3 that is wrong."""
        confidence, right = np.array([0.9, 0.9, 0.9, 0.9, 0.3]), np.array([True, True, False, False, False])
        assert expected_calibration_error(confidence, right) == pytest.approx((4 * 0.4 + 0.3) / 5)

    def test_gaps_cancel_only_within_a_bin(self) -> None:
        """One bin over everything hides what two bins show; the upper end belongs to a bin, 0 and 1 have one, too."""
        confidence, right = np.array([0.5, 1.0]), np.array([True, False])
        assert expected_calibration_error(confidence, right, bins=1) == pytest.approx(0.25)
        assert expected_calibration_error(confidence, right, bins=2) == pytest.approx(0.75)
        assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0.0

    @pytest.mark.parametrize(
        ("known", "unknown", "expected"), [([0, 1], [2, 3], 1.0), ([2, 3], [0, 1], 0.0), ([1], [1], 0.5), ([0, 2], [1, 3], 0.75)]
    )
    def test_auroc_counts_pairs_in_the_right_order(self, known: list[int], unknown: list[int], expected: float) -> None:
        """A tie is half a pair."""
        assert auroc(np.array(known), np.array(unknown)) == expected

    def test_auroc_is_what_counting_all_pairs_gives(self) -> None:
        """Also with many ties."""
        random = np.random.default_rng(0)
        known, unknown = random.integers(0, 5, 40), random.integers(1, 6, 30)
        pairs = (unknown[:, None] > known).astype(float) + 0.5 * (unknown[:, None] == known)
        assert auroc(known, unknown) == pytest.approx(pairs.mean())

    def test_false_positives_pass_where_95_percent_of_the_known_do(self) -> None:
        """The limit comes from the known ones alone."""
        assert false_positives(np.arange(101), np.array([0, 95, 96, 200])) == 0.5
        assert false_positives(np.arange(101), np.array([40, 60]), kept=0.5) == 0.5

    def test_the_interval_is_wilsons(self) -> None:
        """Published values of 95 % intervals (Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29)."""
        for right, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)):
            assert confidence_interval(right, n) == pytest.approx((low, high), abs=5e-5)
        assert confidence_interval(0, 0) == (0.0, 1.0)
