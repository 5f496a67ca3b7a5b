"""Attaching, training and detaching adapters."""

import numpy as np
import pytest
import torch
from torch import nn

from edgecl.adapter import Adapter, adapter_files, adapter_hash
from edgecl.architecture import linear_targets
from edgecl.backbone import build, random_state
from edgecl.lora import LoRALinear, attach, attached, detach
from edgecl.merge import merge
from tests.teaching import TINY

PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
TARGETS = linear_targets(TINY, 1)


def random_adapter(seed: int, rank: int = 2) -> Adapter:
    """A and B as large as trained ones."""
    vit = build(TINY, random_state(TINY, 0))
    layers = attach(vit.model, TARGETS, rank=rank, alpha=4.0, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers.values():
            layer.b.normal_(0, 0.1, generator=generator)
    return detach(vit.model, layers, rank=rank, alpha=4.0)


def test_a_fresh_adapter_changes_nothing_and_detaching_leaves_nothing() -> None:
    """B starts at zero; afterwards the Linears are the very same objects."""
    vit = build(TINY, random_state(TINY, 0))
    before = vit(PICTURES)
    originals = [vit.model.get_submodule(target) for target in TARGETS]
    layers = attach(vit.model, TARGETS, rank=2, alpha=4.0, seed=0)
    torch.testing.assert_close(vit(PICTURES), before)
    detach(vit.model, layers, rank=2, alpha=4.0)
    assert [vit.model.get_submodule(target) for target in TARGETS] == originals


def test_a_is_a_function_of_the_seed() -> None:
    """Equal seeds, equal A; another seed, another A."""
    first, again, other = (
        attach(build(TINY, random_state(TINY, 0)).model, TARGETS, rank=2, alpha=4.0, seed=seed)["blocks.1.attn.qkv"].a for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_layer_computes_the_papers_formula() -> None:
    """h = W x + b + alpha / rank * B A x."""
    linear = nn.Linear(5, 3)
    layer = LoRALinear(linear, rank=2, alpha=6.0, generator=torch.Generator().manual_seed(0))
    nn.init.normal_(layer.b)
    x = torch.randn(4, 5)
    expected = x @ linear.weight.T + linear.bias + 3.0 * (x @ layer.a.T) @ layer.b.T
    torch.testing.assert_close(layer(x), expected)


def test_live_adapters_equal_merged_ones() -> None:
    """Two adapters beside the weights, each times its coefficient, against the numpy merge."""
    state = random_state(TINY, 0)
    adapters, coefficients = [random_adapter(1), random_adapter(2)], [1.0, 0.5]
    vit = build(TINY, state)
    with attached(vit.model, adapters, coefficients):
        live = vit(PICTURES)
    steps = [(adapter, {"*": c}) for adapter, c in zip(adapters, coefficients, strict=True)]
    merged = build(TINY, merge(state, steps))(PICTURES)
    torch.testing.assert_close(live, merged, rtol=1e-4, atol=1e-4)
    assert (merged - build(TINY, state)(PICTURES)).abs().max() > 0.01
    torch.testing.assert_close(vit(PICTURES), build(TINY, state)(PICTURES))


def test_what_is_no_linear_is_refused() -> None:
    """A norm has no input and output features."""
    with pytest.raises(TypeError, match=r"blocks\.0\.norm1 is a LayerNorm; an adapter needs a Linear"):
        attach(build(TINY, random_state(TINY, 0)).model, ["blocks.0.norm1"], rank=2, alpha=4.0, seed=0)


def test_detached_factors_are_fp16_and_hash_alike() -> None:
    """What is merged here is what another board gets."""
    adapter = random_adapter(1)
    assert {a.dtype for a in (*adapter.a.values(), *adapter.b.values())} == {np.dtype(np.float16)}
    assert adapter_hash(adapter_files(adapter, "x")) == adapter_hash(adapter_files(random_adapter(1), "x"))


@pytest.mark.slow
def test_the_real_peft_loads_the_folder_and_agrees_with_our_merge(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """On a timm model with the parent's weights, PEFT's own merge of the folder equals ours, for any coefficient."""
    from peft import PeftModel

    parent = random_state(TINY, 3)
    adapter = random_adapter(4)
    for name, data in adapter_files(adapter, TINY.backbone).items():
        (tmp_path / name).write_bytes(data)
    for coefficient in (0.5, 1.0):
        model = PeftModel.from_pretrained(build(TINY, parent).model, str(tmp_path))
        for module in model.modules():
            if hasattr(module, "scaling") and "default" in module.scaling:
                module.scaling["default"] *= coefficient
        theirs = model.merge_and_unload().state_dict()
        ours = merge(parent, [(adapter, {"*": coefficient})])
        assert set(theirs) == set(ours)
        for name, value in ours.items():
            np.testing.assert_allclose(theirs[name].numpy(), value, atol=1e-5)
