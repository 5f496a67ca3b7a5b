"""One definition of decode, crop and resize, against torchvision and against what people bring."""

import io
import os
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgecl.architecture import Architecture
from edgecl.preprocess import (
    Geometry,
    UnreadablePicture,
    alike,
    capture_time,
    cut_region,
    decode,
    encode_jpeg,
    geometry_of,
    hamming,
    perceptual_hash,
    read_file,
    shrink,
    to_input,
)

EXIF_IFD = 0x8769


def noise(h: int, w: int, seed: int = 0) -> NDArray[np.uint8]:
    """`[h, w, 3]`, every pixel another."""
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def scene(h: int = 96, w: int = 128, seed: int = 0) -> NDArray[np.uint8]:
    """`[h, w, 3]`, soft blobs as in a photograph."""
    small = Image.fromarray(noise(7, 9, seed))
    return np.array(small.resize((w, h), Image.Resampling.BICUBIC))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def reason(data: bytes | Path, **options: Any) -> str:
    """Why a file cannot be used."""
    with pytest.raises(UnreadablePicture) as caught:
        decode(data, **options)
    return str(caught.value)


def png(w: int, h: int, depth: int, colour_type: int, rows: bytes, *, transparent: bytes = b"") -> bytes:
    """A png put together by hand, for what Pillow cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour_type, 0, 0, 0))
    middle = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})], ids=["png", "bmp", "webp"])
def test_lossless_formats_come_back_exactly(form: str, options: dict[str, Any]) -> None:
    """png, bmp and lossless webp decode to the very pixels that were saved."""
    rgb = noise(5, 8)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(rgb), form, **options)), rgb)


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    """A png that is called .jpg is read; a text that is called .jpg is not."""
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(noise(4, 4)), "PNG"))
    assert decode(tmp_path / "a.jpg").shape == (4, 4, 3)
    (tmp_path / "b.jpg").write_text("not at all")
    assert reason(tmp_path / "b.jpg") == "not a picture (jpg, png, webp or bmp)"


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(form: str, orientation: int) -> None:
    """Each of EXIF's 8 orientations is shown as Pillow's exif_transpose shows it; 0 and 9 do not exist and change nothing."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {"quality": 100} if form == "JPEG" else {}
    data = encoded(Image.fromarray(noise(6, 10)), form, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(decode(data), expected)
    assert decode(data).flags.c_contiguous


@pytest.mark.parametrize("block", [b"MM\0*\0\0\0\x08\0\x05garbage", b"MM\0*", b"no TIFF at all"], ids=["entries", "cut", "header"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_an_unreadable_exif_block_does_not_cost_the_picture(form: str, block: bytes) -> None:
    """Pixels are none the worse for broken metadata."""
    data = encoded(Image.fromarray(scene()), form, exif=b"Exif\0\0" + block)
    assert decode(data).shape == (96, 128, 3)
    assert capture_time(data) is None


def test_grey_and_one_bit_become_rgb() -> None:
    """Three equal channels; a 1-bit picture is black and white."""
    grey = noise(4, 5)[:, :, 0]
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(grey), "PNG")), np.repeat(grey[:, :, None], 3, axis=2))
    bits = decode(encoded(Image.fromarray(grey > 127), "PNG"))
    np.testing.assert_array_equal(bits[:, :, 1], np.where(grey > 127, 255, 0))


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    """A 12-bit camera's dark frame stays dark: 65535 is white, 255 is nearly black."""
    deep = np.array([[0, 255, 256], [32768, 65280, 65535]], dtype=np.uint16)
    rgb = decode(encoded(Image.fromarray(deep), "PNG"))
    np.testing.assert_array_equal(rgb[:, :, 0], [[0, 0, 1], [128, 255, 255]])
    assert rgb.shape == (2, 3, 3)


