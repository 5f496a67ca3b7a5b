"""What edgecl can draw: parts, fruit and labelled boxes, each flat and upright, alone on a transparent canvas."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CANVAS = 320  # pixels, square
MIDDLE = CANVAS / 2

Colour = tuple[int, int, int]
Drawer = Callable[[ImageDraw.ImageDraw, np.random.Generator], None]


@dataclass(frozen=True)
class Thing:
    """How it is drawn, and what its surface does to the light."""

    draw: Drawer
    roundness: float  # pixels from its edge inwards over which the surface turns towards the camera
    gloss: float  # 0 for cardboard, 1 for polished steel


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
    draw.polygon([(x, y - 8) for x, y in _around(5, 16, 6)], fill=(70, 104, 40))


def _box(width: float, height: float, colour: Colour, label: Colour, text: str, note: str) -> Drawer:
    """A box with a printed label, its code bars, a note beside them, and the edge of one side."""

    def draw_box(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
        front = _shade(colour, random)
        left, top, right, bottom = MIDDLE - width, MIDDLE - height, MIDDLE + width, MIDDLE + height
        side = tuple(value // 2 for value in front)
        draw.polygon([(right, top), (right + 22, top + 18), (right + 22, bottom - 6), (right, bottom)], fill=side)
        draw.rectangle((left, top, right, bottom), fill=front)
        draw.rectangle((left, top, right, top + height * 0.14), fill=_shade(label, random))
        draw.rectangle((left + 14, top + height * 0.3, right - 14, top + height * 1.1), fill=label)
        _print(draw, text, (left + 22, top + height * 0.38, right - 22, top + height * 1.02), side)
        x = left + 16.0
        while x < right - 60:
            bar = float(random.integers(2, 7))
            draw.rectangle((x, bottom - 40, x + bar, bottom - 12), fill=(20, 20, 20))
            x += bar + float(random.integers(3, 7))
        _print(draw, note, (right - 54, bottom - 34, right - 8, bottom - 18), (20, 20, 20))

    return draw_box


def _print(draw: ImageDraw.ImageDraw, text: str, box: tuple[float, float, float, float], ink: tuple[int, ...]) -> None:
    """The text, stretched to the box; Pillow's own font, so that no machine needs one installed."""
    page = Image.new("L", (200, 40), 0)
    ImageDraw.Draw(page).text((4, 4), text, font=ImageFont.load_default(), fill=255)
    left, top, right, bottom = (int(value) for value in box)
    draw.bitmap((left, top), page.crop(page.getbbox()).resize((right - left, bottom - top), Image.Resampling.BILINEAR), fill=ink)


THINGS: dict[str, Thing] = {
    "gear": Thing(_gear, roundness=4, gloss=0.7),
    "bolt": Thing(_bolt, roundness=10, gloss=0.8),
    "washer": Thing(_washer, roundness=6, gloss=1.0),
    "apple": Thing(_apple, roundness=48, gloss=0.5),
    "banana": Thing(_banana, roundness=22, gloss=0.2),
    "orange": Thing(_orange, roundness=52, gloss=0.25),
    "milk": Thing(_box(74, 130, (66, 122, 206), (244, 244, 240), "MILK", "1 L"), roundness=3, gloss=0.2),
    "tea": Thing(_box(112, 84, (52, 118, 66), (232, 222, 168), "TEA", "20 BAGS"), roundness=3, gloss=0.1),
    "parcel": Thing(_box(126, 108, (172, 128, 82), (250, 250, 248), "FRAGILE", "No. 4711"), roundness=3, gloss=0.0),
}
