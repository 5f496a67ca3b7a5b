"""How bright and how sharp real photos are, as they came and out of focus: where the limits of `edgecl.runtime.looks` come from.

EDGECL_SHARED=... python benchmarks/looks_of_photos.py
"""

import csv
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from edgecl.preprocess import decode
from edgecl.runtime.looks import looks

ROOT = Path(__file__).parents[1]
RADII = (0, 1, 2, 3, 4, 5)  # of a Gaussian, pixels of a photo whose short side has 256
EVERY = 20  # photo is blurred


def main() -> int:
    """Measure the Grocery training photos, print the percentiles, write them to results/looks.csv."""
    shared = Path(os.environ.get("EDGECL_SHARED") or ROOT.parent / "shared")
    paths = sorted((shared / "data" / "grocery" / "train").glob("*/*.jpg"))
    if not paths:
        print(f"there are no photos below {shared}; set EDGECL_SHARED", file=sys.stderr)
        return 2
    with (ROOT / "benchmarks/results/looks.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["blur", "photos", "figure", "least", "1 %", "median", "99 %", "most"])
        for radius in RADII:
            chosen = paths if radius == 0 else paths[::EVERY]
            measured = [looks(blurred(path, radius)) for path in chosen]
            for figure in ("brightness", "sharpness") if radius == 0 else ("sharpness",):
                values = np.percentile([getattr(each, figure) for each in measured], (0, 1, 50, 99, 100))
                row = [radius, len(chosen), figure, *(f"{value:.2f}" for value in values)]
                table.writerow(row)
                print(*row, sep="\t")
    return 0


def blurred(path: Path, radius: int) -> np.ndarray:
    """A photo behind a Gaussian."""
    rgb = decode(path)
    return np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(radius))) if radius else rgb


if __name__ == "__main__":
    sys.exit(main())
