"""What training does to a picture before the model sees it, so that a few dozen pictures teach a class and not themselves.

A pure function of picture, seed, and where in training it stands: a resumed run needs no generator state.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SMALLEST_AREA = 0.5  # part of the picture that a crop keeps at least
ASPECT = (3 / 4, 4 / 3)  # of a crop, Inception's range (Szegedy et al. 2015, arXiv 1409.4842, section 6)
FLIP = 0.5  # probability


def augment(rgb: NDArray[np.uint8], *, size: int, seed: int, step: int, place: int) -> NDArray[np.uint8]:
    """A random crop of `rgb [h, w, 3]`, brought to `[size, size, 3]` and mirrored half of the time.

    `step` is of training and `place` in its batch, so that each look at a picture is another one.
    """
    random = np.random.default_rng([seed, step, place])
    box = _crop(rgb.shape[0], rgb.shape[1], random)
    picture: NDArray[Any] = np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC, box=box))
    return picture[:, ::-1] if random.random() < FLIP else picture


def _crop(h: int, w: int, random: np.random.Generator) -> tuple[float, float, float, float]:
    """left, upper, right, lower in pixels."""
    for _ in range(10):
        area = random.uniform(SMALLEST_AREA, 1.0) * h * w
        aspect = math.exp(random.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        cw, ch = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < cw <= w and 0 < ch <= h:
            left, upper = int(random.integers(0, w - cw + 1)), int(random.integers(0, h - ch + 1))
            return left, upper, left + cw, upper + ch
    side = min(h, w)
    left, upper = (w - side) // 2, (h - side) // 2
    return left, upper, left + side, upper + side
