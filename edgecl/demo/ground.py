"""What the things lie on: a bench top, boards or cloth, with scraps, cables, rings and printed paper lying about."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgecl.demo.things import CANVAS, Colour

Field = NDArray[np.float64]


def ground(random: np.random.Generator) -> Image.Image:
    """rgb of 320 x 320 pixels: a surface of some kind and colour, cluttered."""
    base = random.uniform(90, 200) + random.uniform(-30, 30, 3)
    relief = _grain(random) + SURFACES[int(random.integers(len(SURFACES)))](random)
    lying = Image.fromarray(np.clip(base + relief[:, :, None], 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(lying)
    for _ in range(int(random.integers(2, 8))):
        litter(draw, random)
    return lying


def litter(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    """One small thing that belongs to no class, anywhere."""
    x, y = (float(value) for value in random.uniform(0, CANVAS, 2))
    CLUTTER[int(random.integers(len(CLUTTER)))](draw, random, x, y)


def _grain(random: np.random.Generator) -> Field:
    """Soft spots of some pixels, `[320, 320]`."""
    coarse = Image.fromarray((random.normal(0, 1, (20, 20)) * random.uniform(2, 12)).astype(np.float32))
    return np.asarray(coarse.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC), np.float64)


def _bench(random: np.random.Generator) -> Field:
    """Nothing but a few straight scratches."""
    scratches = Image.new("L", (CANVAS, CANVAS), 0)
    draw = ImageDraw.Draw(scratches)
    for _ in range(int(random.integers(0, 8))):
        x0, y0, x1, y1 = random.uniform(0, CANVAS, 4)
        draw.line((x0, y0, x1, y1), fill=int(random.integers(8, 30)))
    return np.asarray(scratches, np.float64)


def _boards(random: np.random.Generator) -> Field:
    """Wood: boards of some width with their joints, and veins along them."""
    across = np.arange(CANVAS)
    width = random.uniform(60, 130)
    veins = [random.uniform(2, 6) * np.sin(across / random.uniform(3, 14) + random.uniform(0, 6)) for _ in range(3)]
    joints = -45.0 * (across % width < 3)
    bent = np.sin(across / random.uniform(40, 90)) * random.uniform(0, 5)
    rows = (across[:, None] + bent[None, :]).astype(int) % CANVAS
    field: Field = np.sum(veins, axis=0)[rows] + joints[:, None]
    return field.T if random.random() < 0.5 else field


def _weave(random: np.random.Generator) -> Field:
    """Cloth: threads both ways, some rows of them in another shade."""
    threads = np.sin(np.arange(CANVAS) * 2 * math.pi / random.uniform(5, 16))
    stripes = random.uniform(0, 25) * (np.arange(CANVAS) // random.integers(20, 60) % 2)
    return np.asarray(random.uniform(4, 12) * np.outer(threads, threads) + stripes[:, None])


SURFACES: tuple[Callable[[np.random.Generator], Field], ...] = (_bench, _boards, _weave)


def _any_colour(random: np.random.Generator) -> Colour:
    r, g, b = (int(value) for value in random.integers(40, 240, 3))
    return r, g, b


def _scrap(draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float) -> None:
    """A cut-off of anything, in one colour."""
    w, h = random.uniform(8, 60, 2)
    angles = np.sort(random.uniform(0, 2 * math.pi, int(random.integers(3, 7))))
    draw.polygon([(x + w * math.cos(a), y + h * math.sin(a)) for a in angles], fill=_any_colour(random))


def _cable(draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float) -> None:
    """A bent line of one colour, from there in some direction."""
    direction = random.uniform(0, 2 * math.pi) + np.cumsum(random.normal(0, 0.25, 24))
    path = np.cumsum(np.stack([np.cos(direction), np.sin(direction)], axis=1) * random.uniform(5, 12), axis=0)
    draw.line([(x + a, y + b) for a, b in path], fill=_any_colour(random), width=int(random.integers(3, 8)), joint="curve")


def _ring(draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float) -> None:
    """A lid, or what a cup has left."""
    radius = random.uniform(10, 34)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_any_colour(random), width=int(random.integers(2, 8)))


def _paper(draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float) -> None:
    """A slip with lines of print too small to read."""
    w, h = random.uniform(30, 80, 2)
    draw.rectangle((x, y, x + w, y + h), fill=(236, 234, 226))
    for line in np.arange(y + 6, y + h - 5, 7):
        draw.line((x + 4, line, x + 4 + (w - 8) * random.uniform(0.4, 1), line), fill=(90, 90, 96), width=2)


CLUTTER: tuple[Callable[[ImageDraw.ImageDraw, np.random.Generator, float, float], None], ...] = (_scrap, _scrap, _cable, _ring, _paper)
