"""Which of timm's models edgecl knows, and the numbers of one: by what the model is made of, not by its name alone."""

import difflib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from edgecl.architecture import Architecture, state_shapes
from edgecl.backbone.vit import build
from edgecl.backbones import NANO
from edgecl.errors import MissingExtra, UnsupportedBackbone
from edgecl.preprocess import RESAMPLING

try:
    import timm
    from timm.data.config import resolve_model_data_config
    from timm.layers import QuickGELU
    from timm.layers.mlp import Mlp
    from timm.layers.patch_embed import PatchEmbed
    from timm.models.vision_transformer import Attention, Block, VisionTransformer  # type: ignore[attr-defined]
except ImportError as error:
    raise MissingExtra.of("timm", "learn", "Loading a backbone") from error

# Of every one of these a test compares the shapes with timm's, and of each kind among them the answers. Others of the same make are taken after
# one picture through both models.
TESTED = (
    "vit_tiny_patch16_224",
    "vit_small_patch16_224",
    "vit_base_patch16_224",
    "vit_tiny_patch16_384",
    "vit_small_patch16_384",
    "vit_small_patch32_224",
    "vit_base_patch32_224",
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "deit3_small_patch16_224",
    "deit3_base_patch16_224",
    "vit_small_patch14_dinov2",
    "vit_base_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2",
    "vit_base_patch14_reg4_dinov2",
    "vit_base_patch16_clip_224",
    "vit_base_patch32_clip_224",
    "vit_base_patch16_clip_quickgelu_224",
    "vit_medium_patch16_gap_240",
    "vit_little_patch16_reg4_gap_256",
    "vit_medium_patch16_reg4_gap_256",
)
LIKENESS = 1e-3  # largest difference of a feature to timm's own model, as a part of their spread


def architecture_of(name: str, image_size: int | None = None) -> Architecture:
    """The numbers of a timm model; builds it without weights to read them.

    Args:
        image_size: pixels; without it those that the weights were trained with.

    Raises:
        UnsupportedBackbone: timm does not know the name, or the model has a part that the graph writer does not; names it.
    """
    model = _create(name, image_size)
    reasons = list(_strangers(model))
    if reasons:
        raise _unsupported(name, "; ".join(reasons))
    architecture = _read(model, name)
    found = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if found != state_shapes(architecture):
        odd = sorted(set(found.items()) ^ set(state_shapes(architecture).items()))
        raise _unsupported(name, f"its tensor {odd[0][0]} {list(odd[0][1])} has no place in a plain ViT")
    if name.split(".")[0] not in TESTED:
        _compare(_create(name, image_size, "cpu"), architecture)
    return architecture


def _create(name: str, image_size: int | None, device: str = "meta") -> Any:
    """timm's model without weights; on the device `meta` without memory for them either."""
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, (NANO.backbone, *TESTED), n=1)
        raise _unsupported(name, "timm has no model of this name" + (f" (did you mean {near[0]}?)" if near else ""))
    size: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    try:
        with torch.device(device):
            return timm.create_model(name, pretrained=False, num_classes=0, **size)
    except RuntimeError as error:
        if device == "meta":  # some of timm's models and releases compute while they are built
            return _create(name, image_size, "cpu")
        raise UnsupportedBackbone(
            f"timm does not know the weights {name!r} ({error}). Leave the tag after the dot out for the default ones."
        ) from error
    except (TypeError, AssertionError) as error:
        raise _unsupported(name, f"timm does not build it for {image_size} pixels ({error})") from error


def _unsupported(name: str, reason: str) -> UnsupportedBackbone:
    return UnsupportedBackbone(
        f"the backbone {name!r} is not supported: {reason}. Plain Vision Transformers of timm are; tested are: {', '.join(TESTED)}. "
        f"{NANO.backbone} comes with edgecl"
    )


