"""A plain ViT in torch: timm's own modules, put together from an architecture's numbers and cut where adapters begin."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from edgecl.architecture import Architecture
from edgecl.errors import MissingExtra

try:
    from timm.layers import QuickGELU
    from timm.models.vision_transformer import VisionTransformer
except ImportError as error:
    raise MissingExtra.of("timm", "learn", "Loading a backbone") from error

Array = NDArray[Any]
WRITTEN_OUT_TOKENS = 600  # up to which written-out attention needs no more memory than training in float32 (benchmarks/activations.py)
ACTIVATIONS = {"gelu": nn.GELU, "quick_gelu": QuickGELU}


def build(architecture: Architecture, state: Mapping[str, Array], device: str = "cpu") -> "Vit":
    """A torch model of the architecture that holds `state` on `device`, frozen and in evaluation mode."""
    model = VisionTransformer(
        img_size=architecture.image_size,
        patch_size=architecture.patch_size,
        embed_dim=architecture.width,
        depth=architecture.depth,
        num_heads=architecture.heads,
        mlp_ratio=(architecture.mlp_width + 0.5) / architecture.width,  # timm rounds down
        init_values=1.0 if architecture.layer_scale else None,
        norm_layer=_layer_norm(architecture.norm_eps),
        num_classes=0,
        class_token=architecture.class_token,
        reg_tokens=architecture.registers,
        no_embed_class=not architecture.prefix_positions,
        pre_norm=architecture.pre_norm,
        qkv_bias=architecture.qkv_bias,
        act_layer=ACTIVATIONS[architecture.activation],
        global_pool="token" if architecture.pooling == "token" else "avg",
        fc_norm=architecture.norm_after_pooling,
    )
    model.load_state_dict({name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in state.items()})
    model.requires_grad_(False)
    return Vit(model.eval(), architecture).to(device)


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
        self.recompute = False  # what blocks put out is computed again for the gradient instead of kept: slower, with less memory
        self.width, self.prefix, self.pooling = architecture.width, architecture.prefix, architecture.pooling
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(architecture.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std).view(1, 3, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where it computes; pictures and tokens are brought there."""
        return self.mean.device

    def normalised(self, pictures: Tensor) -> Tensor:
        """uint8 `[b, h, w, 3]` -> float32 `[b, 3, h, w]` as the backbone was trained with."""
        x = pictures.to(self.device).permute(0, 3, 1, 2).float().div(255)
        return (x - self.mean) / self.std

    def lower(self, pictures: Tensor, first_block: int) -> Tensor:
        """uint8 `[b, h, w, 3]` -> tokens `[b, n, d]` that enter block `first_block`."""
        x = self.model.norm_pre(self.model._pos_embed(self.model.patch_embed(self.normalised(pictures))))
        for block in self._with_attention(self.model.blocks[:first_block], x):
            x = block(x)
        return x  # type: ignore[no-any-return]

    def upper(self, tokens: Tensor, first_block: int) -> Tensor:
        """Tokens `[b, n, d]` at block `first_block` -> features `[b, d]`."""
        chosen = self._with_attention(self.model.blocks[first_block:], tokens)
        if self.pooling == "average":
            for block in chosen:
                tokens = self._through(block, tokens)
            return self.model.fc_norm(self.model.norm(tokens)[:, self.prefix :].mean(dim=1))  # type: ignore[no-any-return]
        *blocks, last = chosen
        for block in blocks:
            tokens = self._through(block, tokens)
        # Only the class token is read, so from the last attention on it goes alone; the norms work token by token.
        token = tokens[:, :1]
        token = token + last.ls1(_attend(last.attn, last.norm1(tokens)))
        token = token + last.ls2(last.mlp(last.norm2(token)))
        return self.model.fc_norm(self.model.norm(token[:, 0]))  # type: ignore[no-any-return]

    def _with_attention(self, blocks: Any, tokens: Tensor) -> Any:
        """The blocks, set to the faster attention: on a CPU in bfloat16, torch's fused one takes three times as long for the gradient."""
        slow = torch.is_grad_enabled() and tokens.device.type == "cpu" and _in_16_bits_on_cpu()
        for block in blocks:
            block.attn.fused_attn = not (slow and tokens.shape[1] <= WRITTEN_OUT_TOKENS)
        return blocks

    def _through(self, block: nn.Module, tokens: Tensor) -> Tensor:
        return checkpoint(block, tokens, use_reentrant=False) if self.recompute else block(tokens)  # type: ignore[no-any-return]

    def forward(self, pictures: Tensor) -> Tensor:
        """uint8 `[b, h, w, 3]` -> features `[b, d]`."""
        return self.upper(self.lower(pictures, 0), 0)


def _in_16_bits_on_cpu() -> bool:
    try:
        return torch.is_autocast_enabled("cpu")
    except TypeError:  # before torch 2.4 it takes no argument
        return torch.is_autocast_cpu_enabled()


def _attend(attention: Any, tokens: Tensor) -> Tensor:
    """timm's attention for the first token's query alone: `[b, n, d] -> [b, 1, d]`."""
    b, n, d = tokens.shape
    q, k, v = attention.qkv(tokens).reshape(b, n, 3, attention.num_heads, attention.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
    mixed = functional.scaled_dot_product_attention(q[:, :, :1], k, v)
    return attention.proj(mixed.transpose(1, 2).reshape(b, 1, d))  # type: ignore[no-any-return]
