"""The canary and the self-test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from edgecl.errors import StoreDamaged
from edgecl.runtime.fake import FakePredictor
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.selftest import CANARY_FILE, read_canary, self_test, widened_canary, write_canary
from tests.runtime.tiny import CAPACITY, FEATURES, SIZE, colour_weights, plain, reference, write_version

ROWS = [0, 1, 2]
Array = Any


class Answering:
    """A predictor that gives the canary's own answers, after `change` was applied to them."""

    def __init__(self, folder: Path, change: Callable[[Array, Array], None] = lambda logits, features: None) -> None:
        canary = read_canary(folder / CANARY_FILE)
        self.logits, self.features = canary.logits.copy(), canary.features.copy()
        change(self.logits, self.features)

    def load(self, folder: Path) -> None:
        raise AssertionError("a self-test loads nothing")

    def infer(self, pictures: Array) -> tuple[Array, Array]:
        return self.logits, self.features

    def close(self) -> None: ...


def test_the_version_passes_its_own_canary(version: Path) -> None:
    """ONNX Runtime agrees with the numpy reference."""
    predictor = OrtPredictor(threads=1)
    predictor.load(version)
    result = self_test(predictor, version, ROWS)
    assert (result.passed, result.top1_equal, result.reason) == (True, True, "")
    assert result.relative < 1e-5


def test_another_versions_weights_fail(version: Path, tmp_path: Path) -> None:
    """A predictor that serves other values is caught."""
    predictor = OrtPredictor(threads=1)
    predictor.load(write_version(tmp_path / "000008", gain=21.0))
    result = self_test(predictor, version, ROWS)
    assert not result.passed
    assert "logits differ by" in result.reason
    assert result.relative == pytest.approx(0.05, rel=1e-3)


def test_renumbered_rows_fail(version: Path, tmp_path: Path) -> None:
    """Swapped rows change the best class."""
    predictor = OrtPredictor(threads=1)
    predictor.load(write_version(tmp_path / "000008", rows=(1, 0, 2)))
    result = self_test(predictor, version, ROWS)
    assert not result.top1_equal
    assert "another class than in the reference" in result.reason


def test_round_trip(tmp_path: Path) -> None:
    """What was written is read back, and the same arrays give the same bytes."""
    pictures = plain("red", 3)
    logits, features = reference(pictures, colour_weights())
    content = write_canary(pictures, logits, features)
    (tmp_path / "c").write_bytes(content)
    canary = read_canary(tmp_path / "c")
    for written, read in zip((pictures, logits, features), (canary.pictures, canary.logits, canary.features), strict=True):
        np.testing.assert_array_equal(written, read)
    assert content == write_canary(pictures.copy(), logits.copy(), features.copy())


@pytest.mark.parametrize("part", [0.5, 1.5])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_logits_are_held_to_the_limit_of_the_precision(version: Path, part: float, precision: Any) -> None:
    """Half the stated limit passes, one and a half times the limit fails: of the spread in fp32, of the probability in fp16."""
    reference_logits = read_canary(version / CANARY_FILE).logits

    def change(logits: Array, features: Array) -> None:
        if precision == "fp32":
            logits[0, 1] += part * 1e-3 * np.ptp(reference_logits[:, :3])
        else:  # from p = 0.0002 of row 1 to p + part * 5e-3
            weights = np.exp(logits[0, :3].astype(np.float64))
            wanted = weights[1] / weights.sum() + part * 5e-3
            logits[0, 1] = np.log(wanted / (1 - wanted) * (weights[0] + weights[2]))

    result = self_test(Answering(version, change), version, ROWS, precision=precision)
    assert result.passed == (part < 1)
    assert ("differ by" in result.reason) == (part > 1)


def test_fp16_does_not_ask_for_equal_logits(version: Path) -> None:
    """A common offset of all used logits changes no probability."""

    def change(logits: Array, features: Array) -> None:
        logits[:, ROWS] += 1.0

    assert self_test(Answering(version, change), version, ROWS, precision="fp16").passed
    assert not self_test(Answering(version, change), version, ROWS).passed


