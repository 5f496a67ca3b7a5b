"""Backbones: what is supported, what a weights file must hold, and the hub."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import save_file
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

from edgecl.architecture import Architecture, state_shapes
from edgecl.backbone import TESTED, architecture_of, build, check_state, load_pretrained, random_state, read_weights_file
from edgecl.backbone import plain as plain_module
from edgecl.backbone.plain import _strangers as strangers
from edgecl.backbone.vit import WRITTEN_OUT_TOKENS
from edgecl.errors import BadInput, BadWeights, UnsupportedBackbone
from edgecl.layout import backbone_from_deployment, to_deployment
from tests.export.models import KINDS, random_head, scenes
from tests.export.models import random_state as numbered_state
from tests.teaching import TINY

NAME = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as timm saves it, with a head of seven classes, random."""
    model = timm.create_model(NAME, pretrained=False, num_classes=7)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file({name: value.numpy() for name, value in model.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("name", TESTED)
def test_supported_names_have_an_architecture(name: str) -> None:
    """The numbers fix every shape that timm's own model has, and pictures enter as timm's configuration says."""
    architecture = architecture_of(name)
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == state_shapes(architecture)
    config = timm.data.resolve_model_data_config(model)
    assert config["input_size"] == (3, architecture.image_size, architecture.image_size)
    assert (architecture.mean, architecture.std) == (config["mean"], config["std"])
    assert (architecture.crop_pct, architecture.interpolation) == (config["crop_pct"], config["interpolation"])


def test_architectures_of_the_first_release_have_no_new_fields() -> None:
    """Their JSON, and so their keys and engines, are what they were."""
    fields = architecture_of("vit_tiny_patch16_224").to_json()
    assert set(fields) == {
        *("backbone", "image_size", "patch_size", "width", "depth", "heads", "mlp_width", "norm_eps", "layer_scale"),
        *("mean", "std", "interpolation", "crop_pct"),
    }
    assert set(architecture_of("vit_small_patch14_reg4_dinov2").to_json()) - set(fields) == {"registers", "prefix_positions"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_json_and_deployment_bring_a_model_back(kind: str) -> None:
    """`from_json` reads every field, a misspelt one is refused, and the deployment layout computes what the original does."""
    architecture = KINDS[kind]
    assert Architecture.from_json(architecture.to_json()) == architecture
    with pytest.raises(BadInput, match=r"fields differ from what this edgecl knows \(architecture: 'register' is unknown\)"):
        Architecture.from_json({**architecture.to_json(), "register": 4})
    state, head = numbered_state(architecture), random_head(architecture.width)
    again = backbone_from_deployment(to_deployment(state, *head, architecture), architecture)
    assert {name: value.shape for name, value in again.items()} == state_shapes(architecture)
    pictures = torch.from_numpy(scenes(architecture.image_size, 2))
    torch.testing.assert_close(build(architecture, again)(pictures), build(architecture, state)(pictures), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_computes_what_timms_own_model_does(kind: str) -> None:
    """The cut model, whose last block sees the class token alone, against timm's whole forward pass up to the classifier."""
    architecture = KINDS[kind]
    vit = build(architecture, numbered_state(architecture))
    pictures = torch.from_numpy(scenes(architecture.image_size, 2))
    with torch.no_grad():
        expected = vit.model.forward_head(vit.model.forward_features(vit.normalised(pictures)), pre_logits=True)
    for cut in range(architecture.depth):
        torch.testing.assert_close(vit.upper(vit.lower(pictures, cut), cut), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "timm has no model of this name"),
        ("vit_gigantic", "timm has no model of this name"),
        ("edgecl_vit_nan", "timm has no model of this name (did you mean edgecl_vit_nano?)"),
        ("resnet18", "it is a ResNet, not a plain VisionTransformer"),
        ("swin_tiny_patch4_window7_224", "it is a SwinTransformer, not a plain VisionTransformer"),
        ("deit_tiny_distilled_patch16_224", "it is a VisionTransformerDistilled, not a plain VisionTransformer"),
        ("vit_base_patch16_siglip_224", "it pools by 'map', not by class token or average of the patches"),
        ("vit_small_r26_s32_224", "its patch embedding is not a single convolution of rgb"),
        ("vit_pwee_patch16_reg1_gap_256", "its blocks are ParallelScalingBlock of NoneType and NoneType, not Block of Attention and Mlp"),
        ("vit_giant_patch14_dinov2", "its blocks are Block of Attention and GluMlp, not Block of Attention and Mlp"),
    ],
)
def test_others_are_refused_with_what_is_strange_in_them(name: str, reason: str) -> None:
    """The part that the graph writer does not know, and the list of what was tested."""
    with pytest.raises(UnsupportedBackbone) as caught:
        architecture_of(name)
    assert str(caught.value).startswith(f"the backbone {name!r} is not supported: {reason}")
    assert "tested are: vit_tiny_patch16_224, " in str(caught.value)


def test_unknown_weights_of_a_known_model_are_refused() -> None:
    """timm's tag after the dot."""
    with pytest.raises(UnsupportedBackbone, match=r"timm does not know the weights .vit_tiny_patch16_224\.nonsense."):
        architecture_of("vit_tiny_patch16_224.nonsense")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"qk_norm": True}, "its attention or MLP has norms or gates inside"),
        ({"act_layer": torch.nn.ReLU}, "its activation is ReLU, not GELU"),
        ({"pos_embed": "none"}, "it has no learned positions"),
        ({"final_norm": False}, "it has no single norm at its end"),
        ({"dynamic_img_size": True}, "its pictures or patches are not square and of one size"),
        ({"img_size": (32, 48)}, "its pictures or patches are not square and of one size"),
        ({"proj_bias": False}, "its Linear layers have no bias"),
        ({"global_pool": "avg", "pool_include_prefix": True}, "it pools by 'avg', not by class token or average of the patches"),
    ],
)
def test_each_strange_part_is_found(change: dict[str, object], reason: str) -> None:
    """On timm's own class with one argument changed; without any change nothing is strange."""
    plain = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
    assert list(strangers(VisionTransformer(**plain))) == []
    assert list(strangers(VisionTransformer(**{**plain, **change}))) == [reason]


