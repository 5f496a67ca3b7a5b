"""The figures of two forms of one model, and their limits."""

import json

import numpy as np
import pytest

from edgecl.errors import ParityFailed
from edgecl.layout import FREE_BIAS
from edgecl_export.parity import Parity, check, compare

ROWS = [0, 2, 3]


def logits(*used: tuple[float, ...], capacity: int = 8) -> np.ndarray:
    """`[n, capacity]` float32 with the given values in `ROWS` and free rows elsewhere."""
    array = np.full((len(used), capacity), FREE_BIAS, np.float32)
    array[:, ROWS[: len(used[0])]] = used
    return array


def test_equal_answers_differ_in_nothing() -> None:
    """The same logits twice: no difference, and the spread is that of the used rows alone."""
    answer = logits((0, 1, 4), (5, -3, 2))
    assert compare(answer, answer.copy(), ROWS) == Parity(2, 0.0, 8.0, 0.0, True, 0.0, True)


def test_the_figures_are_those_of_the_used_rows() -> None:
    """Difference, spread, their ratio and the difference of probabilities, by hand."""
    parity = compare(logits((0, 2, 4)), logits((0, 2, 5)), ROWS)
    before, after = (np.exp([0, 2, x]) / np.exp([0, 2, x]).sum() for x in (4, 5))
    assert (parity.max_abs, parity.spread, parity.relative) == (1.0, 4.0, 0.25)
    assert parity.max_softmax == pytest.approx(np.abs(after - before).max())


def test_a_free_row_that_moves_within_its_limit_changes_no_figure() -> None:
    """-9999 instead of -10000 in a free row is neither a difference nor a fault."""
    other = logits((0, 2, 4))
    other[0, 1] += 1
    assert compare(logits((0, 2, 4)), other, ROWS) == Parity(1, 0.0, 4.0, 0.0, True, 0.0, True)


