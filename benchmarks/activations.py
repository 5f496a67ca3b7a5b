"""Prints how much memory one training picture takes: what autograd keeps for the way back, fp32, counted with saved-tensor hooks.

    python benchmarks/activations.py

`edgecl.hardware` chooses the batch by the last column, bytes per token, feature and trained block. Written to results/activations.csv.
"""

import csv
from pathlib import Path

import torch

from edgecl import lora
from edgecl.architecture import Architecture, linear_targets
from edgecl.backbone import architecture_of, build, random_state
from edgecl.settings import AdapterShape

RESULTS = Path(__file__).parent / "results" / "activations.csv"
BACKBONES = ("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "vit_small_patch14_reg4_dinov2")
BATCH = 2


def kept_bytes(architecture: Architecture, first_block: int) -> int:
    """Of one picture: every tensor that autograd keeps once, weights apart."""
    vit = build(architecture, random_state(architecture, 0))
    lora.attach(vit.model, linear_targets(architecture, first_block), rank=AdapterShape().rank, alpha=16.0, seed=0)
    weights = {parameter.untyped_storage().data_ptr() for parameter in vit.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    pictures = torch.zeros((BATCH, architecture.image_size, architecture.image_size, 3), dtype=torch.uint8)
    with torch.no_grad():
        tokens = vit.lower(pictures, first_block)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = vit.upper(tokens, first_block)  # alive until the count: nothing that was kept may be given back
    assert features.requires_grad
    return sum(kept.values()) // BATCH


def main() -> None:
    """Measure and write."""
    rows = []
    for name in BACKBONES:
        architecture = architecture_of(name)
        for first_block in (0, 6, 8):
            size = kept_bytes(architecture, first_block)
            unit = size / (architecture.tokens * architecture.width * (architecture.depth - first_block))
            rows.append((name, first_block, f"{size / 2**20:.1f}", f"{unit:.1f}"))
            print(f"{name} from block {first_block}: {rows[-1][2]} MiB per picture, {rows[-1][3]} bytes per token, feature and block")
    with RESULTS.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [("backbone", "first block", "MiB per picture", "bytes per token, feature and block"), *rows]
        )


if __name__ == "__main__":
    main()
