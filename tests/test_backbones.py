"""The backbone that edgecl brings: its file, its model card, and that it truly sees."""

import hashlib
import json
import re

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from timm.models.vision_transformer import VisionTransformer

from edgecl.architecture import state_shapes
from edgecl.backbone import build, load_pretrained, random_state
from edgecl.backbones import NANO, weights_file
from edgecl.demo.render import THINGS, render
from edgecl.errors import BadWeights, UnsupportedBackbone
from edgecl.head import fit_head
from edgecl.preprocess import geometry_of, to_input

FILE = weights_file(NANO.backbone)


def test_the_file_is_small_and_holds_the_backbone_and_nothing_else() -> None:
    """At most 6 MB of fp16 under timm's names, without a classifier; its metadata name it and hold what it was made by, with its hash."""
    assert FILE.stat().st_size <= 6_000_000
    with safe_open(FILE, "pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - a safe_open is no dict
        kinds = {file.get_slice(name).get_dtype() for name in shapes}
        made_by = file.metadata()
    assert (shapes, kinds) == (state_shapes(NANO), {"F16"})
    assert made_by["name"] == NANO.backbone
    assert made_by["recipe_sha256"] == hashlib.sha256(made_by["recipe"].encode()).hexdigest()
    assert json.loads(made_by["recipe"])["patch_size"] == NANO.patch_size


def test_the_model_card_is_about_this_file() -> None:
    """It names the file's own sha256, so new weights without a new card are seen."""
    card = FILE.with_suffix(".md").read_text(encoding="utf-8")
    assert re.findall(r"\b[0-9a-f]{64}\b", card) == [hashlib.sha256(FILE.read_bytes()).hexdigest()]


def test_it_is_loaded_in_float32_and_says_where_from() -> None:
    """Without a file and without a network; no classifier comes along."""
    pretrained = load_pretrained(NANO.backbone)
    assert pretrained.architecture == NANO
    assert (pretrained.source, pretrained.head_weight) == ("edgecl:edgecl_vit_nano", None)
    assert {value.dtype for value in pretrained.state.values()} == {np.dtype(np.float32)}


def test_timms_own_class_answers_the_same() -> None:
    """It is a plain VisionTransformer of timm by its numbers, with the weights under timm's names."""
    theirs = VisionTransformer(img_size=96, patch_size=NANO.patch_size, embed_dim=192, depth=6, num_heads=3, num_classes=0).eval()
    pretrained = load_pretrained(NANO.backbone)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in pretrained.state.items()})
    ours = build(NANO, pretrained.state)
    pictures = torch.from_numpy(np.stack([to_input(render(thing, seed=5), geometry_of(NANO)) for thing in THINGS[:3]]))
    with torch.no_grad():
        torch.testing.assert_close(ours(pictures), theirs(ours.normalised(pictures)), rtol=1e-4, atol=1e-4)


def test_another_size_resamples_its_positions() -> None:
    """In whole patches; another size is refused with a remedy."""
    larger = load_pretrained(NANO.backbone, image_size=144)
    assert larger.state["pos_embed"].shape == (1, (144 // NANO.patch_size) ** 2 + 1, 192)
    with pytest.raises(
        UnsupportedBackbone, match=f"100 pixels do not divide into patches of {NANO.patch_size}; take a multiple, such as 96"
    ):
        load_pretrained(NANO.backbone, image_size=100)


def test_weights_of_another_backbone_do_not_pass_for_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file is held against it as against any other."""
    from safetensors.numpy import save_file

    path = tmp_path_factory.mktemp("weights") / "other.safetensors"
    save_file({"cls_token": np.zeros((1, 1, 384), np.float32)}, path)
    with pytest.raises(BadWeights, match=r"does not hold edgecl_vit_nano: .* Check --backbone against the file"):
        load_pretrained(NANO.backbone, path)


def test_it_sees_what_random_numbers_do_not() -> None:
    """Four pictures of each drawn thing are enough for a linear head on its features to name nearly all new ones."""
    count, rows = len(THINGS), np.tile(np.arange(len(THINGS)), 8)
    pictures = torch.from_numpy(np.stack([to_input(render(thing, seed=seed), geometry_of(NANO)) for seed in range(8) for thing in THINGS]))

    def right(state: dict[str, NDArray[np.float32]]) -> float:
        with torch.no_grad():
            features = build(NANO, state)(pictures).numpy()
        head = fit_head(features[: 4 * count], rows[: 4 * count], capacity=16)
        return float(np.mean(head.logits(features[4 * count :]).argmax(axis=1) == rows[4 * count :]))

    trained, untrained = right(load_pretrained(NANO.backbone).state), right(random_state(NANO, seed=0))
    assert trained >= 0.9
    assert untrained <= trained - 0.2
