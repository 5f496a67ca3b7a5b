"""The backbone that comes with edgecl, so that the first minute needs no network: its numbers, and the file beside this one that holds its weights.

How it was made and what it is good and bad at stands in edgecl_vit_nano.md; benchmarks/distil makes it anew.
"""

from pathlib import Path

from edgecl.architecture import Architecture

NANO = Architecture(
    backbone="edgecl_vit_nano",
    image_size=96,
    patch_size=16,
    width=192,
    depth=6,
    heads=3,
    mlp_width=768,
    norm_eps=1e-6,
    layer_scale=False,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    interpolation="bicubic",
    crop_pct=0.9,
)


def weights_file(name: str) -> Path:
    """Where a built-in backbone's weights lie: safetensors, fp16, under timm's names."""
    return Path(__file__).with_name(f"{name}.safetensors")
