"""How a picture looks, apart from what it shows: too dark, too bright, out of focus. Pure numpy; measured at one small size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecl.preprocess import shrink

MEASURED_SHORT = 224  # pixels of the short side at which a picture is measured, so that figures of different cameras compare
DARK, BRIGHT = 25.0, 235.0  # mean grey, 0..255; 2,640 shop photos lie between 49 and 175 (benchmarks/looks_of_photos.py)
BLURRED = 2.0  # the same photos have 5.5 or more; behind a Gaussian of 4 pixels half of them have less than 1.7, behind 5 pixels all less than 1.8


@dataclass(frozen=True)
class Looks:
    """What was measured of one picture."""

    brightness: float  # mean grey, 0..255
    sharpness: float  # standard deviation of the Laplacian of grey, grey levels

    @property
    def fault(self) -> str:
        """Why nothing much can be seen in the picture, in a few words, or nothing."""
        if self.brightness < DARK:
            return "too dark"
        if self.brightness > BRIGHT:
            return "too bright"
        return "blurred" if self.sharpness < BLURRED else ""


def looks(rgb: NDArray[np.uint8]) -> Looks:
    """Measure rgb uint8 `[h, w, 3]` of any size.

    Sharpness is the spread of the discrete Laplacian (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy").
    """
    small = shrink(rgb, MEASURED_SHORT).astype(np.float32)
    grey = small @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma
    if min(grey.shape) < 3:
        return Looks(float(grey.mean()), 0.0)
    middle = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    return Looks(float(grey.mean()), float(laplacian.std()))