@pytest.mark.parametrize("value", [-9e3, 0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["reference", "other"])
def test_a_free_row_within_reach_fails(value: float, side: str) -> None:
    """-9e3 and above, or not finite, in either form."""
    answers = {"reference": logits((0, 2, 4)), "other": logits((0, 2, 4))}
    answers[side][0, 7] = value
    parity = compare(answers["reference"], answers["other"], ROWS)
    assert not parity.free_rows_ok
    with pytest.raises(ParityFailed, match="a free row of the head is not finite or not below -9000"):
        check(parity, precision="fp32", hop="a -> b")


def test_without_classes_only_free_rows_are_looked_at() -> None:
    """No used row: no figure, and a free row within reach still fails."""
    free = np.full((3, 8), FREE_BIAS, np.float32)
    assert compare(free, free, []) == Parity(3, 0.0, 0.0, 0.0, True, 0.0, True)
    assert not compare(free, free + 2e3, []).free_rows_ok


def test_one_class_alone_is_judged_by_its_logit() -> None:
    """One used row and one picture have no spread: the difference itself must be within the limit."""
    passing, failing = (compare(logits((3.0,)), logits((3.0 + d,)), [0]) for d in (5e-5, 2e-4))
    assert passing.spread == 0.0
    check(passing, precision="fp32", hop="a -> b")
    with pytest.raises(ParityFailed, match=r"2\.00e-04 of their spread, allowed 1e-04"):
        check(failing, precision="fp32", hop="a -> b")


def test_a_spread_of_nothing_divides_nothing() -> None:
    """Two used rows with one value on every picture: the difference itself counts."""
    parity = compare(logits((1.0, 1.0)), logits((1.0, 1.5)), ROWS[:2])
    assert (parity.spread, parity.relative) == (0.0, 0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("side", [0, 1])
def test_a_used_row_that_is_not_finite_fails(value: float, precision: str, side: int) -> None:
    """NaN passes no comparison by accident."""
    answers = [logits((0, 2, 4)), logits((0, 2, 4))]
    answers[side][0, 2] = value
    with pytest.raises(ParityFailed, match="differ by inf"):
        check(compare(*answers, ROWS), precision=precision, hop="a -> b")  # type: ignore[arg-type]


def test_another_best_class_is_found() -> None:
    """A flip fails although the logits barely move, when the reference's margin is above the tolerance."""
    parity = compare(logits((0, 10, 10.0025)), logits((0, 10.0015, 10.0010)), ROWS)
    assert not parity.top1_equal
    with pytest.raises(ParityFailed, match="a picture gets another best class, allowed none"):
        check(parity, precision="fp32", hop="a -> b")


def test_a_flip_within_the_tolerance_is_let_off() -> None:
    """Where the reference itself can hardly tell, either class is right; the other pictures are still held to theirs."""
    close = compare(logits((0, 10, 10.0004)), logits((0, 10.0005, 10.0003)), ROWS)
    assert close.top1_equal
    check(close, precision="fp32", hop="a -> b")
    assert not compare(logits((0, 10, 10.0004), (0, 1, 9)), logits((0, 10.0005, 10), (0, 9, 1)), ROWS).top1_equal


def test_the_limit_of_fp32_is_a_part_of_the_spread() -> None:
    """0.9e-4 of a spread of 100 passes, 1.1e-4 does not; the message names hop, value, limit and remedy."""
    reference = logits((0, 50, 100))
    check(compare(reference, logits((0, 50.009, 100)), ROWS), precision="fp32", hop="a -> b")
    with pytest.raises(ParityFailed) as caught:
        check(compare(reference, logits((0, 50.011, 100)), ROWS), precision="fp32", hop="merged torch -> ONNX Runtime")
    assert str(caught.value) == (
        "merged torch -> ONNX Runtime (fp32, 1 pictures): logits differ by 1.10e-04 of their spread, allowed 1e-04. Nothing was exported. "
        "Try another --opset or another version of onnxruntime, and look for a damaged file with: edgecl verify --deep"
    )
    assert caught.value.exit_code == 3


def test_the_limit_of_fp16_is_a_probability() -> None:
    """Logits may move by more than fp32's limit as long as no probability moves by more than 5e-3."""
    reference = logits((0, 0, 1))
    check(compare(reference, logits((0, 0, 1.01)), ROWS), precision="fp16", hop="a -> b")
    with pytest.raises(ParityFailed, match=r"probabilities differ by 1\.\d\de-02, allowed 5e-03\. .* Export with --precision fp32"):
        check(compare(reference, logits((0, 0, 1.05)), ROWS), precision="fp16", hop="a -> b")


def test_no_picture_proves_nothing() -> None:
    """An empty comparison has no difference and is refused all the same."""
    parity = compare(logits((0, 1, 2))[:0], logits((0, 1, 2))[:0], ROWS)
    assert (parity.n, parity.max_abs) == (0, 0.0)
    with pytest.raises(ParityFailed, match="no picture to compare on"):
        check(parity, precision="fp32", hop="a -> b")


def test_other_shapes_are_refused() -> None:
    """A graph of another capacity is named as such."""
    with pytest.raises(ParityFailed, match=r"answer with \[1, 8\] and \[1, 16\] logits"):
        compare(logits((0, 1, 2)), logits((0, 1, 2), capacity=16), ROWS)


def test_the_order_of_the_rows_does_not_matter() -> None:
    """Rows are a set."""
    a, b = logits((0, 2, 4), (1, 0, 3)), logits((0, 2.5, 4), (1, 0.25, 3))
    assert compare(a, b, ROWS) == compare(a, b, ROWS[::-1])


def test_the_figures_are_json() -> None:
    """What export.json holds of a hop."""
    fields = json.loads(json.dumps(compare(logits((0, 2, 4)), logits((0, 2, 5)), ROWS).to_json(), allow_nan=False))
    assert list(fields) == ["n", "max_abs", "spread", "relative", "top1_equal", "max_softmax", "free_rows_ok"]