def test_a_name_that_no_test_knows_is_compared_with_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another plain ViT is taken after one picture through both models, and refused where they differ."""
    monkeypatch.setattr(plain_module, "TESTED", ())
    assert architecture_of(NAME).width == 192
    monkeypatch.setattr(plain_module, "LIKENESS", -1.0)
    with pytest.raises(UnsupportedBackbone, match=r"built from its numbers alone it answers otherwise \([0-9.e-]+ of the spread\)"):
        architecture_of(NAME)


def test_positions_are_resampled_for_another_picture_size(weights: Path) -> None:
    """As timm does it when it loads weights for another size; without the option another size is refused."""
    pretrained = load_pretrained(NAME, weights, image_size=160)
    assert (pretrained.architecture.image_size, pretrained.architecture.tokens) == (160, 101)
    model = timm.create_model(NAME, pretrained=False, num_classes=7, img_size=160)
    timm.models.load_checkpoint(model, str(weights), filter_fn=checkpoint_filter_fn)
    np.testing.assert_allclose(pretrained.state["pos_embed"], model.state_dict()["pos_embed"].numpy(), atol=1e-6)
    assert load_pretrained(NAME, weights, image_size=224).state["pos_embed"].shape == (1, 197, 192)
    with pytest.raises(UnsupportedBackbone, match="not supported: 100 pixels do not divide into patches of 16; take a multiple"):
        load_pretrained(NAME, weights, image_size=100)


def test_our_model_computes_what_timms_does(weights: Path) -> None:
    """Built from the architecture's numbers alone, with timm's weights."""
    pretrained = load_pretrained(NAME, weights)
    model = timm.create_model(NAME, pretrained=False, num_classes=7)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in read_weights_file(weights).items()})
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8))
    normal = (pictures.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        expected = model.eval().forward_head(model.forward_features(normal), pre_logits=True)
    torch.testing.assert_close(build(pretrained.architecture, pretrained.state)(pictures), expected, atol=1e-5, rtol=1e-4)
    assert pretrained.head_weight is not None
    assert pretrained.head_weight.shape == (7, 192)
    assert pretrained.source == "tiny.safetensors"


def test_half_precision_files_become_float32(tmp_path: Path) -> None:
    """bfloat16, too, which numpy does not know."""
    from safetensors.torch import save_file as save_torch

    save_torch({"a": torch.ones(2, dtype=torch.bfloat16), "b": torch.ones(2, dtype=torch.float16)}, tmp_path / "half.safetensors")
    assert {value.dtype for value in read_weights_file(tmp_path / "half.safetensors").values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("how", ["zip", "plain"])
def test_pickles_are_refused_with_the_line_that_converts_them(tmp_path: Path, how: str) -> None:
    """By their first bytes, whatever they are called; and the line works."""
    path = tmp_path / "model.safetensors"
    if how == "zip":
        torch.save({"a": torch.ones(3)}, path)
    else:
        path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(
        BadWeights, match=r"is a pickle, which can run code when it is opened\. Convert it on a machine you trust"
    ) as caught:
        read_weights_file(path)
    if how == "zip":
        path.rename(tmp_path / "model.pth")
        with pytest.raises(BadWeights) as caught:
            read_weights_file(tmp_path / "model.pth")
        line = str(caught.value).split(' -c "')[1].removesuffix('"')
        subprocess.run([sys.executable, "-c", line], cwd=tmp_path, check=True)
        assert read_weights_file(tmp_path / "model.safetensors")["a"].tolist() == [1, 1, 1]


def test_missing_and_damaged_files_are_sentences(tmp_path: Path) -> None:
    """No traceback of a library."""
    with pytest.raises(BadWeights, match=r"cannot be read: No such file or directory\. Expected a \.safetensors file"):
        read_weights_file(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{}")
    with pytest.raises(BadWeights, match="is not a safetensors file"):
        read_weights_file(tmp_path / "cut.safetensors")


def test_another_models_weights_are_refused_with_the_first_differences() -> None:
    """Missing, unexpected, other shapes, not finite: all at once, three by name."""
    state = random_state(TINY, 0)
    check_state({**state, "head.weight": np.zeros((3, 32))}, TINY, "fine.safetensors")
    wrong = dict(state)
    del wrong["cls_token"]
    wrong["extra"] = np.zeros(1)
    wrong["norm.bias"] = np.zeros(33)
    wrong["norm.weight"] = np.full(32, np.nan)
    with pytest.raises(BadWeights) as caught:
        check_state(wrong, TINY, "x.safetensors")
    text = str(caught.value)
    assert "x.safetensors does not hold vit_tiny_test: cls_token is missing; extra is not part of it; norm.weight holds values" in text
    assert "and 1 more. Check --backbone against the file." in text


class Hub(BaseHTTPRequestHandler):
    """A model hub with one file, as far as its client asks: the file's description, then its bytes."""

    content = b""
    asked: list[str] = []  # noqa: RUF012

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(self.content)

    def _answer(self, body: bytes) -> None:
        Hub.asked.append(self.path)
        known = self.path.endswith("/model.safetensors")
        self.send_response(200 if known else 404)
        if known:
            self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(self.content) if known else 0))
        self.end_headers()
        if known:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hub(weights: Path) -> Iterator[str]:
    """The address of a hub on this machine that has the weights (with timm's thousand classes)."""
    model = timm.create_model(NAME, pretrained=False)
    path = weights.parent / "hub.safetensors"
    save_file({name: value.numpy() for name, value in model.state_dict().items()}, path)
    Hub.content, Hub.asked = path.read_bytes(), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