@pytest.mark.parametrize("margin", [0.5e-3, 1.5e-3])
def test_a_flip_is_forgiven_only_below_the_tolerance(tmp_path: Path, margin: float) -> None:
    """The reference's two best logits lie `margin` apart, tolerance 1e-3 (spread 1); the answer has them the other way round."""
    logits = np.full((1, CAPACITY), -1e4, np.float32)
    logits[0, :3] = (1.0, 1.0 - margin, 0.0)
    (tmp_path / CANARY_FILE).write_bytes(write_canary(plain("red"), logits, np.ones((1, FEATURES), np.float32)))

    def swap(logits: Array, features: Array) -> None:
        logits[0, :2] = logits[0, 0] - 0.9 * margin, logits[0, 1] + 0.9 * margin * 0.5

    result = self_test(Answering(tmp_path, swap), tmp_path, ROWS)
    assert result.top1_equal == (margin < 1e-3)
    assert result.passed == (margin < 1e-3)


def _free_row(value: float) -> Callable[[Array, Array], None]:
    def change(logits: Array, features: Array) -> None:
        logits[2, 9] = value

    return change


@pytest.mark.parametrize(("value", "passed"), [(-9001.0, True), (-8999.0, False), (np.nan, False), (-np.inf, False)])
def test_free_rows_stay_finite_and_out_of_reach(version: Path, value: float, passed: bool) -> None:
    """Free rows are not compared, but they must lie below -9e3."""
    result = self_test(Answering(version, _free_row(value)), version, ROWS)
    assert result.passed == passed
    assert passed or "free row" in result.reason or "not finite" in result.reason


def test_features_must_agree(version: Path) -> None:
    """Also where the logits do."""

    def change(logits: Array, features: Array) -> None:
        features[1, 0] += 0.01

    result = self_test(Answering(version, change), version, ROWS)
    assert not result.passed
    assert result.reason.startswith("features differ by")
    assert self_test(Answering(version, change), version, ROWS, precision="fp16").passed


@pytest.mark.parametrize("change", [lambda x, f: x.fill(np.nan), lambda x, f: f.fill(np.inf)], ids=["logits", "features"])
def test_values_that_are_not_finite_fail(version: Path, change: Callable[[Array, Array], None]) -> None:
    """The figures are infinite then."""
    result = self_test(Answering(version, change), version, ROWS)
    assert (result.passed, result.reason) == (False, "the model answers with values that are not finite")
    assert result.max_abs == result.relative == float("inf")


def test_a_model_of_another_capacity_fails(version: Path) -> None:
    """The reason has both shapes."""
    result = self_test(FakePredictor(capacity=24), version, ROWS)
    assert not result.passed
    assert "[24, 3] logits and features per picture, the canary has [16, 3]" in result.reason


def test_one_class_alone_passes(tmp_path: Path) -> None:
    """Its logits have no spread; the limit is absolute then."""
    logits = np.full((2, CAPACITY), -1e4, np.float32)
    logits[:, 4] = 7.0
    (tmp_path / CANARY_FILE).write_bytes(write_canary(plain("red", 2), logits, np.eye(2, FEATURES, dtype=np.float32)))

    def change(by: float) -> Callable[[Array, Array], None]:
        def move(logits: Array, features: Array) -> None:
            logits[:, 4] += by

        return move

    assert self_test(Answering(tmp_path, change(0.9e-3)), tmp_path, [4]).passed
    assert not self_test(Answering(tmp_path, change(1.1e-3)), tmp_path, [4]).passed


