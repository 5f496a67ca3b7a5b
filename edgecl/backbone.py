"""timm's plain Vision Transformers to and from plain names and arrays. The only file that knows timm.

A backbone enters as `(Architecture, state)`: numbers and float32 arrays under timm's own names. Whatever the graph writer does not know
is refused here, at `edgecl init`, and not at the first export.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from edgecl.architecture import Architecture, state_shapes
from edgecl.errors import BadInput, BadWeights, MissingExtra, UnsupportedBackbone

try:
    import timm
    from timm.models.vision_transformer import VisionTransformer
except ImportError as error:
    raise MissingExtra.of("timm", "learn", "Loading a backbone") from error

Array = NDArray[Any]

SUPPORTED = (
    "vit_tiny_patch16_224",
    "vit_small_patch16_224",
    "vit_base_patch16_224",
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
)


@dataclass(frozen=True)
class Pretrained:
    """A backbone as it came, with the classifier that came with it, if any."""

    architecture: Architecture
    state: dict[str, Array]  # timm names, float32, no head
    head_weight: Array | None  # [c, d]
    head_bias: Array | None  # [c]
    source: str  # file name or hub id, for the record


def architecture_of(name: str) -> Architecture:
    """The numbers of a supported timm model; builds it without weights to read them.

    Raises:
        UnsupportedBackbone: the name is not on the list; the message names the list.
    """
    if name.split(".")[0] not in SUPPORTED:
        raise UnsupportedBackbone(f"the backbone {name!r} is not supported. Supported are: {', '.join(SUPPORTED)}")
    try:
        model: Any = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:
        raise UnsupportedBackbone(
            f"timm does not know the weights {name!r} ({error}). Leave the tag after the dot out for the default ones."
        ) from error
    config = model.pretrained_cfg
    block = model.blocks[0]
    return Architecture(
        backbone=name,
        image_size=config["input_size"][1],
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
    )


def load_pretrained(name: str, weights: Path | None = None) -> Pretrained:
    """A supported backbone with its weights, from a local safetensors file or, without one, from the hub through timm.

    Raises:
        UnsupportedBackbone: the graph writer does not know this backbone.
        BadWeights: the file is a pickle, is not safetensors, or holds another model.
        BadInput: no file was given and the hub cannot be reached.
    """
    architecture = architecture_of(name)
    if weights is not None:
        tensors, source = read_weights_file(weights), weights.name
    else:
        tensors, source = _from_hub(name), f"hub:{name}"
    check_state(tensors, architecture, source)
    state = {key: tensors[key] for key in state_shapes(architecture)}
    return Pretrained(architecture, state, tensors.get("head.weight"), tensors.get("head.bias"), source)


def read_weights_file(path: Path) -> dict[str, Array]:
    """Every tensor of a safetensors file as float32.

    Raises:
        BadWeights: not there, a pickle (with the line that converts it), or not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise BadWeights(f"the weights {path} cannot be read: {error.strerror}. Expected a .safetensors file.") from error
    if start.startswith((b"PK\x03\x04", b"\x80")):
        target = path.with_suffix(".safetensors").name
        line = f"from torch import load; from safetensors.torch import save_file; save_file(load('{path.name}', weights_only=True), '{target}')"
        raise BadWeights(
            f'{path.name} is a pickle, which can run code when it is opened. Convert it on a machine you trust: python -c "{line}"'
        )
    try:
        return {name: tensor.float().numpy() for name, tensor in load_file(path).items()}
    except (SafetensorError, ValueError) as error:
        raise BadWeights(f"{path.name} is not a safetensors file ({error}). Download it again, or convert the original.") from error


def check_state(tensors: Mapping[str, Array], architecture: Architecture, source: str) -> None:
    """Compare names and shapes with what the architecture needs, and refuse NaN and infinity.

    Raises:
        BadWeights: all differences at once, the first few by name.
    """
    expected = state_shapes(architecture)
    faults = [f"{name} is missing" for name in expected if name not in tensors]
    faults += [f"{name} is not part of it" for name in tensors if name not in expected and not name.startswith("head.")]
    for name, shape in expected.items():
        if name in tensors and tensors[name].shape != shape:
            faults.append(f"{name} is {list(tensors[name].shape)} instead of {list(shape)}")
        elif name in tensors and not np.isfinite(tensors[name]).all():
            faults.append(f"{name} holds values that are not finite")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise BadWeights(
            f"{source} does not hold {architecture.backbone}: {'; '.join(faults[:3])}{more}. Check --backbone against the file."
        )


