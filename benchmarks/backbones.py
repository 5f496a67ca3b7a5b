"""Prints how far the exported graph is from timm's model for every tested backbone, at full size with random numbers everywhere.

    python benchmarks/backbones.py [NAME ...]

Weights are random (norms, biases and layer scales, too), for nothing but their answers is compared; pictures are slopes with noise, three of
them. Opset 18, ONNX Runtime on the CPU, which computes fp16 in fp32: what fp16 shows is the rounding of weights and activations. All figures over
used rows. Replaces the rows of the backbones that it compares in results/backbones.csv; those without a row are not measured.
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from edgecl.backbone import TESTED, architecture_of
from tests.export.models import random_head, random_state, scenes, timm_against_runtime, write

RESULTS = Path(__file__).parent / "results" / "backbones.csv"
HEADER = ("backbone", "pixels", "tokens", "precision", "largest logit difference / spread", "largest softmax difference", "top-1 equal")


def main() -> None:
    """Compare each and print a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names
    with RESULTS.open(newline="") as file:
        rows = {(row["backbone"], row["precision"]): tuple(row.values()) for row in csv.DictReader(file)}
    for name in names or TESTED:
        architecture = architecture_of(name)
        state, head = random_state(architecture), random_head(architecture.width, 128)
        for precision in ("fp32", "fp16"):
            with tempfile.TemporaryDirectory() as place:
                folder = write(Path(place), architecture, state, head, 18, precision)
                logits, _ = timm_against_runtime(folder, architecture, state, head, scenes(architecture.image_size, 3))
            size, figures = (architecture.image_size, architecture.tokens), (f"{logits.relative:.1e}", f"{logits.max_softmax:.1e}")
            rows[name, precision] = (name, *map(str, size), precision, *figures, "yes" if logits.top1_equal else "no")
            print("  ".join(rows[name, precision]), flush=True)
        with RESULTS.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADER, *rows.values()])


if __name__ == "__main__":
    main()
