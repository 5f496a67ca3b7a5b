"""Where the pictures for the built-in backbone lie, and which tiles are for what: none is both learned from and evaluated on."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("EDGECL_SHARED") or ROOT.parent / "shared")
TEACHER_WEIGHTS = SHARED / "weights" / "vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"
TILE, PER_ROW = 32, 25  # pixels; tiles per row of a mosaic
PARTS = {"distil": range(350), "fit": range(350, 425), "validate": range(425, 450), "test": range(450, 500)}  # of each class's 500 tiles


def tiles_of(part: str) -> NDArray[np.uint8]:
    """uint8 `[100 * k, 32, 32, 3]`: one part's tiles, class after class in the order of their names."""
    found: list[Any] = []
    for path in sorted((SHARED / "data" / "cifar100" / "train").glob("*.jpg")):
        with Image.open(path) as mosaic:
            pixels = np.asarray(mosaic.convert("RGB"))
        rows = len(pixels) // TILE
        cut = pixels.reshape(rows, TILE, PER_ROW, TILE, 3).swapaxes(1, 2).reshape(rows * PER_ROW, TILE, TILE, 3)
        found.append(cut[PARTS[part].start : PARTS[part].stop])
    return np.concatenate(found)
