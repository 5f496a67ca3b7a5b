"""Task arithmetic: what adding, scaling and subtracting task vectors must keep."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecl.adapter import Adapter
from edgecl.errors import BadInput
from edgecl.merge import coefficient_of, merge, task_vector
from tests.store.builders import TINY, random_adapter, random_state

BASE = random_state()
ALL = {"*": 1.0}


def test_a_task_vector_is_scaled_b_times_a() -> None:
    """alpha / rank * B @ A, float32, one per target; doubling alpha doubles it, A and B are not swapped."""
    adapter = random_adapter(1, rank=4)
    vectors = task_vector(adapter)
    assert list(vectors) == [f"{target}.weight" for target in adapter.targets]
    for target in adapter.targets:
        expected = adapter.alpha / adapter.rank * adapter.b[target].astype(np.float64) @ adapter.a[target].astype(np.float64)
        assert vectors[f"{target}.weight"].dtype == np.float32
        np.testing.assert_allclose(vectors[f"{target}.weight"], expected, rtol=1e-5, atol=1e-7)
    twice = task_vector(replace(adapter, alpha=2 * adapter.alpha))
    np.testing.assert_array_equal(twice["blocks.1.mlp.fc1.weight"], 2 * vectors["blocks.1.mlp.fc1.weight"])


def test_one_task_at_coefficient_one_is_that_task() -> None:
    """Base plus task vector, bit for bit, and nothing else moves."""
    adapter = random_adapter(1)
    merged = merge(BASE, [(adapter, ALL)])
    vectors = task_vector(adapter)
    assert set(merged) == set(BASE)
    for name, value in merged.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, BASE[name] + vectors[name] if name in vectors else BASE[name])


def test_no_task_is_the_backbone() -> None:
    """Without steps, and with coefficient 0, the backbone comes out bit-equal."""
    for steps in ([], [(random_adapter(1), {"*": 0.0})]):
        for name, value in merge(BASE, steps).items():
            assert value.tobytes() == BASE[name].tobytes()


@settings(max_examples=20, deadline=None)
@given(st.floats(-2, 2), st.integers(0, 50), st.integers(1, 4))
def test_adding_and_subtracting_is_the_identity(coefficient: float, seed: int, rank: int) -> None:
    """Merging a task and merging it with the opposite coefficient gives the backbone, within float32 rounding."""
    adapter = random_adapter(seed, rank=rank)
    merged = merge(merge(BASE, [(adapter, {"*": coefficient})]), [(adapter, {"*": -coefficient})])
    for name, value in merged.items():
        np.testing.assert_allclose(value, BASE[name], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(4)))
def test_order_does_not_matter(order: list[int]) -> None:
    """Any order of the same steps is the same model within float32 rounding."""
    steps = [(random_adapter(seed), {"*": 0.25 * (seed + 1)}) for seed in range(4)]
    expected = merge(BASE, steps)
    for name, value in merge(BASE, [steps[index] for index in order]).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6)


def test_merging_in_two_goes_is_merging_at_once() -> None:
    """Bit-equal in the same order, so that learning on top of a merged version is a longer recipe."""
    steps = [(random_adapter(seed), ALL) for seed in range(3)]
    at_once, in_two = merge(BASE, steps), merge(merge(BASE, steps[:2]), steps[2:])
    for name, value in at_once.items():
        assert value.tobytes() == in_two[name].tobytes()


def test_updates_are_summed_dense() -> None:
    """Two adapters are B1 A1 + B2 A2; summing A and B apart is another model."""
    one, two = random_adapter(1), random_adapter(2)
    name, target = "blocks.1.attn.qkv.weight", "blocks.1.attn.qkv"
    merged = merge(BASE, [(one, ALL), (two, ALL)])[name] - BASE[name]
    dense = task_vector(one)[name] + task_vector(two)[name]
    apart = one.scale * (one.b[target] + two.b[target]).astype(np.float32) @ (one.a[target] + two.a[target]).astype(np.float32)
    np.testing.assert_allclose(merged, dense, atol=1e-6)
    assert np.abs(merged - apart).max() > 1e-2


def test_a_coefficient_may_stand_for_one_layer() -> None:
    """A named target has its own coefficient, `*` is for the rest."""
    adapter = random_adapter(1)
    merged = merge(BASE, [(adapter, {"*": 1.0, "blocks.1.mlp.fc2": 0.0})])
    np.testing.assert_array_equal(merged["blocks.1.mlp.fc2.weight"], BASE["blocks.1.mlp.fc2.weight"])
    assert (merged["blocks.1.mlp.fc1.weight"] != BASE["blocks.1.mlp.fc1.weight"]).any()
    assert coefficient_of({"*": 0.5, "a": 0.25}, "a") == 0.25
    with pytest.raises(BadInput, match=r"no coefficient for 'blocks.1.attn.qkv' and no '\*'; it names \['blocks.0.attn.qkv'\]"):
        coefficient_of({"blocks.0.attn.qkv": 1.0}, "blocks.1.attn.qkv")


def test_the_arguments_stay_as_they_were() -> None:
    """The backbone's arrays are not written to."""
    base = {name: value.copy() for name, value in BASE.items()}
    merge(base, [(random_adapter(1), ALL)])
    for name, value in base.items():
        np.testing.assert_array_equal(value, BASE[name])


def test_another_backbones_adapter_is_refused() -> None:
    """A target that is not there, or of another shape, is named with both shapes."""
    wide = random_adapter(1, architecture=replace(TINY, width=16))
    with pytest.raises(
        BadInput, match=r"changes blocks.1.attn.qkv.weight \(48, 16\), but the backbone has \(96, 32\) there. It belongs to ano"
    ):
        merge(BASE, [(wide, ALL)])
    deep = random_adapter(1, first_block=2, architecture=replace(TINY, depth=3))
    with pytest.raises(BadInput, match=r"changes blocks.2.attn.qkv.weight .* but the backbone has nothing there"):
        merge(BASE, [(deep, ALL)])


def test_an_adapter_without_targets_changes_nothing() -> None:
    """The smallest adapter."""
    empty = Adapter(rank=1, alpha=1.0, a={}, b={})
    assert task_vector(empty) == {}
    assert merge({}, [(empty, {})]) == {}


def test_a_task_vector_has_the_same_bits_on_every_machine() -> None:
    """Rank by rank, each product exact, each sum rounded once: numpy's scalar arithmetic gives the very same numbers."""
    random = np.random.default_rng(0)
    a, b = (random.normal(0, 0.1, shape).astype(np.float16) for shape in ((8, 5), (3, 8)))
    vector = task_vector(Adapter(8, 16.0, {"blocks.0.attn.qkv": a}, {"blocks.0.attn.qkv": b}))["blocks.0.attn.qkv.weight"]
    for row in range(3):
        for column in range(5):
            total = np.float32(0)
            for rank in range(8):
                total = np.float32(total + np.float32(b[row, rank]) * np.float32(a[rank, column]))
            assert vector[row, column] == np.float32(2) * total
