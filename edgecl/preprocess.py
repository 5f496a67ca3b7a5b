"""How a picture becomes the model's input: one definition for training, evaluation, export checks and camera. numpy and Pillow.

bytes -> decode -> rgb uint8 [h, w, 3] -> to_input -> uint8 [size, size, 3]
"""

import contextlib
import io
import math
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from edgecl.architecture import Architecture
from edgecl.errors import BadInput
from edgecl.settings import PIXEL_LIMIT

Rgb = NDArray[np.uint8]
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
REACH = {"bicubic": 2.0, "bilinear": 1.0}  # how many pixels, of the larger of the two grids, a resized pixel looks to each side
SLENDER = 1.9  # times as high as wide: from 2 on Pillow resizes in another order, so only the whole gives the same numbers
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
FILE_LIMIT = 256 * 2**20  # bytes of one picture file; an uncompressed picture of the pixel limit has 192 million
MOST_SCANS = 100  # of a JPEG; progressive ones have about ten, and each costs a pass over every pixel
NARROWEST = 100  # how many times longer than wide a picture may be; beyond it a resize alone would fill the memory of a board
TELLING = 10  # bits of each kind that a perceptual hash needs; 2,640 photos of shop shelves had 13 or more

# What Pillow lets through when a file is damaged, apart from its own UnidentifiedImageError (an OSError).
DAMAGE = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, IndexError, KeyError, AttributeError, NotImplementedError),
    *(OverflowError, ZeroDivisionError, AssertionError, MemoryError, struct.error, zlib.error),
)
JPEG_SCAN = b"\xff\xda"  # within the picture's own data 0xff is always followed by 0
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBP", b"BM")
FOREIGN = {b"GIF8": "GIF", b"II\\*\0": "TIFF", b"MM\0\\*": "TIFF", b"....ftyp(hei|mif|msf)": "HEIC", b"....ftypavi": "AVIF", b"%PDF": "PDF"}

EXIF_ORIENTATION, EXIF_IFD, EXIF_TAKEN, EXIF_TAKEN_FRACTION = 0x0112, 0x8769, 0x9003, 0x9291


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
        UnreadablePicture: empty, truncated, damaged, not a picture, or over the pixel limit (found before anything is decoded).
    """
    data = source if isinstance(source, bytes) else read_file(source)
    if not data:
        raise UnreadablePicture("empty")
    if data.startswith(BEGINNINGS[0]) and data.count(JPEG_SCAN) > MOST_SCANS:
        raise UnreadablePicture(f"damaged: a JPEG in {data.count(JPEG_SCAN)} scans, at most {MOST_SCANS} are read")
    with _quiet:
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.width, image.height, pixel_limit)
                image.load()
                return np.ascontiguousarray(_turned(_rgb(image), _orientation(image)))
        except Image.DecompressionBombError as error:  # Pillow's own limit, which it checks first, lies at 179 million pixels
            pixels = int(re.findall(r"\d+", str(error))[0])
            raise UnreadablePicture(_over(pixels, pixel_limit)) from None
        except DAMAGE as error:
            raise UnreadablePicture(_reason(data, error)) from None


def read_file(path: Path) -> bytes:
    """A picture file's bytes; only the first of a file that is no picture, for that may be a video of any length.

    Raises:
        UnreadablePicture: missing, a folder, a pipe or a device, too large, or not readable.
    """
    try:
        if path.exists() and not path.is_file():
            raise UnreadablePicture("not a file")  # reading a pipe may never end
        with path.open("rb") as file:
            start = file.read(16)
            data = start + file.read(FILE_LIMIT) if _begins(start, BEGINNINGS) else start
    except OSError as error:
        raise UnreadablePicture(f"cannot be read ({error.strerror})") from None
    if len(data) > FILE_LIMIT:
        raise UnreadablePicture(f"over the file limit: more than {FILE_LIMIT / 2**20:.0f} MiB")
    return data


def _begins(data: bytes, beginnings: Iterable[bytes]) -> bool:
    return any(re.match(beginning, data, re.DOTALL) for beginning in beginnings)


def _over(pixels: int, limit: int) -> str:
    return f"over the pixel limit: {pixels / 1e6:.0f} million pixels, at most {limit / 1e6:.0f} million"


def _check_size(w: int, h: int, limit: int) -> None:
    if w * h > limit:
        raise UnreadablePicture(_over(w * h, limit))
    if max(w, h) > NARROWEST * min(w, h):
        raise UnreadablePicture(f"too narrow: {w} x {h} pixels, at most {NARROWEST} times as long as wide")


def _reason(data: bytes, error: BaseException) -> str:
    """What is wrong with a file that Pillow could not read, from its first bytes and from what Pillow said."""
    for beginning, name in FOREIGN.items():
        if _begins(data, (beginning,)):
            return f"{name}, not one of jpg, png, webp and bmp; convert it"
    if not _begins(data, BEGINNINGS):
        return "not a picture (jpg, png, webp or bmp)"
    webp_bytes = int.from_bytes(data[4:8], "little") + 8 if data[:4] == b"RIFF" else 0
    if len(data) < webp_bytes or "truncated" in str(error).lower():
        return "truncated"
    if isinstance(error, UnidentifiedImageError):  # its message names a Python object
        return "truncated or damaged"
    return f"damaged ({str(error) or type(error).__name__})"


def _rgb(image: Image.Image) -> Rgb:
    """The loaded picture as `[h, w, 3]`, not yet turned."""
    if image.mode.startswith("I"):  # 16 bit grey; Pillow's own conversion clips instead of scaling
        values = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        grey = (values >> 8).astype(np.uint8)
        if "transparency" in image.info:  # the one value that a PNG may declare clear
            grey[values == image.info["transparency"]] = 255
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
        return np.array(Image.alpha_composite(white, coloured).convert("RGB"))
    return np.array(image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """EXIF's 1 to 8; 1, upright, where the EXIF block does not say or cannot be read: its pixels are none the worse for it."""
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except DAMAGE:
        return 1


