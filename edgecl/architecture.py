"""A plain Vision Transformer as data: the numbers that fix every shape of the graph, and the names of its tensors.

Everything that a backbone is to the rest of edgecl stands here, so that merging, the graph writer and the store need neither
torch nor timm. Names are timm's own (`blocks.0.attn.qkv.weight`), shapes are torch's (`[out, in]` for a Linear).
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgecl.errors import BadInput
from edgecl.typed import typed

LARGEST_COUNT = 65536  # of pixels, features or blocks: above it a file lies
TARGETS_PER_BLOCK = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of one plain ViT (learned positions, pre-norm blocks) and how pictures enter it.

    Fields with a default came later: where they hold it they are left out of `to_json`, so older stores and keys stay what they were.
    """

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
    class_token: bool = True
    registers: int = 0  # tokens that belong to no patch and are never read (Darcet et al. 2023, arXiv 2309.16588)
    prefix_positions: bool = True  # class token and registers have positions of their own
    pre_norm: bool = False  # a norm before the first block, and a patch embedding without bias, as in CLIP
    qkv_bias: bool = True
    activation: Literal["gelu", "quick_gelu"] = "gelu"
    pooling: Literal["token", "average"] = "token"  # features are the class token, or the mean of the patches
    norm_after_pooling: bool = False  # the last norm is `fc_norm` on the pooled features instead of `norm` on every token

    @property
    def patches(self) -> int:
        """Patches per picture."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def prefix(self) -> int:
        """Tokens in front of the patches: the class token, then the registers."""
        return int(self.class_token) + self.registers

    @property
    def tokens(self) -> int:
        """n: the patches and what stands in front of them."""
        return self.patches + self.prefix

    @property
    def head_width(self) -> int:
        """Features of one attention head."""
        return self.width // self.heads

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, later ones only where they differ from their default; `from_json` reads them back."""
        later = {field.name: field.default for field in dataclasses.fields(self) if field.default is not dataclasses.MISSING}
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in later or value != later[name]}
        return json.loads(json.dumps(fields))  # type: ignore[no-any-return]

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
        whole = all(1 <= count <= LARGEST_COUNT for count in counts) and 0 <= read.registers <= LARGEST_COUNT
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
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, d)} if architecture.class_token else {}
    if architecture.registers:
        shapes["reg_token"] = (1, architecture.registers, d)
    shapes["pos_embed"] = (1, architecture.tokens if architecture.prefix_positions else architecture.patches, d)
    shapes["patch_embed.proj.weight"] = (d, 3, p, p)
    if architecture.pre_norm:
        shapes["norm_pre.weight"] = shapes["norm_pre.bias"] = (d,)
    else:
        shapes["patch_embed.proj.bias"] = (d,)
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
    last = "fc_norm" if architecture.norm_after_pooling else "norm"
    shapes[f"{last}.weight"] = shapes[f"{last}.bias"] = (d,)
    return shapes


def _linear(architecture: Architecture, target: str) -> dict[str, tuple[int, ...]]:
    out, into = target_shape(architecture, target)
    weight: dict[str, tuple[int, ...]] = {f"{target}.weight": (out, into)}
    return weight if target.endswith("qkv") and not architecture.qkv_bias else weight | {f"{target}.bias": (out,)}