@pytest.mark.parametrize("value", [0, 255, 256, 0x1234, 0x8000, 65535])
@pytest.mark.parametrize("kind", ["grey", "grey with alpha", "rgb", "rgb with alpha"])
def test_sixteen_bits_of_any_kind_are_scaled(kind: str, value: int) -> None:
    """Of each value the upper eight bits remain, with channels and with alpha as in grey."""
    colour_type = {"grey": 0, "grey with alpha": 4, "rgb": 2, "rgb with alpha": 6}[kind]
    two = struct.pack(">H", value)
    pixel = two * (3 if "rgb" in kind else 1) + (b"\xff\xff" if "alpha" in kind else b"")
    assert decode(png(1, 1, 16, colour_type, b"\0" + pixel)).tolist() == [[[value >> 8] * 3]]


@pytest.mark.parametrize(
    ("depth", "colour_type", "row", "transparent"),
    [
        (1, 0, b"\0\x80", b"\0\0"),
        (8, 0, b"\0\xff\x09", b"\0\x09"),
        (16, 0, b"\0\xff\x00\x09\x01", b"\x09\x01"),
        (8, 2, b"\0\xff\xff\xff\x09\x09\x09", b"\0\x09\0\x09\0\x09"),
    ],
    ids=["1 bit", "grey", "16 bit grey", "rgb"],
)
def test_the_one_value_that_a_png_declares_clear_is_white(depth: int, colour_type: int, row: bytes, transparent: bytes) -> None:
    """Without alpha channel or palette; without the declaration the same pixel is dark."""
    assert decode(png(2, 1, depth, colour_type, row, transparent=transparent)).tolist() == [[[255] * 3] * 2]
    assert decode(png(2, 1, depth, colour_type, row))[0, 1].max() < 10


def test_palettes_become_rgb() -> None:
    """A palette's colours, and white where the palette has a transparent entry."""
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode(encoded(picture, "PNG")), [[[255, 0, 0], [0, 0, 255]]])
    np.testing.assert_array_equal(decode(encoded(picture, "PNG", transparency=1)), [[[255, 0, 0], [255, 255, 255]]])
    np.testing.assert_array_equal(decode(encoded(picture, "PNG", transparency=b"\xff\x00")), [[[255, 0, 0], [255, 255, 255]]])


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})], ids=["png", "webp"])
def test_transparency_is_laid_on_white(form: str, options: dict[str, Any]) -> None:
    """Alpha 0 is white, 255 the colour, half of it half way, whatever colour hides below."""
    rgba = np.array([[[0, 0, 0, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], dtype=np.uint8)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(rgba), form, **options)), [[[255] * 3, [10, 20, 30], [204] * 3]])


def test_grey_with_transparency_is_laid_on_white() -> None:
    """Both the alpha channel and the single transparent value of grey and rgb png."""
    la = np.array([[[7, 0], [7, 255]]], dtype=np.uint8)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(la), "PNG"))[0, :, 0], [255, 7])
    grey = Image.fromarray(np.array([[7, 8]], dtype=np.uint8))
    np.testing.assert_array_equal(decode(encoded(grey, "PNG", transparency=7))[0, :, 0], [255, 8])
    colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    np.testing.assert_array_equal(decode(encoded(colour, "PNG", transparency=(1, 2, 3)))[0], [[255] * 3, [4, 5, 6]])