ASK = f"""
import json, sys
from edgecl.backbone import load_pretrained
from edgecl.errors import EdgeclError
try:
    found = load_pretrained({NAME!r})
    print(json.dumps([found.source, len(found.state), list(found.head_weight.shape)]))
except EdgeclError as error:
    print(json.dumps(["error", error.exit_code, str(error)]))
"""


def ask(home: Path, endpoint: str) -> list[object]:
    """`load_pretrained` without a file, in a process whose hub is `endpoint`; its client reads the address at import."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    environment["NO_PROXY"] = environment["no_proxy"] = "127.0.0.1"
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_weights_come_from_the_hub_by_timms_name(hub: str, tmp_path: Path) -> None:
    """The real client against a hub on this machine."""
    assert ask(tmp_path, hub) == [f"hub:{NAME}", 150, [1000, 192]]
    assert any("timm/vit_tiny_patch16_224" in path for path in Hub.asked)


@pytest.mark.slow  # the hub client tries for most of a minute
def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    """Nothing listens there."""
    kind, code, text = ask(tmp_path, "http://127.0.0.1:9")
    assert (kind, code) == ("error", 4)
    assert str(text).startswith(f"the weights of {NAME} could not be fetched from the hub")
    assert str(text).endswith("pass a local file with --weights FILE.safetensors, or take edgecl_vit_nano, which comes with edgecl.")


def test_attention_is_written_out_only_where_its_gradient_is_wanted_in_16_bits() -> None:
    """On a CPU, and for few tokens; a later pass without a gradient is fused again, so no answer depends on what was computed before it."""
    vit = build(TINY, random_state(TINY, 0))
    tokens = torch.randn(2, TINY.tokens, TINY.width)

    def fused_after(*, grad: bool, mixed: bool, tokens: torch.Tensor = tokens) -> list[bool]:
        with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            vit.upper(tokens, 1)
        return [block.attn.fused_attn for block in vit.model.blocks]

    before = vit.upper(tokens, 0)
    assert fused_after(grad=True, mixed=True) == [True, False]
    assert fused_after(grad=False, mixed=True) == [True, True]
    assert fused_after(grad=True, mixed=False) == [True, True]
    assert fused_after(grad=True, mixed=True, tokens=torch.randn(1, WRITTEN_OUT_TOKENS + 1, TINY.width)) == [True, True]
    fused_after(grad=True, mixed=True)
    with torch.no_grad():
        torch.testing.assert_close(vit.upper(tokens, 0), before, rtol=0, atol=0)


def test_both_forms_of_attention_have_the_same_gradient() -> None:
    """Within the rounding of bfloat16."""
    gradients = []
    for limit in (0, WRITTEN_OUT_TOKENS):
        vit = build(TINY, random_state(TINY, 0))
        weight = vit.model.blocks[0].attn.qkv.weight.requires_grad_(True)
        tokens = torch.randn(4, TINY.tokens, TINY.width, generator=torch.Generator().manual_seed(0))
        with mock.patch("edgecl.backbone.vit.WRITTEN_OUT_TOKENS", limit), torch.autocast("cpu", torch.bfloat16):
            vit.upper(tokens, 0)[:, :3].float().sum().backward()
        gradients.append(weight.grad)
    assert float(gradients[0].norm()) > 0
    assert float((gradients[0] - gradients[1]).norm()) < 0.03 * float(gradients[0].norm())
