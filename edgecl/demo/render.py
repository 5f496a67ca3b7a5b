"""Pictures of simple things for the demo and for tests, drawn from a seed: no download, no licence, no camera.

Parts, fruit and labelled boxes on a cluttered ground; colour, turn, size, place, light, blur and noise change from picture to picture.
"""

import math
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from edgecl.errors import UsageError

CANVAS = 320  # pixels, square; everything is drawn at this size and brought to the wanted one at the end
MIDDLE = CANVAS / 2
QUALITY = 90  # of the JPEG files

Colour = tuple[int, int, int]
Drawer = Callable[[ImageDraw.ImageDraw, np.random.Generator], None]


def render(thing: str, *, seed: int, size: int = 160) -> NDArray[np.uint8]:
    """One picture of `thing` as rgb uint8 `[size, size, 3]`; the same arguments give the same picture.

    Raises:
        UsageError: nobody knows how to draw the thing.
    """
    if thing not in _DRAWERS:
        raise UsageError(f"there is no thing {thing!r} to draw. Choose from {', '.join(THINGS)}.")
    random = np.random.default_rng([seed, zlib.crc32(thing.encode())])
    scene = _ground(random)
    _place(scene, _drawn(_DRAWERS[thing], random), random)
    soft = scene.filter(ImageFilter.GaussianBlur(random.uniform(0.0, 2.2)))
    return _lit(np.asarray(soft.resize((size, size), Image.Resampling.BOX)), random)


def write_task(folder: Path, things: Iterable[str], *, count: int, seed: int) -> None:
    """A task folder: `folder/<thing>/000.jpg` and on, `count` pictures (below a million) of each; no picture comes under two seeds."""
    for thing in things:
        (folder / thing).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture = render(thing, seed=1_000_000 * seed + index)
            Image.fromarray(picture).save(folder / thing / f"{index:03}.jpg", quality=QUALITY)


def _drawn(drawer: Drawer, random: np.random.Generator) -> Image.Image:
    """The thing alone, transparent around it, turned and seen a little from the side."""
    layer = Image.new("RGBA", (CANVAS, CANVAS), (0, 0, 0, 0))
    drawer(ImageDraw.Draw(layer), random)
    layer = layer.rotate(random.uniform(-40, 40), Image.Resampling.BICUBIC)
    scale = random.uniform(0.65, 1.0)
    w, h = (int(CANVAS * scale * random.uniform(0.85, 1.0)) for _ in range(2))
    return layer.resize((w, h), Image.Resampling.BICUBIC)


def _place(scene: Image.Image, thing: Image.Image, random: np.random.Generator) -> None:
    """Lay the thing and its shadow on the scene, near the middle."""
    x, y = (int((CANVAS - side) / 2 + random.uniform(-0.1, 0.1) * CANVAS) for side in thing.size)
    shadow = thing.getchannel("A").filter(ImageFilter.GaussianBlur(8)).point(lambda value: int(value * 0.5))
    scene.paste((0, 0, 0), (x + int(random.integers(-12, 13)), y + int(random.integers(4, 14))), shadow)
    scene.paste(thing, (x, y), thing)


def _ground(random: np.random.Generator) -> Image.Image:
    """A bench top or cloth of some colour, with grain and a few scraps lying about."""
    base = random.uniform(90, 200) + random.uniform(-30, 30, 3)
    grain = random.normal(0, 1, (20, 20, 1)) * random.uniform(2, 12)
    ground = Image.fromarray(np.clip(base + grain, 0, 255).astype(np.uint8)).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(ground)
    for _ in range(int(random.integers(2, 8))):
        x, y = random.uniform(0, CANVAS, 2)
        w, h = random.uniform(8, 70, 2)
        corners = [(x + w * math.cos(a), y + h * math.sin(a)) for a in np.sort(random.uniform(0, 2 * math.pi, int(random.integers(3, 7))))]
        draw.polygon(corners, fill=tuple(int(value) for value in random.integers(40, 240, 3)))
    return ground