def test_cmyk_becomes_rgb() -> None:
    """Print colours come back as the colours that were put in, not inverted."""
    rgb = decode(encoded(Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK"), "JPEG", quality=100))
    assert np.abs(rgb.astype(int) - [200, 30, 60]).max() <= 4


def test_of_an_animation_the_first_frame_is_taken() -> None:
    """webp and png animations, and the several pictures of a phone's mpo."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    for form, options in (("WEBP", {"lossless": True}), ("PNG", {}), ("MPO", {})):
        rgb = decode(encoded(frames[0], form, save_all=True, append_images=frames[1:], **options))
        assert np.abs(rgb.astype(int) - [255, 0, 0]).max() <= 2, form


def test_an_empty_file_is_named_so(tmp_path: Path) -> None:
    """Zero bytes, in memory and on disk."""
    (tmp_path / "a.png").touch()
    assert reason(b"") == reason(tmp_path / "a.png") == "empty"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_half_a_file_is_truncated(form: str) -> None:
    """A copy that broke off is named as such."""
    data = encoded(Image.fromarray(noise(64, 64)), form)
    assert reason(data[: len(data) // 2]) == "truncated"


def test_damage_is_told_from_truncation() -> None:
    """Bytes overwritten in the middle of a whole png."""
    data = bytearray(encoded(Image.fromarray(noise(64, 64)), "PNG"))
    data[60:200] = bytes(140)
    assert reason(bytes(data)).startswith("damaged (")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encoded(Image.new("RGB", (4, 4)), "GIF"), "GIF"),
        (encoded(Image.new("RGB", (4, 4)), "TIFF"), "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "AVIF"),
        (b"%PDF-1.7", "PDF"),
    ],
    ids=["gif", "tiff", "big-endian tiff", "heic", "avif", "pdf"],
)
def test_a_picture_of_another_kind_is_named(data: bytes, name: str) -> None:
    """Somebody who brings a phone's HEIC files learns what to do, instead of reading that they are no pictures."""
    assert reason(data) == f"{name}, not one of jpg, png, webp and bmp; convert it"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture (jpg, png, webp or bmp)"),
        (bytes(1000), "not a picture (jpg, png, webp or bmp)"),
        (b"\xff\xd8\xff" + b"no jpg at all" * 9, "truncated or damaged"),
        (encoded(Image.new("RGB", (4, 4)), "PNG")[:12], "truncated or damaged"),
        (png(0, 5, 8, 2, b""), "truncated or damaged"),
    ],
    ids=["svg", "zeros", "only a jpg's beginning", "12 bytes of a png", "no pixels"],
)
def test_what_only_looks_like_a_picture_is_refused(data: bytes, expected: str) -> None:
    """By what its first bytes say; nothing of Pillow's own words about objects in memory."""
    assert reason(data) == expected


def bmp_header(w: int, h: int) -> bytes:
    """A bmp that promises `w x h` pixels and brings none."""
    head = bytearray(encoded(Image.new("RGB", (1, 1)), "BMP"))
    head[18:26] = w.to_bytes(4, "little") + h.to_bytes(4, "little")
    return bytes(head)


@pytest.mark.parametrize(
    ("w", "h", "limit", "text"),
    [
        (12000, 10000, 64_000_000, "over the pixel limit: 120 million pixels, at most 64 million"),
        (20000, 20000, 64_000_000, "over the pixel limit: 400 million pixels, at most 64 million"),
        (11, 100, 1099, "over the pixel limit: 0 million pixels, at most 0 million"),
        (4, 401, 64_000_000, "too narrow: 4 x 401 pixels, at most 100 times as long as wide"),
    ],
    ids=["over ours", "over Pillow's", "just over", "too narrow"],
)
def test_the_header_alone_refuses_a_picture_that_is_too_large(w: int, h: int, limit: int, text: str) -> None:
    """Nothing is decoded: the file holds no pixels, and the reason is still the size."""
    assert reason(bmp_header(w, h), pixel_limit=limit) == text


def test_a_picture_at_the_limits_is_read() -> None:
    """Exactly the allowed pixels, and exactly 100 times as long as wide."""
    assert decode(encoded(Image.new("RGB", (10, 10)), "PNG"), pixel_limit=100).shape == (10, 10, 3)
    assert decode(encoded(Image.new("RGB", (300, 3)), "PNG")).shape == (3, 300, 3)


def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    """A missing file, a link to nothing, a folder and a pipe, on which a reader would wait for ever: a reason, no OSError."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere")
    assert reason(tmp_path / "gone.jpg") == reason(tmp_path / "link.jpg") == "cannot be read (No such file or directory)"
    assert reason(tmp_path) == reason(tmp_path / "pipe.jpg") == "not a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    """The system's own words."""
    (tmp_path / "secret.png").write_bytes(encoded(Image.new("RGB", (4, 4)), "PNG"))
    (tmp_path / "secret.png").chmod(0)
    assert reason(tmp_path / "secret.png") == "cannot be read (Permission denied)"


def test_only_the_beginning_of_a_video_is_read(tmp_path: Path) -> None:
    """A file that does not begin like a picture is not loaded whole."""
    (tmp_path / "clip.jpg").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100_000))
    assert len(read_file(tmp_path / "clip.jpg")) == 16
    assert reason(tmp_path / "clip.jpg") == "not a picture (jpg, png, webp or bmp)"


