"""The first version of a store."""

from pathlib import Path

import numpy as np
import pytest

from edgecl.backbone import random_state
from edgecl.errors import BadInput, ParityFailed, UsageError
from edgecl.runtime.fake import FakePredictor
from edgecl.runtime.ort import OrtPredictor
from edgecl.settings import AdapterShape, MemorySettings
from edgecl.start import create_store, read_labels
from edgecl.store import Store
from edgecl_export.graph import write_graph
from tests.teaching import CAPACITY, TINY, new_store


def start(root: Path, names: tuple[str, ...], rows: int | None = None, **changes: object) -> Store:
    """A store with a random classifier of as many rows as names."""
    random = np.random.default_rng(0)
    count = len(names) if rows is None else rows
    options: dict[str, object] = {
        "architecture": TINY,
        "state": random_state(TINY, 0),
        "source": "tuned.safetensors",
        "capacity": CAPACITY,
        "adapter": AdapterShape(rank=2, alpha=4.0, first_block=1),
        "memory": MemorySettings(),
        "write_graph": write_graph,
        "make_predictor": OrtPredictor,
        "names": names,
        "head": (random.normal(0, 1, (count, 32)), random.normal(0, 1, count)),
        **changes,
    }
    return create_store(root, **options)  # type: ignore[arg-type]


def test_a_store_begins_with_version_0_which_serves(tmp_path: Path) -> None:
    """No class, all rows free, the backbone as it came."""
    store = new_store(tmp_path / "model")
    assert (store.numbers(), store.current, store.good) == ([0], 0, None)
    assert store.manifest(0).classes == ()
    for name, value in random_state(TINY, 0).items():
        np.testing.assert_array_equal(store.base()[name], value)


def test_a_classifiers_classes_come_along_with_their_answers(tmp_path: Path) -> None:
    """Rows keep their numbers, `-` stays free, and differences between logits are the classifier's own."""
    store = start(tmp_path / "model", ("alpha", "-", "beta"))
    assert [(entry.row, entry.name) for entry in store.manifest(0).classes] == [(0, "alpha"), (2, "beta")]
    assert (store.folder(0) / "labels.txt").read_text().splitlines()[:4] == ["alpha", "-", "beta", "-"]
    random = np.random.default_rng(0)
    weight, bias = random.normal(0, 1, (3, 32)), random.normal(0, 1, 3)
    predictor = OrtPredictor(threads=1)
    predictor.load(store.folder(0))
    logits, features = predictor.infer(np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))
    expected = features @ (weight[0] - weight[2]) + bias[0] - bias[2]
    np.testing.assert_allclose(logits[:, 0] - logits[:, 2], expected, atol=0.05)
    assert (logits[:, 1] < -9e3).all()


def test_boards_that_start_alike_agree_on_class_ids(tmp_path: Path) -> None:
    """Ids depend on the backbone, the row and the name."""
    one, other = start(tmp_path / "a", ("alpha", "beta")), start(tmp_path / "b", ("alpha", "beta"))
    assert one.manifest(0) == other.manifest(0)


def test_labels_must_fit_the_classifier_and_the_capacity(tmp_path: Path) -> None:
    """The message says how many there are and what to ask for."""
    with pytest.raises(BadInput, match="the labels name 2 classes, but the classifier has 3 rows"):
        start(tmp_path / "model", ("alpha", "beta"), rows=3)
    many = tuple(f"class {i}" for i in range(20))
    with pytest.raises(BadInput, match=r"20 classes do not fit a capacity of 16\. Ask for more: --capacity 88"):
        start(tmp_path / "model", many)
    assert not (tmp_path / "model").exists()


def test_a_graph_that_does_not_agree_leaves_no_store(tmp_path: Path) -> None:
    """Nothing is left behind."""
    with pytest.raises(ParityFailed):
        start(tmp_path / "model", ("alpha", "beta"), make_predictor=lambda: FakePredictor(capacity=CAPACITY))
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_place_is_left_alone(tmp_path: Path) -> None:
    """Somebody's files are not a store."""
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is not an empty folder"):
        new_store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty. Expected one class name per line"),
        (b"cola\nCola\n", "names 'Cola' in line 1 and again in line 2|names 'Cola' in line 1"),
        (b"\xff\xfe", "cannot be read"),
        (b"cola\n\nfanta\n", "'' cannot be a class name"),
        (b"a/b\n", "'a/b' cannot be a class name"),
    ],
)
def test_unusable_labels_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    """Each with its line or its reason."""
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_labels(path)


def test_labels_may_have_gaps_and_accents(tmp_path: Path) -> None:
    """`-` more than once; names in NFC."""
    path = tmp_path / "labels.txt"
    path.write_text("cafe\u0301\n-\n-\ntea\n", encoding="utf-8")
    assert read_labels(path) == ("café", "-", "-", "tea")
