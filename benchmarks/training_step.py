"""How long one training step takes on this CPU, per picture, in bfloat16 from block 6 of ViT-Tiny: medians of alternating steps on one thread.

    python benchmarks/training_step.py [ROUNDS]

"merged" is what edgecl does: the update is summed with the weight once a step. "beside" sends every token through the update, too, as it is mostly
written. Each with torch's fused attention and with attention written out, of which `edgecl.backbone` takes the second.
"""

import csv
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from grocery import WEIGHTS
from torch import Tensor
from torch.nn import functional

from edgecl import lora
from edgecl.architecture import linear_targets
from edgecl.backbone import build, load_pretrained, vit
from edgecl.lora import LoRALinear
from edgecl.settings import AdapterShape, LearnSettings

RESULTS = Path(__file__).parent / "results" / "training_step.csv"
PICTURES, CLASSES = LearnSettings().batch, 81


def beside(layer: LoRALinear, x: Tensor) -> Tensor:
    """W x + s B A x"""
    return layer.linear(x) + (x @ layer.a.T @ layer.b.T) * layer.scale  # type: ignore[no-any-return]


UPDATES = {"merged": LoRALinear.forward, "beside": beside}
ATTENTIONS = {"written out": vit.WRITTEN_OUT_TOKENS, "fused": 0}  # tokens up to which it is written out


def stepping(first_block: int) -> Callable[[], None]:
    """One step of training, to be called again and again."""
    found, shape = load_pretrained("vit_tiny_patch16_224", WEIGHTS), AdapterShape()
    model, head = build(found.architecture, found.state), torch.nn.Linear(found.architecture.width, CLASSES)
    layers = lora.attach(model.model, linear_targets(found.architecture, first_block), rank=shape.rank, alpha=shape.alpha, seed=0)
    optimiser = torch.optim.AdamW([*(p for layer in layers.values() for p in (layer.a, layer.b)), *head.parameters()])
    tokens = torch.randn(PICTURES, found.architecture.tokens, found.architecture.width)
    targets = torch.randint(CLASSES, (PICTURES,))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            features = model.upper(tokens, first_block)
        optimiser.zero_grad()
        functional.cross_entropy(head(features.float()), targets).backward()
        optimiser.step()

    return step


def main(rounds: int) -> None:
    """Measure in turns, print, write."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    step, ways = stepping(AdapterShape().first_block), list(itertools.product(UPDATES, ATTENTIONS))
    times: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for done, (update, attention) in itertools.product(range(-1, rounds), ways):
        LoRALinear.forward, vit.WRITTEN_OUT_TOKENS = UPDATES[update], ATTENTIONS[attention]  # type: ignore[method-assign]
        begun = time.perf_counter()
        step()
        if done >= 0:  # the first round warms up
            times[update, attention].append(1000 * (time.perf_counter() - begun) / PICTURES)
    ours = statistics.median(times[ways[0]])
    with RESULTS.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["update", "attention", "steps", "median ms per picture", "times edgecl's"])
        for (update, attention), values in times.items():
            median = statistics.median(values)
            rows.writerow([update, attention, rounds, f"{median:.1f}", f"{median / ours:.2f}"])
            print(f"{update}, {attention}: {median:.1f} ms per picture, {median / ours:.2f} times edgecl's")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
