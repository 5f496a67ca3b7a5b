"""Prints how much memory one training picture takes: what autograd keeps for the way back, counted with saved-tensor hooks.

    python benchmarks/activations.py

In float32 and in a CPU's bfloat16. `edgecl.hardware` chooses the batch by the last column, bytes per token, feature and trained block: of more
pictures as against fewer, so what each step needs once is not in it. Written to results/activations.csv.
"""

import csv
import itertools
from pathlib import Path

import torch

from edgecl import lora
from edgecl.architecture import Architecture, linear_targets
from edgecl.backbone import architecture_of, build, random_state
from edgecl.settings import AdapterShape

RESULTS = Path(__file__).parent / "results" / "activations.csv"
BACKBONES = (
    "vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "vit_small_patch16_384", "vit_small_patch14_reg4_dinov2",
)  # fmt: skip
TYPES = {"float32": False, "bfloat16": True}


def kept_bytes(architecture: Architecture, first_block: int, pictures: int) -> int:
    """Every tensor that autograd keeps once, the model's own weights apart."""
    vit = build(architecture, random_state(architecture, 0))
    lora.attach(vit.model, linear_targets(architecture, first_block), rank=AdapterShape().rank, alpha=16.0, seed=0)
    weights = {parameter.untyped_storage().data_ptr() for parameter in vit.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    tokens = torch.zeros((pictures, architecture.tokens, architecture.width))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = vit.upper(tokens, first_block)  # alive until the count: nothing that was kept may be given back
    assert features.requires_grad
    return sum(kept.values())


def main() -> None:
    """Measure and write."""
    rows = []
    for name in BACKBONES:
        architecture = architecture_of(name)
        for first_block, (kind, mixed) in itertools.product((0, 6, 8), TYPES.items()):
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                size = kept_bytes(architecture, first_block, 3) - kept_bytes(architecture, first_block, 2)
            unit = size / (architecture.tokens * architecture.width * (architecture.depth - first_block))
            rows.append((name, kind, first_block, f"{size / 2**20:.1f}", f"{unit:.1f}"))
            print(
                f"{name} in {kind} from block {first_block}: {rows[-1][3]} MiB per picture, {rows[-1][4]} bytes per token, feature and block"
            )
    with RESULTS.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [("backbone", "type", "first block", "MiB per picture", "bytes per token, feature and block"), *rows]
        )


if __name__ == "__main__":
    main()