def _strangers(model: Any) -> Iterator[str]:
    """What in a timm model the graph writer does not know, in words."""
    if type(model) is not VisionTransformer:
        yield f"it is a {type(model).__name__}, not a plain VisionTransformer"
        return
    embed, config = model.patch_embed, _data_config(model)
    if type(embed) is not PatchEmbed or not isinstance(embed.norm, nn.Identity) or embed.proj.in_channels != 3:
        yield "its patch embedding is not a single convolution of rgb"
    elif len(set(embed.img_size)) != 1 or len(set(embed.patch_size)) != 1 or model.dynamic_img_size:
        yield "its pictures or patches are not square and of one size"
    elif embed.img_size[0] % embed.patch_size[0]:
        yield f"{embed.img_size[0]} pixels do not divide into patches of {embed.patch_size[0]}; take a multiple"
    if model.pos_embed is None:
        yield "it has no learned positions"
    if model.attn_pool is not None or model.global_pool not in ("token", "avg") or model.pool_include_prefix:
        yield f"it pools by {model.global_pool!r}, not by class token or average of the patches"
    if isinstance(model.norm, nn.Identity) == isinstance(model.fc_norm, nn.Identity):
        yield "it has no single norm at its end"
    for block in model.blocks:
        if strange := _strange_block(block):
            yield strange
            break
    if config["crop_mode"] != "center" or config["interpolation"] not in RESAMPLING:
        yield f"its pictures are cut by {config['crop_mode']!r} and resized by {config['interpolation']!r}"


def _strange_block(block: Any) -> str | None:
    if type(block) is not Block or type(block.attn) is not Attention or type(block.mlp) is not Mlp:
        return f"its blocks are {type(block).__name__} of {_name(block, 'attn')} and {_name(block, 'mlp')}, not Block of Attention and Mlp"
    attention, mlp = block.attn, block.mlp
    inner = (attention.q_norm, attention.k_norm, getattr(attention, "norm", nn.Identity()), mlp.norm)
    if not all(isinstance(module, nn.Identity) for module in inner) or getattr(attention, "gate", None) is not None:
        return "its attention or MLP has norms or gates inside"
    if attention.proj.bias is None or mlp.fc1.bias is None:
        return "its Linear layers have no bias"
    if not (isinstance(mlp.act, QuickGELU) or (isinstance(mlp.act, nn.GELU) and mlp.act.approximate == "none")):
        return f"its activation is {type(mlp.act).__name__}, not GELU"
    return None


def _name(block: Any, part: str) -> str:
    return type(getattr(block, part, None)).__name__


def _read(model: Any, name: str) -> Architecture:
    config, block = _data_config(model), model.blocks[0]
    return Architecture(
        backbone=name,
        image_size=model.patch_embed.img_size[0],
        patch_size=model.patch_embed.patch_size[0],
        width=model.embed_dim,
        depth=len(model.blocks),
        heads=block.attn.num_heads,
        mlp_width=block.mlp.fc1.out_features,
        norm_eps=block.norm1.eps,
        layer_scale=not isinstance(block.ls1, nn.Identity),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        crop_pct=config["crop_pct"],
        class_token=model.cls_token is not None,
        registers=model.num_reg_tokens,
        prefix_positions=not model.no_embed_class or model.num_prefix_tokens == 0,
        pre_norm=not isinstance(model.norm_pre, nn.Identity),
        qkv_bias=block.attn.qkv.bias is not None,
        activation="quick_gelu" if isinstance(block.mlp.act, QuickGELU) else "gelu",
        pooling="token" if model.global_pool == "token" else "average",
        norm_after_pooling=isinstance(model.norm, nn.Identity),
    )


def _data_config(model: Any) -> dict[str, Any]:
    """How timm says that pictures enter the model."""
    return dict(resolve_model_data_config(model))  # type: ignore[no-untyped-call]


def _compare(model: Any, architecture: Architecture) -> None:
    """Ask timm's model and ours for the features of one picture: the last guard for a name that no test knows."""
    size = architecture.image_size
    picture = torch.randint(0, 256, (1, size, size, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    ours = build(architecture, {name: value.numpy() for name, value in model.state_dict().items()})
    with torch.no_grad():
        expected = model.eval().forward_head(model.forward_features(ours.normalised(picture)), pre_logits=True)
        difference = float((ours(picture) - expected).abs().max() / (expected.max() - expected.min()))
    if not difference <= LIKENESS:
        raise _unsupported(architecture.backbone, f"built from its numbers alone it answers otherwise ({difference:.2g} of the spread)")