def _lit(rgb: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Light that falls off to one side and has a tint, and the noise of a small sensor."""
    size = len(rgb)
    angle = random.uniform(0, 2 * math.pi)
    row, column = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    fall = 1 + random.uniform(0, 0.3) * (math.cos(angle) * column + math.sin(angle) * row)
    tint = random.uniform(0.65, 1.2) * random.uniform(0.93, 1.07, 3)
    noise = random.normal(0, random.uniform(1, 6), rgb.shape)
    lit: NDArray[np.uint8] = np.clip(rgb * fall[:, :, None] * tint + noise, 0, 255).astype(np.uint8)
    return lit


def _shade(colour: Colour, random: np.random.Generator, by: float = 22) -> Colour:
    """A colour near to this one."""
    r, g, b = (int(np.clip(value + random.uniform(-by, by), 0, 255)) for value in colour)
    return r, g, b


def _disc(draw: ImageDraw.ImageDraw, radius: float, fill: Colour | tuple[int, int, int, int], x: float = 0, y: float = 0) -> None:
    """A disc around a point that is given from the middle."""
    draw.ellipse((MIDDLE + x - radius, MIDDLE + y - radius, MIDDLE + x + radius, MIDDLE + y + radius), fill=fill)


def _around(count: int, *radii: float) -> list[tuple[float, float]]:
    """Points on circles about the middle, `count` turns of the radii in their order."""
    n = count * len(radii)
    turn = 2 * math.pi / n
    return [(MIDDLE + radii[i % len(radii)] * math.cos(i * turn), MIDDLE + radii[i % len(radii)] * math.sin(i * turn)) for i in range(n)]


def _gear(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    teeth = int(random.integers(10, 15))
    brass = _shade((176, 138, 58), random)
    draw.polygon(_around(teeth, 108, 140, 140, 108), fill=brass)
    _disc(draw, 92, _shade(brass, random))
    for x, y in _around(5, 60):
        _disc(draw, 17, (0, 0, 0, 0), x - MIDDLE, y - MIDDLE)
    _disc(draw, 26, (40, 34, 24))


def _bolt(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    steel = _shade((118, 122, 130), random)
    left, right, bottom = MIDDLE - 24, MIDDLE + 24, MIDDLE + random.uniform(90, 140)
    draw.rectangle((left, MIDDLE - 80, right, bottom), fill=steel)
    for y in range(int(MIDDLE) - 30, int(bottom), 11):
        draw.line((left - 4, y + 5, right + 4, y - 3), fill=(58, 60, 66), width=5)
    draw.polygon(
        [(MIDDLE + x, MIDDLE + y) for x, y in ((-62, -112), (-40, -138), (40, -138), (62, -112), (62, -76), (-62, -76))], fill=steel
    )
    for x, edge in ((-22, (80, 82, 88)), (22, (170, 174, 182))):
        draw.line((MIDDLE + x, MIDDLE - 136, MIDDLE + x, MIDDLE - 76), fill=edge, width=4)


def _washer(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    steel = _shade((196, 202, 212), random)
    _disc(draw, 118, (92, 96, 104))
    _disc(draw, 112, steel)
    _disc(draw, random.uniform(50, 64), (0, 0, 0, 0))


def _apple(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    red = _shade((178, 28, 34), random)
    _disc(draw, 82, red, -34, 4)
    _disc(draw, 82, red, 34, 4)
    draw.ellipse((MIDDLE - 84, MIDDLE - 20, MIDDLE + 84, MIDDLE + 116), fill=red)
    _disc(draw, 24, _shade((226, 106, 90), random), -50, -22)
    draw.line((MIDDLE, MIDDLE - 66, MIDDLE + 14, MIDDLE - 124), fill=(84, 56, 28), width=10)
    draw.ellipse((MIDDLE + 14, MIDDLE - 122, MIDDLE + 76, MIDDLE - 90), fill=(62, 128, 48))


def _banana(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    yellow = _shade((236, 204, 62), random)
    angles = np.linspace(0.08 * math.pi, 0.92 * math.pi, 30)
    outer = [(MIDDLE + 140 * math.cos(a), MIDDLE - 70 + 160 * math.sin(a)) for a in angles]
    inner = [(MIDDLE + 128 * math.cos(a), MIDDLE - 76 + 92 * math.sin(a)) for a in angles[::-1]]
    draw.polygon(outer + inner, fill=yellow)
    draw.line([(x * 0.94 + MIDDLE * 0.06, y - 30) for x, y in outer[5:-5]], fill=(196, 158, 40), width=5)
    for x, y in (outer[0], outer[-1]):
        _disc(draw, 13, (92, 72, 30), x - MIDDLE, y - MIDDLE - 4)


def _orange(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    orange = _shade((240, 136, 24), random)
    _disc(draw, 114, orange)
    for x, y in random.uniform(-72, 72, (60, 2)):
        _disc(draw, 2.5, (206, 106, 12), x, y)
    _disc(draw, 26, _shade((255, 196, 110), random), -40, -44)
    draw.polygon([(x, y - 8) for x, y in _around(5, 16, 6)], fill=(70, 104, 40))


def _box(width: float, height: float, colour: Colour, label: Colour, text: str) -> Drawer:
    """A box with a printed label, its code bars, and the edge of one side."""

    def draw_box(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
        front = _shade(colour, random)
        left, top, right, bottom = MIDDLE - width, MIDDLE - height, MIDDLE + width, MIDDLE + height
        side = tuple(value // 2 for value in front)
        draw.polygon([(right, top), (right + 22, top + 18), (right + 22, bottom - 6), (right, bottom)], fill=side)
        draw.rectangle((left, top, right, bottom), fill=front)
        draw.rectangle((left + 14, top + height * 0.3, right - 14, top + height * 1.1), fill=label)
        _print(draw, text, (left + 22, top + height * 0.38, right - 22, top + height * 1.02), side)
        x = left + 16.0
        while x < right - 60:
            bar = float(random.integers(2, 7))
            draw.rectangle((x, bottom - 40, x + bar, bottom - 12), fill=(20, 20, 20))
            x += bar + float(random.integers(3, 7))

    return draw_box


def _print(draw: ImageDraw.ImageDraw, text: str, box: tuple[float, float, float, float], ink: tuple[int, ...]) -> None:
    """The text, stretched to the box; Pillow's own font, so that no machine needs one installed."""
    page = Image.new("L", (200, 40), 0)
    ImageDraw.Draw(page).text((4, 4), text, font=ImageFont.load_default(), fill=255)
    left, top, right, bottom = (int(value) for value in box)
    draw.bitmap((left, top), page.crop(page.getbbox()).resize((right - left, bottom - top), Image.Resampling.BILINEAR), fill=ink)


_DRAWERS: dict[str, Drawer] = {
    "gear": _gear,
    "bolt": _bolt,
    "washer": _washer,
    "apple": _apple,
    "banana": _banana,
    "orange": _orange,
    "milk": _box(74, 130, (66, 122, 206), (244, 244, 240), "MILK"),
    "tea": _box(112, 84, (52, 118, 66), (232, 222, 168), "TEA"),
    "parcel": _box(126, 108, (172, 128, 82), (250, 250, 248), "FRAGILE"),
}
THINGS: tuple[str, ...] = tuple(_DRAWERS)
