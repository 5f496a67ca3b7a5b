"""A plain Vision Transformer as data: the numbers that fix every shape of the graph, and the names of its tensors.

Everything that a backbone is to the rest of edgecl stands here, so that merging, the graph writer and the store need neither
torch nor timm. Names are timm's own (`blocks.0.attn.qkv.weight`), shapes are torch's (`[out, in]` for a Linear).
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgecl.errors import BadInput
from edgecl.typed import typed

LARGEST_COUNT = 65536  # of pixels, features or blocks: above it a file lies
TARGETS_PER_BLOCK = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of one plain ViT (class token, learned positions, pre-norm blocks) and how pictures enter it."""

    backbone: str  # timm's model name, e.g. vit_tiny_patch16_224
    image_size: int  # pixels, the input is square
    patch_size: int  # pixels
    width: int  # d, features per token
    depth: int  # blocks
    heads: int  # attention heads per block
    mlp_width: int  # hidden features of each MLP
    norm_eps: float
    layer_scale: bool  # ls1.gamma and ls2.gamma after attention and MLP
    mean: tuple[float, float, float]  # of rgb in [0, 1]
    std: tuple[float, float, float]
    interpolation: str  # bicubic | bilinear
    crop_pct: float  # part of the resized short side that the centre crop keeps

    @property
    def patches(self) -> int:
        """Patches per picture."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def tokens(self) -> int:
        """n: the patches and the class token."""
        return self.patches + 1

    @property
    def head_width(self) -> int:
        """Features of one attention head."""
        return self.width // self.heads

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; `from_json` reads them back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Architecture":
        """Read what `to_json` wrote.

        Raises:
            BadInput: a field is missing, unknown or of another type, or the numbers are those of no ViT.
        """
        try:
            read = typed(cls, dict(fields), "architecture")
        except ValueError as error:
            raise BadInput(
                f"the architecture's fields differ from what this edgecl knows ({error}). The store may come from a newer edgecl."
            ) from error
        counts = (read.image_size, read.patch_size, read.width, read.depth, read.heads, read.mlp_width)
        whole = all(1 <= count <= LARGEST_COUNT for count in counts)
        if not whole or read.image_size % read.patch_size or read.width % read.heads or not 0 < read.crop_pct <= 1:
            raise BadInput(f"an architecture of {counts} and crop_pct {read.crop_pct} is that of no ViT. Restore edgecl.json from a copy.")
        return read

    def key(self) -> str:
        """16 hex digits that change when, and only when, a field changes; engines are named after it."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def linear_targets(architecture: Architecture, first_block: int = 0) -> list[str]:
    """Names of the Linear layers that an adapter may change, in forward order, from block `first_block` up."""
    return [f"blocks.{block}.{layer}" for block in range(first_block, architecture.depth) for layer in TARGETS_PER_BLOCK]


def target_shape(architecture: Architecture, target: str) -> tuple[int, int]:
    """`(out, in)` of one of the `linear_targets`."""
    d, hidden = architecture.width, architecture.mlp_width
    return {"attn.qkv": (3 * d, d), "attn.proj": (d, d), "mlp.fc1": (hidden, d), "mlp.fc2": (d, hidden)}[target.split(".", 2)[2]]


def state_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name and shape of every backbone tensor (no head), in forward order, as timm names them."""
    d, p = architecture.width, architecture.patch_size
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, d),
        "pos_embed": (1, architecture.tokens, d),
        "patch_embed.proj.weight": (d, 3, p, p),
        "patch_embed.proj.bias": (d,),
    }
    for block in range(architecture.depth):
        prefix = f"blocks.{block}"
        shapes[f"{prefix}.norm1.weight"] = shapes[f"{prefix}.norm1.bias"] = (d,)
        shapes |= _linear(architecture, f"{prefix}.attn.qkv") | _linear(architecture, f"{prefix}.attn.proj")
        if architecture.layer_scale:
            shapes[f"{prefix}.ls1.gamma"] = (d,)
        shapes[f"{prefix}.norm2.weight"] = shapes[f"{prefix}.norm2.bias"] = (d,)
        shapes |= _linear(architecture, f"{prefix}.mlp.fc1") | _linear(architecture, f"{prefix}.mlp.fc2")
        if architecture.layer_scale:
            shapes[f"{prefix}.ls2.gamma"] = (d,)
    shapes["norm.weight"] = shapes["norm.bias"] = (d,)
    return shapes


def _linear(architecture: Architecture, target: str) -> dict[str, tuple[int, ...]]:
    out, into = target_shape(architecture, target)
    return {f"{target}.weight": (out, into), f"{target}.bias": (out,)}