def _from_hub(name: str) -> dict[str, Array]:
    """Every tensor of timm's pretrained model, through the hub or its local cache."""
    from huggingface_hub.errors import HfHubHTTPError

    # Without a network timm and the hub's client log a page of retries; one sentence says it better.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        model = timm.create_model(name, pretrained=True)
    except (OSError, HfHubHTTPError, RuntimeError) as error:
        raise BadInput(
            f"the weights of {name} could not be fetched from the hub ({type(error).__name__}). "
            "Connect this machine once, or pass a local file: --weights FILE.safetensors"
        ) from error
    return {key: value.detach().float().numpy() for key, value in model.state_dict().items()}


def build(architecture: Architecture, state: Mapping[str, Array]) -> "Vit":
    """A torch model of the architecture that holds `state`, frozen and in evaluation mode."""
    model = VisionTransformer(
        img_size=architecture.image_size,
        patch_size=architecture.patch_size,
        embed_dim=architecture.width,
        depth=architecture.depth,
        num_heads=architecture.heads,
        mlp_ratio=architecture.mlp_width / architecture.width,
        init_values=1.0 if architecture.layer_scale else None,
        norm_layer=_layer_norm(architecture.norm_eps),
        num_classes=0,
    )
    model.load_state_dict({name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in state.items()})
    model.requires_grad_(False)
    return Vit(model.eval(), architecture)


def random_state(architecture: Architecture, seed: int) -> dict[str, Array]:
    """An untrained backbone's tensors, a function of the seed alone; for demonstrations and tests."""
    generator = np.random.default_rng(seed)
    state: dict[str, Array] = {}
    for name, shape in state_shapes(architecture).items():
        if name.endswith("gamma") or ("norm" in name and name.endswith("weight")):
            state[name] = np.ones(shape, np.float32)
        elif name.endswith("bias"):
            state[name] = np.zeros(shape, np.float32)
        else:
            fan_in = int(np.prod(shape[1:])) if name.endswith("weight") else architecture.width * 2500
            state[name] = (generator.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
    return state


def _layer_norm(eps: float) -> Any:
    def make(width: int, **_: Any) -> nn.Module:
        return nn.LayerNorm(width, eps=eps)

    return make


class Vit(nn.Module):
    """A timm ViT cut in two: `lower` ends where adapters begin, `upper` goes on from its tokens.

    The cut lets everything below the first adapted block be computed once per picture, whatever is tried above it.
    """

    def __init__(self, model: nn.Module, architecture: Architecture) -> None:
        super().__init__()
        self.model: Any = model
        self.width = architecture.width
        self.recompute = False  # what blocks put out is computed again for the gradient instead of kept: slower, with less memory
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(architecture.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std).view(1, 3, 1, 1), persistent=False)

    def lower(self, pictures: Tensor, first_block: int) -> Tensor:
        """uint8 `[b, h, w, 3]` -> tokens `[b, n, d]` that enter block `first_block`."""
        x = pictures.permute(0, 3, 1, 2).float().div(255)
        x = (x - self.mean) / self.std
        x = self.model._pos_embed(self.model.patch_embed(x))
        for block in self.model.blocks[:first_block]:
            x = block(x)
        return x  # type: ignore[no-any-return]

    def upper(self, tokens: Tensor, first_block: int) -> Tensor:
        """Tokens `[b, n, d]` at block `first_block` -> features `[b, d]`."""
        *blocks, last = self.model.blocks[first_block:]
        for block in blocks:
            tokens = checkpoint(block, tokens, use_reentrant=False) if self.recompute else block(tokens)
        # Only the class token is read, so from the last attention on it goes alone; the norm works token by token.
        token = tokens[:, :1]
        token = token + last.ls1(_attend(last.attn, last.norm1(tokens)))
        token = token + last.ls2(last.mlp(last.norm2(token)))
        return self.model.norm(token[:, 0])  # type: ignore[no-any-return]

    def forward(self, pictures: Tensor) -> Tensor:
        """uint8 `[b, h, w, 3]` -> features `[b, d]`."""
        return self.upper(self.lower(pictures, 0), 0)


def _attend(attention: Any, tokens: Tensor) -> Tensor:
    """timm's attention for the first token's query alone: `[b, n, d] -> [b, 1, d]`."""
    b, n, d = tokens.shape
    q, k, v = attention.qkv(tokens).reshape(b, n, 3, attention.num_heads, attention.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
    mixed = functional.scaled_dot_product_attention(q[:, :, :1], k, v)
    return attention.proj(mixed.transpose(1, 2).reshape(b, 1, d))  # type: ignore[no-any-return]