def _cut(data: bytes, random: np.random.Generator) -> bytes:
    return data[: int(random.integers(1, len(data)))]


def _flip(data: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    within = len(data) if random.random() < 0.5 else min(len(data), 200)  # half of the flips hit the header
    for place in random.integers(0, within, 4):
        changed[place] ^= 1 << int(random.integers(0, 8))
    return bytes(changed)


@pytest.mark.parametrize("change", [_cut, _flip])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "palette", "exif"])
def test_no_damage_raises_anything_else(form: str, change: Callable[[bytes, np.random.Generator], bytes]) -> None:
    """150 random cuts and flips per format: an rgb picture or an UnreadablePicture with a reason, and not a word on stderr."""
    image = Image.fromarray(scene(24, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(EXIF_IFD)[0x9003] = "2024:05:06 07:08:09"
    whole = {
        "palette": lambda: encoded(image.quantize(16), "PNG", transparency=3),
        "exif": lambda: encoded(image, "JPEG", exif=exif),
    }.get(form, lambda: encoded(image, form))()
    random = np.random.default_rng(1)
    reasons: list[str] = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for _ in range(150):
            data = change(whole, random)
            capture_time(data)
            try:
                rgb = decode(data, pixel_limit=1_000_000)
            except UnreadablePicture as error:
                reasons.append(str(error))
            else:
                assert (rgb.dtype, rgb.ndim, rgb.shape[2]) == (np.uint8, 3, 3)
    assert heard == []
    assert reasons
    assert all(reasons)


def test_pillows_warnings_stay_off_and_others_on_between_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever thread ends first, Pillow is quiet until the last one ends, and the filters are then as they were."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # each of these pictures would warn
    data = encoded(Image.fromarray(noise(3, 5)), "PNG")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        threads = [threading.Thread(target=lambda: [decode(data) for _ in range(40)]) for _ in range(4)]
        for thread in threads:
            thread.start()
            time.sleep(0.001)
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
    assert heard == []


@pytest.mark.parametrize(
    ("shape", "geometry"),
    [
        ((720, 1280), Geometry(224, 0.9, "bicubic")),
        ((1080, 1920), Geometry(224, 0.9, "bicubic")),
        ((480, 640), Geometry(224, 0.875, "bilinear")),
        ((523, 279), Geometry(224, 0.9, "bicubic")),
    ],
    ids=str,
)
def test_the_part_that_is_resized_gives_the_numbers_of_the_whole(shape: tuple[int, int], geometry: Geometry) -> None:
    """At the model's real size, against resizing everything and cutting the middle out."""
    rgb = noise(*shape)
    np.testing.assert_array_equal(to_input(rgb, geometry), torchvision_input(rgb, geometry))


def test_of_a_cameras_frame_only_a_part_is_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1280 columns the 704 that the crop sees."""
    widths: list[int] = []
    resize = Image.Image.resize

    def noted(image: Image.Image, *arguments: object) -> Image.Image:
        widths.append(image.width)
        return resize(image, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", noted)
    to_input(noise(720, 1280), Geometry(224, 0.9, "bicubic"))
    assert widths == [704]


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ((0.0, 0.0, 1.0, 1.0), (slice(0, 40), slice(0, 60))),
        ((0.5, 0.25, 0.5, 0.5), (slice(10, 30), slice(30, 60))),
        ((0.999, 0.999, 0.001, 0.001), (slice(39, 40), slice(59, 60))),
        ((0.0, 0.0, 0.001, 0.001), (slice(0, 1), slice(0, 1))),
    ],
)
def test_a_region_is_a_part_of_the_frame(region: tuple[float, float, float, float], expected: tuple[slice, slice]) -> None:
    """Left, top, width, height; at least one pixel, in memory of its own."""
    rgb = noise(40, 60)
    cut = cut_region(rgb, region)
    np.testing.assert_array_equal(cut, rgb[expected])
    assert cut.flags.c_contiguous


def torchvision_input(rgb: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """timm's evaluation transform without its last, normalising steps."""
    transforms = pytest.importorskip("torchvision.transforms")
    mode = transforms.InterpolationMode(geometry.interpolation)
    resize = transforms.Resize(int(geometry.size / geometry.crop_pct), interpolation=mode)
    return np.asarray(transforms.CenterCrop(geometry.size)(resize(Image.fromarray(rgb))))


@pytest.mark.parametrize("geometry", [Geometry(32, 0.9, "bicubic"), Geometry(33, 0.875, "bilinear"), Geometry(32, 1.0, "bicubic")], ids=str)
@pytest.mark.parametrize(
    "shape",
    [
        *[(40, 40), (61, 47), (47, 61), (480, 641), (7, 5), (1, 1), (300, 3), (3, 299), (35, 90), (90, 36), (32, 32)],
        *[(720, 1280), (1280, 720), (480, 640), (523, 279), (840, 400), (800, 400), (760, 400)],
    ],
    ids=str,
)
def test_the_input_is_torchvisions(shape: tuple[int, int], geometry: Geometry) -> None:
    """Pixel for pixel: odd sizes, pictures smaller than the input, strips, pictures that already fit, and the frames of cameras, of which
    only a part is resized; twice as high as wide is where Pillow changes its order."""
    rgb = noise(*shape)
    np.testing.assert_array_equal(to_input(rgb, geometry), torchvision_input(rgb, geometry))
    assert to_input(rgb, geometry).shape == (geometry.size, geometry.size, 3)


def test_the_input_is_the_callers_own() -> None:
    """Writing on it leaves the picture as it was, also where nothing had to be resized or cut."""
    rgb = noise(32, 32)
    given = to_input(rgb, Geometry(32, 1.0, "bicubic"))
    given[:] = 0
    assert rgb.any()


@pytest.mark.parametrize("crop_pct", [0.9, 0.95, 1.0])
def test_the_input_is_timms(crop_pct: float) -> None:
    """The transform that timm itself makes for evaluation, without its last steps, on a photograph's size."""
    transforms = pytest.importorskip("timm.data").create_transform(224, is_training=False, interpolation="bicubic", crop_pct=crop_pct)
    rgb = scene(257, 343)
    picture = Image.fromarray(rgb)
    for step in transforms.transforms[:2]:
        picture = step(picture)
    np.testing.assert_array_equal(to_input(rgb, Geometry(224, crop_pct, "bicubic")), np.asarray(picture))


def test_the_geometry_is_the_architectures() -> None:
    """Size, crop and interpolation come from the backbone; pictures are kept at 1.15 x the input."""
    architecture = Architecture(
        backbone="vit", image_size=224, patch_size=16, width=8, depth=1, heads=1, mlp_width=8, norm_eps=1e-6, layer_scale=False,
        mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bilinear", crop_pct=0.9,
    )  # fmt: skip
    assert geometry_of(architecture) == Geometry(224, 0.9, "bilinear")
    assert geometry_of(architecture).keep_short == 258


def test_shrink_never_enlarges() -> None:
    """The short side becomes what was asked for and the form stays; smaller pictures are left alone."""
    assert shrink(scene(100, 200), 50).shape == (50, 100, 3)
    assert shrink(scene(200, 100), 50).shape == (100, 50, 3)
    small = scene(40, 200)
    assert shrink(small, 50) is small
    assert shrink(scene(300, 3), 1).shape == (100, 1, 3)


def test_the_encoded_picture_is_the_picture_alone() -> None:
    """Equal bytes each time, no EXIF, and nearly the same pixels."""
    rgb = scene()
    data = encode_jpeg(rgb)
    assert data == encode_jpeg(rgb.copy())
    assert len(encode_jpeg(rgb, quality=50)) < len(data)
    with Image.open(io.BytesIO(data)) as image:
        assert dict(image.getexif()) == {}
        assert "exif" not in image.info
    assert np.abs(decode(data).astype(int) - rgb).mean() < 2


def test_the_hash_of_known_pictures() -> None:
    """One bit per step to the right: brighter to the right is all ones, darker or flat is all zeros, first sample in the highest bit."""
    ramp = np.repeat(np.repeat(np.arange(0, 225, 25, dtype=np.uint8)[None, :, None], 8, axis=0), 3, axis=2)
    assert perceptual_hash(ramp) == 2**64 - 1
    assert perceptual_hash(ramp[:, ::-1]) == 0
    assert perceptual_hash(np.full((50, 70, 3), 9, np.uint8)) == 0
    one = np.zeros((8, 9, 3), np.uint8)
    one[0, 1] = 255
    assert perceptual_hash(one) == 1 << 63


def test_the_hash_survives_what_a_copy_survives() -> None:
    """Half the size, a poor JPEG, brighter: at most 4 bits; another scene: more than 10."""
    rgb = scene(200, 260)
    original = perceptual_hash(rgb)
    copies = [shrink(rgb, 100), decode(encode_jpeg(rgb, quality=30)), np.minimum(rgb.astype(int) + 20, 255).astype(np.uint8)]
    assert max(hamming(original, perceptual_hash(copy)) for copy in copies) <= 4
    assert hamming(original, perceptual_hash(scene(200, 260, seed=1))) > 10


def test_hamming_counts_the_bits_that_differ() -> None:
    """From none to all."""
    assert [hamming(a, b) for a, b in ((0, 0), (0b1011, 0b0010), (0, 2**64 - 1))] == [0, 2, 64]


def test_flat_pictures_are_not_alike() -> None:
    """Equal hashes that say nothing join nothing; those that tell join within the given bits and not beyond."""
    telling = 0xF0F0_F0F0_F0F0_F0F0
    assert not alike(0, 0, within=6)
    assert not alike(2**64 - 1, 2**64 - 1, within=6)
    assert alike(telling, telling, within=0)
    assert alike(telling, telling ^ 0b111, within=3)
    assert not alike(telling, telling ^ 0b1111, within=3)
    sparse = (1 << 9) - 1
    assert not alike(sparse, sparse, within=6)
    assert alike(sparse << 1 | 1, sparse << 1 | 1, within=6)


def photo(taken: str | None, fraction: str | None = None, form: str = "JPEG") -> bytes:
    """A file with the given EXIF capture time."""
    exif = Image.Exif()
    ifd = exif.get_ifd(EXIF_IFD)
    if taken is not None:
        ifd[0x9003] = taken
    if fraction is not None:
        ifd[0x9291] = fraction
    return encoded(Image.new("RGB", (8, 8)), form, exif=exif.tobytes())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_the_capture_time_is_exifs(form: str) -> None:
    """Seconds with their fraction, of the camera's own clock."""
    assert capture_time(photo("1970:01:02 00:00:01", form=form)) == 86401
    assert capture_time(photo("1970:01:02 00:00:01", "25", form)) == 86401.25


@pytest.mark.parametrize("taken", [None, "", "0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday", "2024:13:01 00:00:00"])
def test_a_picture_that_does_not_say_when_has_no_time(taken: str | None) -> None:
    """Cameras write blanks and zeros, too."""
    assert capture_time(photo(taken)) is None


def test_a_senseless_fraction_is_left_out() -> None:
    """Superscripts are digits to Python, but no number."""
    assert capture_time(photo("1970:01:01 00:00:01", "ab")) == 1
    assert capture_time(b"not a picture") is None


def test_a_file_over_the_limit_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what tells that it is too large is read."""
    monkeypatch.setattr("edgecl.preprocess.FILE_LIMIT", 100)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff" + bytes(1000))
    with pytest.raises(UnreadablePicture, match="over the file limit: more than 0 MiB"):
        read_file(tmp_path / "a.jpg")


def test_a_jpeg_in_too_many_scans_is_not_decoded() -> None:
    """Each scan costs a pass over all pixels, so a small file could keep a board busy for hours; cameras write ten or so."""
    with pytest.raises(UnreadablePicture, match="a JPEG in 101 scans, at most 100 are read"):
        decode(b"\xff\xd8\xff" + b"\xff\xda" * 101)
    with pytest.raises(UnreadablePicture, match="truncated"):
        decode(b"\xff\xd8\xff" + b"\xff\xda" * 100)
