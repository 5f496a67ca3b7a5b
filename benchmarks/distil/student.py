"""The student while it learns: timm's own VisionTransformer, computed in bfloat16 where that is fast, and what its tokens are compared with."""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.distil.views import GRID, SIZE, WIDTH
from edgecl.backbones import NANO

QUIET = 0.3  # of the last norm at the start: what is not known yet is better said softly


class Student(nn.Module):
    """The backbone from random values, and a linear map of its patch tokens to the teacher's, which is thrown away in the end."""

    def __init__(self, patch_size: int = NANO.patch_size) -> None:
        super().__init__()
        self.backbone: Any = VisionTransformer(
            img_size=SIZE,
            patch_size=patch_size,
            embed_dim=NANO.width,
            depth=NANO.depth,
            num_heads=NANO.heads,
            num_classes=0,
        )
        nn.init.constant_(self.backbone.norm.weight, QUIET)
        self.patches = nn.Linear(NANO.width, WIDTH)
        self.patch_size, self.side = patch_size, SIZE // patch_size
        self.onto_grid: Tensor
        self.register_buffer("onto_grid", _resizing(self.side, GRID), persistent=False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised `[b, 3, 96, 96]` -> class token `[b, d]`, patches on the teacher's grid `[b, 49, d]`."""
        model = self.backbone
        tokens = model._pos_embed(self._embedded(pictures))
        for block in model.blocks:
            tokens = tokens + _attend(block.attn, block.norm1(tokens))
            tokens = tokens + block.mlp(block.norm2(tokens))
        tokens = model.norm(tokens)
        return tokens[:, 0], self.patches(self.onto_grid @ tokens[:, 1:])

    def _embedded(self, pictures: Tensor) -> Tensor:
        """The patch convolution as a product of matrices, whose gradient is several times faster on a CPU."""
        proj, p, side = self.backbone.patch_embed.proj, self.patch_size, self.side
        cut = pictures.unflatten(3, (side, p)).unflatten(2, (side, p)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        return functional.linear(cut, proj.weight.flatten(1), proj.bias)


def _attend(attention: Any, tokens: Tensor) -> Tensor:
    """Attention written out: torch's fused one takes half of a training step in bfloat16 on a CPU."""
    b, n, d = tokens.shape
    q, k, v = attention.qkv(tokens).unflatten(2, (3, attention.num_heads, attention.head_dim)).permute(2, 0, 3, 1, 4).unbind(0)
    weights = ((q * attention.scale) @ k.transpose(-2, -1)).softmax(-1)
    return attention.proj((weights @ v).transpose(1, 2).reshape(b, n, d))


def _resizing(side: int, grid: int) -> Tensor:
    """`[grid^2, side^2]`: bilinear resizing of a square grid of tokens, as a matrix."""
    units = torch.eye(side * side).unflatten(0, (1, side * side)).unflatten(2, (side, side))
    return functional.interpolate(units, size=(grid, grid), mode="bilinear", align_corners=False)[0].flatten(1).T.contiguous()