def _turned(rgb: Rgb, orientation: int) -> Rgb:
    """A view of `rgb` as EXIF wants it shown; an orientation that does not exist changes nothing."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return rgb


class _Quiet:
    """Pillow's warnings are off while at least one thread decodes. `warnings.catch_warnings` alone is not safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.close()


_quiet = _Quiet()


def capture_time(data: bytes) -> float | None:
    """EXIF's DateTimeOriginal with its fraction, in seconds since 1970 of the camera's own clock; None where a picture does not say."""
    with _quiet:
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                exif = image.getexif().get_ifd(EXIF_IFD)
            taken = datetime.strptime(str(exif[EXIF_TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=timezone.utc)
            fraction = str(exif.get(EXIF_TAKEN_FRACTION, "")).strip("\0 ")
        except (*DAMAGE, Image.DecompressionBombError):
            return None
    return taken.timestamp() + (float(f"0.{fraction}") if re.fullmatch("[0-9]{1,9}", fraction) else 0.0)


def cut_region(rgb: Rgb, region: tuple[float, float, float, float]) -> Rgb:
    """The part of `[h, w, 3]` that begins at (left, top) and is (width, height) large, all as parts of the frame; at least one pixel."""
    h, w = rgb.shape[:2]
    left, top = (min(round(part * side), side - 1) for part, side in zip(region[:2], (w, h), strict=True))
    right, bottom = (round((start + part) * side) for start, part, side in zip(region[:2], region[2:], (w, h), strict=True))
    return np.ascontiguousarray(rgb[top : max(bottom, top + 1), left : max(right, left + 1)])


def to_input(rgb: Rgb, geometry: Geometry) -> Rgb:
    """Resize the short side of `[h, w, 3]` to size / crop_pct and cut the centre out: `[size, size, 3]`.

    Equals torchvision's `Resize` and `CenterCrop` on a Pillow image, which is timm's evaluation transform.
    """
    h, w = rgb.shape[:2]
    short = int(geometry.size / geometry.crop_pct)
    target = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    left, upper = round((target[0] - geometry.size) / 2), round((target[1] - geometry.size) / 2)
    columns, rows = _needed(w, target[0], left, geometry), _needed(h, target[1], upper, geometry)
    if max(h / w, rows.count / columns.count) > SLENDER:
        columns, rows = _Part(slice(0, w), 0, target[0]), _Part(slice(0, h), 0, target[1])
    image = Image.fromarray(rgb[rows.source, columns.source])
    if target != (w, h):
        image = image.resize((columns.count, rows.count), RESAMPLING[geometry.interpolation])
    left, upper = left - columns.first, upper - rows.first
    return np.array(image.crop((left, upper, left + geometry.size, upper + geometry.size)))


@dataclass(frozen=True)
class _Part:
    """Of one side of a picture that is resized: what of it the crop can depend on."""

    source: slice  # pixels of the picture
    first: int  # pixel of the resized picture
    count: int  # pixels of the resized picture


def _needed(side: int, target: int, start: int, geometry: Geometry) -> _Part:
    """The part of a side that `geometry.size` pixels from `start` on see, when `side` pixels are resized to `target`.

    It begins and ends where a pixel's edge falls on a pixel's edge, so that resizing it alone gives the same numbers; where there is no such
    place it is the whole side. A camera's frame is half as much work so.
    """
    common = math.gcd(side, target)
    step, source_step = target // common, side // common
    margin = math.ceil(REACH[geometry.interpolation] * max(target / side, 1.0)) + 1
    first = max(0, start - margin) // step
    last = min(common, -(-(start + geometry.size + margin) // step))
    return _Part(slice(first * source_step, last * source_step), first * step, (last - first) * step)


def shrink(rgb: Rgb, short_side: int) -> Rgb:
    """Bring the short side of `[h, w, 3]` down to `short_side` pixels; never enlarges."""
    h, w = rgb.shape[:2]
    if min(h, w) <= short_side:
        return rgb
    scale = short_side / min(h, w)
    return np.array(Image.fromarray(rgb).resize((round(w * scale), round(h * scale)), Image.Resampling.BICUBIC))


def encode_jpeg(rgb: Rgb, quality: int = 95, *, captured: datetime | None = None) -> bytes:
    """The picture alone, without EXIF but the capture time where one is given; the same bytes for the same Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="JPEG", quality=quality, subsampling=0, exif=b"" if captured is None else _taken(captured))
    return buffer.getvalue()


def _taken(captured: datetime) -> bytes:
    """An EXIF block that says when, and nothing else."""
    exif = Image.Exif()
    taken = exif.get_ifd(EXIF_IFD)
    taken[EXIF_TAKEN] = f"{captured:%Y:%m:%d %H:%M:%S}"
    taken[EXIF_TAKEN_FRACTION] = f"{captured:%f}"
    return exif.tobytes()


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


def alike(a: int, b: int, *, within: int) -> bool:
    """Whether two perceptual hashes differ in at most `within` bits and say enough to mean that it is one scene.

    All flat pictures have nearly the same hash, whatever they show: hashes with fewer than `TELLING` bits of one kind are never alike.
    """
    return hamming(a, b) <= within and all(TELLING <= phash.bit_count() <= 64 - TELLING for phash in (a, b))