def test_a_grown_head_gets_a_wider_canary(version: Path, tmp_path: Path) -> None:
    """The new rows are free, all else stays; a model of the new capacity passes it."""
    before = read_canary(version / CANARY_FILE)
    (tmp_path / CANARY_FILE).write_bytes(widened_canary((version / CANARY_FILE).read_bytes(), CAPACITY + 8))
    after = read_canary(tmp_path / CANARY_FILE)
    np.testing.assert_array_equal(after.logits[:, :CAPACITY], before.logits)
    assert (after.logits[:, CAPACITY:] == -1e4).all()
    np.testing.assert_array_equal(after.pictures, before.pictures)
    assert self_test(FakePredictor(capacity=CAPACITY + 8), tmp_path, ROWS).passed
    with pytest.raises(ValueError, match="16 rows cannot be widened to 8"):
        widened_canary((version / CANARY_FILE).read_bytes(), 8)
    with pytest.raises(StoreDamaged, match=r"canary\.safetensors cannot be read"):
        widened_canary(b"noise", 24)


class TestWithoutClasses:
    def test_the_features_decide(self, tmp_path: Path) -> None:
        """There is no used row to compare."""
        logits, features = np.full((1, CAPACITY), -1e4, np.float32), np.array([[1.0, 2.0, 3.0]], np.float32)
        (tmp_path / CANARY_FILE).write_bytes(write_canary(plain("red"), logits, features))

        def change(logits: Array, features: Array) -> None:
            features += np.float32([0, 1, 0])

        assert self_test(Answering(tmp_path), tmp_path, []).passed
        assert not self_test(Answering(tmp_path, change), tmp_path, []).passed

    def test_no_pictures_pass_when_the_model_runs(self, tmp_path: Path) -> None:
        """An empty canary still runs one black picture and looks at the free rows."""
        empty = np.zeros((0, SIZE, SIZE, 3), np.uint8), np.zeros((0, CAPACITY), np.float32), np.zeros((0, FEATURES), np.float32)
        (tmp_path / CANARY_FILE).write_bytes(write_canary(*empty))
        free = FakePredictor(lambda pictures: np.full((len(pictures), CAPACITY), -1e4))
        assert self_test(free, tmp_path, []).passed
        assert free.batches == [(1, SIZE, SIZE, 3)]
        assert not self_test(FakePredictor(), tmp_path, []).passed  # its rows 0, 1, 2 are not free
        assert "no picture, but the version has classes" in self_test(FakePredictor(), tmp_path, ROWS).reason


class TestDamage:
    @pytest.mark.parametrize("content", [None, b"", b"\xff" * 50], ids=["missing", "empty", "noise"])
    def test_an_unreadable_canary_is_damage(self, version: Path, content: bytes | None) -> None:
        """The message has the path and the remedy."""
        path = version / CANARY_FILE
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StoreDamaged, match=r"canary\.safetensors cannot be read .*edgecl verify --deep"):
            self_test(FakePredictor(), version, ROWS)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"pictures": np.zeros((12, 8, 8, 3), np.float32)}, "pictures is float32 of rank 4, expected uint8 of rank 4"),
            ({"logits": np.zeros(CAPACITY, np.float32)}, "logits is float32 of rank 1, expected float32 of rank 2"),
            ({"features": np.zeros((5, 3), np.float32)}, "different counts"),
            ({"features": np.full((12, 3), np.nan, np.float32)}, "a reference answer is not finite"),
            ({"extra": np.zeros(1, np.float32)}, r"it has the arrays \['extra', "),
        ],
        ids=["dtype", "rank", "count", "nan", "array"],
    )
    def test_a_file_of_another_form_is_damage(self, version: Path, change: dict[str, Array], message: str) -> None:
        """safetensors alone do not make a canary, and write_canary writes none such."""
        canary = read_canary(version / CANARY_FILE)
        arrays = {"pictures": canary.pictures, "logits": canary.logits, "features": canary.features, **change}
        (version / CANARY_FILE).write_bytes(save(arrays))
        with pytest.raises(StoreDamaged, match=message):
            read_canary(version / CANARY_FILE)
        if "extra" not in arrays:
            with pytest.raises(ValueError, match=message):
                write_canary(**arrays)

    def test_rows_that_the_canary_does_not_have_are_damage(self, version: Path) -> None:
        """Manifest and canary must belong together."""
        with pytest.raises(StoreDamaged, match="has 16 rows, but the version uses row 16"):
            self_test(FakePredictor(), version, [0, 16])
