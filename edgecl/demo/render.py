"""Pictures of simple things for the demo and for tests, drawn from a seed: no download, no licence, no camera.

Parts, fruit and labelled boxes on a cluttered ground. From picture to picture everything changes that changes under a camera: colour, turn,
tilt, size, place, the side the light comes from and its tint, what lies about or in front, focus, motion and noise.
"""

import math
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from edgecl.demo import things
from edgecl.demo.ground import ground, litter
from edgecl.demo.things import CANVAS, Thing
from edgecl.errors import UsageError

QUALITY = 90  # of the JPEG files
THINGS: tuple[str, ...] = tuple(things.THINGS)
IN_FRONT, MOVING = 0.15, 0.2  # parts of the pictures in which something covers a bit of the thing, and in which the camera moves


def render(thing: str, *, seed: int, size: int = 160) -> NDArray[np.uint8]:
    """One picture of `thing` as rgb uint8 `[size, size, 3]`; the same arguments give the same picture.

    Raises:
        UsageError: nobody knows how to draw the thing.
    """
    if thing not in THINGS:
        raise UsageError(f"there is no thing {thing!r} to draw. Choose from {', '.join(THINGS)}.")
    random = np.random.default_rng([seed, zlib.crc32(thing.encode())])
    light = random.uniform(0, 2 * math.pi)  # the direction that it comes from
    scene = ground(random)
    _place(scene, _drawn(things.THINGS[thing], light, random), light, random)
    if random.random() < IN_FRONT:
        litter(ImageDraw.Draw(scene), random)
    seen = np.asarray(_focused(scene, random).resize((size, size), Image.Resampling.BOX))
    return _lit(seen, light, random)


def write_task(folder: Path, names: Iterable[str], *, count: int, seed: int) -> None:
    """A task folder: `folder/<thing>/000.jpg` and on, `count` pictures (below a million) of each; no picture comes under two seeds."""
    for thing in names:
        (folder / thing).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture = render(thing, seed=1_000_000 * seed + index)
            Image.fromarray(picture).save(folder / thing / f"{index:03}.jpg", quality=QUALITY)


def _drawn(thing: Thing, light: float, random: np.random.Generator) -> Image.Image:
    """The thing alone, transparent around it: turned, seen a little from the side, and shaded."""
    layer = Image.new("RGBA", (CANVAS, CANVAS), (0, 0, 0, 0))
    thing.draw(ImageDraw.Draw(layer), random)
    layer = layer.rotate(random.uniform(-40, 40), Image.Resampling.BICUBIC)
    layer = layer.transform(layer.size, Image.Transform.PERSPECTIVE, _tilt(random), Image.Resampling.BICUBIC)
    side = int(CANVAS * random.uniform(0.6, 0.95))
    return _in_relief(layer, thing, light).resize((side, side), Image.Resampling.BICUBIC)


def _tilt(random: np.random.Generator) -> tuple[float, ...]:
    """Pillow's eight numbers of a perspective that leaves the middle where it is: flatter one way, and smaller towards one edge."""
    a, e = random.uniform(1.0, 1.25, 2)
    g, h = random.uniform(-0.25, 0.25, 2) / CANVAS
    middle = CANVAS / 2
    # (x, y) comes from middle + (a * x', e * y') / (1 + g * x' + h * y') with x' = x - middle
    d = 1 - (g + h) * middle
    return tuple(value / d for value in (a + middle * g, middle * h, middle * (d - a), middle * g, e + middle * h, middle * (d - e), g, h))


def _in_relief(layer: Image.Image, thing: Thing, light: float) -> Image.Image:
    """Shade a flat drawing as if it rose from its edges inwards: Lambert's law and a soft highlight on the slopes of its blurred outline."""
    rgba = np.asarray(layer, np.float32)
    height = np.asarray(layer.getchannel("A").filter(ImageFilter.GaussianBlur(thing.roundness / 2)), np.float32) / 255
    down, right = np.gradient(height * thing.roundness)
    towards = math.cos(light) * right + math.sin(light) * down  # uphill, away from the light, is negative
    slope = np.clip(-towards, -1, 1)
    shade = 1 + 0.55 * slope
    shine = 120 * thing.gloss * np.clip(slope - 0.35, 0, 1) ** 2
    rgb = np.clip(rgba[:, :, :3] * shade[:, :, None] + shine[:, :, None], 0, 255)
    return Image.fromarray(np.concatenate([rgb, rgba[:, :, 3:]], axis=2).astype(np.uint8))


def _place(scene: Image.Image, thing: Image.Image, light: float, random: np.random.Generator) -> None:
    """Lay the thing and its shadow on the scene, near the middle."""
    x, y = (int((CANVAS - side) / 2 + random.uniform(-0.1, 0.1) * CANVAS) for side in thing.size)
    shadow = thing.getchannel("A").filter(ImageFilter.GaussianBlur(7)).point(lambda value: int(value * 0.5))
    length = random.uniform(4, 16)
    scene.paste((0, 0, 0), (x - round(length * math.cos(light)), y - round(length * math.sin(light))), shadow)
    scene.paste(thing, (x, y), thing)


def _focused(scene: Image.Image, random: np.random.Generator) -> Image.Image:
    """Out of focus by up to two pixels, and sometimes drawn out by a movement."""
    soft = scene.filter(ImageFilter.GaussianBlur(random.uniform(0.0, 2.0)))
    if random.random() < MOVING:
        dx, dy = random.uniform(-5, 5, 2)
        moved = [np.roll(np.asarray(soft, np.float32), (round(dy * part), round(dx * part)), axis=(0, 1)) for part in (0, 0.5, 1)]
        soft = Image.fromarray(np.mean(moved, axis=0).astype(np.uint8))
    return soft


def _lit(rgb: NDArray[np.uint8], light: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """Light that falls off with the way from where it comes and has a tint, and the noise of a small sensor."""
    size = len(rgb)
    row, column = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    fall = 1 + random.uniform(0, 0.3) * (math.cos(light) * column + math.sin(light) * row)
    tint = random.uniform(0.65, 1.2) * random.uniform(0.93, 1.07, 3)
    noise = random.normal(0, random.uniform(1, 6), rgb.shape)
    lit: NDArray[np.uint8] = np.clip(rgb * fall[:, :, None] * tint + noise, 0, 255).astype(np.uint8)
    return lit
