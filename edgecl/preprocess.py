"""How a picture becomes the model's input: one definition for training, evaluation, export checks and camera. numpy and Pillow.

bytes -> decode -> rgb uint8 [h, w, 3] -> to_input -> uint8 [size, size, 3]
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from edgecl.architecture import Architecture
from edgecl.errors import BadInput
from edgecl.settings import PIXEL_LIMIT

Rgb = NDArray[np.uint8]
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class UnreadablePicture(BadInput):
    """A file that is no picture we can use; the message is the reason, in a few words."""


@dataclass(frozen=True)
class Geometry:
    """How large the model sees a picture, and how it gets there."""

    size: int  # pixels, square
    crop_pct: float  # part of the resized short side that the crop keeps
    interpolation: str  # bicubic | bilinear

    @property
    def keep_short(self) -> int:
        """Short side in pixels at which pictures are kept for training and memory."""
        return round(1.15 * self.size)


def geometry_of(architecture: Architecture) -> Geometry:
    """The geometry that the backbone was trained with."""
    return Geometry(architecture.image_size, architecture.crop_pct, architecture.interpolation)


def decode(source: bytes | Path, *, pixel_limit: int = PIXEL_LIMIT) -> Rgb:
    """A jpg, png, webp or bmp (told by its content) as rgb uint8 `[h, w, 3]`, upright.

    EXIF orientation is applied; grey, palette and CMYK become rgb; transparency is laid on white; 16-bit values are scaled; of an
    animation the first frame is taken.

    Raises:
        UnreadablePicture: empty, truncated, not a picture, or over the pixel limit (found before anything is decoded).
    """
    data = source if isinstance(source, bytes) else _read(source)
    if not data:
        raise UnreadablePicture("empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large pictures; the pixel limit decides here
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_pixels(image, pixel_limit)
                return _upright_rgb(image)
        except UnidentifiedImageError:
            raise UnreadablePicture("not a picture (jpg, png, webp or bmp)") from None
        except Image.DecompressionBombError:
            raise UnreadablePicture(f"over the pixel limit: at most {pixel_limit / 1e6:.0f} million pixels") from None
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
            raise UnreadablePicture(f"truncated or damaged ({error})") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadablePicture(f"cannot be read ({error.strerror})") from None


def _check_pixels(image: Image.Image, limit: int) -> None:
    pixels = image.width * image.height
    if pixels > limit:
        raise UnreadablePicture(f"over the pixel limit: {pixels / 1e6:.0f} million pixels, at most {limit / 1e6:.0f} million")


def _upright_rgb(image: Image.Image) -> Rgb:
    image.load()
    upright: Any = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # 16 bit; Pillow's own conversion clips instead of scaling
        grey = np.asarray(upright).astype(np.int64)
        return np.repeat((np.clip(grey, 0, 65535) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        coloured = upright.convert("RGBA")
        white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(white, coloured)
    return np.array(upright.convert("RGB"))


def to_input(rgb: Rgb, geometry: Geometry) -> Rgb:
    """Resize the short side of `[h, w, 3]` to size / crop_pct and cut the centre out: `[size, size, 3]`.

    Equals torchvision's `Resize` and `CenterCrop` on a Pillow image, which is timm's evaluation transform.
    """
    h, w = rgb.shape[:2]
    short = int(geometry.size / geometry.crop_pct)
    target = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    image = Image.fromarray(rgb)
    if target != image.size:
        image = image.resize(target, RESAMPLING[geometry.interpolation])
    left, upper = round((target[0] - geometry.size) / 2), round((target[1] - geometry.size) / 2)
    return np.asarray(image.crop((left, upper, left + geometry.size, upper + geometry.size)))


def shrink(rgb: Rgb, short_side: int) -> Rgb:
    """Bring the short side of `[h, w, 3]` down to `short_side` pixels; never enlarges."""
    h, w = rgb.shape[:2]
    if min(h, w) <= short_side:
        return rgb
    scale = short_side / min(h, w)
    return np.asarray(Image.fromarray(rgb).resize((max(1, round(w * scale)), max(1, round(h * scale))), Image.Resampling.BICUBIC))


def encode_jpeg(rgb: Rgb, quality: int = 95) -> bytes:
    """The picture alone, without EXIF; the same bytes for the same Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def perceptual_hash(rgb: Rgb) -> int:
    """64 bits that change little where the picture changes little: is each of 8 x 9 brightness samples darker than its right neighbour?

    dHash, after Krawetz 2013, "Kind of like that".
    """
    grey = np.asarray(Image.fromarray(rgb).convert("L").resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    bits = (grey[:, 1:] > grey[:, :-1]).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def hamming(a: int, b: int) -> int:
    """How many of the bits differ."""
    return (a ^ b).bit_count()
