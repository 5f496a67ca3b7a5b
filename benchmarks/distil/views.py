"""The pictures that the student learns from, each seen once by the teacher: crops of photos, small tiles, drawn things.

    python -m benchmarks.distil.views --cache DIR [photos] [tiles] [drawn]

`DIR/<source>/` then holds, for view i of that source,

    pictures.npy  uint8   [n, 96, 96, 3]   what the student sees
    token.npy     float16 [n, 192]         the teacher's class token behind its last norm, for the same cut at 224 pixels
    patches.npy   float16 [n, 49, 192]     its patch tokens, each 2 x 2 of the 14 x 14 averaged

Teacher and student see the same cut in the same light ("consistent teaching", Beyer et al. 2022, arXiv 2106.05237). A view depends on its
source and number alone, so a run that was stopped goes on. No label is read. Where the teacher computes in
bfloat16, its targets are rounded to three digits.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from benchmarks.distil.arithmetic import MULTIPLIED_IN
from benchmarks.distil.places import SHARED, TEACHER_WEIGHTS, tiles_of
from edgecl.backbone import build, load_pretrained
from edgecl.demo.render import THINGS, render

Array = NDArray[Any]
SIZE, TEACHER_SIZE = 96, 224  # pixels
GRID, WIDTH = 7, 192  # of the teacher's tokens as they are kept
CROPS_PER_PHOTO, DRAWN_PER_THING = 8, 300
BATCH = 64
FILES = {
    "pictures": (np.uint8, (SIZE, SIZE, 3)),
    "token": (np.float16, (WIDTH,)),
    "patches": (np.float16, (GRID * GRID, WIDTH)),
}


def photos() -> tuple[int, Callable[[int], Image.Image]]:
    """How many views the unlabelled photos give, and view `i`: a cut of one, a fifth of them laid half over another photo's."""
    paths = sorted((SHARED / "data" / "unlabelled").rglob("*.jpg"))

    def cut(path: Path, random: np.random.Generator) -> Image.Image:
        with Image.open(path) as photo:
            return cut_out(photo.convert("RGB"), random, smallest=0.2)

    def view(index: int) -> Image.Image:
        random = np.random.default_rng([1, index])
        seen = cut(paths[index % len(paths)], random)
        if random.random() < 0.2:
            other = cut(paths[int(random.integers(len(paths)))], random)
            seen = Image.blend(seen, other, random.uniform(0.3, 0.7))
        return lit(seen, random)

    return CROPS_PER_PHOTO * len(paths), view


def tiles() -> tuple[int, Callable[[int], Image.Image]]:
    """The same for the tiles that no evaluation uses."""
    found = tiles_of("distil")

    def view(index: int) -> Image.Image:
        random = np.random.default_rng([2, index])
        return lit(cut_out(Image.fromarray(found[index]), random, smallest=0.5), random)

    return len(found), view


def drawn() -> tuple[int, Callable[[int], Image.Image]]:
    """The same for edgecl's own renderer, with seeds that the demo and the tests do not use."""

    def view(index: int) -> Image.Image:
        random = np.random.default_rng([3, index])
        picture = render(THINGS[index % len(THINGS)], seed=500_000_000 + index, size=192)
        return cut_out(Image.fromarray(picture), random, smallest=0.6)

    return DRAWN_PER_THING * len(THINGS), view


SOURCES = {"photos": photos, "tiles": tiles, "drawn": drawn}


def cut_out(picture: Image.Image, random: np.random.Generator, smallest: float) -> Image.Image:
    """A cut of `smallest` to all of the area, between 4:3 and 3:4, as the teacher sees it: 224 pixels square."""
    area = picture.width * picture.height * random.uniform(smallest, 1.0)
    aspect = np.exp(random.uniform(-1, 1) * np.log(4 / 3))
    w, h = min(float(picture.width), (area * aspect) ** 0.5), min(float(picture.height), (area / aspect) ** 0.5)
    left, upper = random.uniform(0, picture.width - w), random.uniform(0, picture.height - h)
    return picture.resize((TEACHER_SIZE, TEACHER_SIZE), Image.Resampling.BICUBIC, box=(left, upper, left + w, upper + h))


def lit(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Other light, contrast and colour for half of the pictures, and a blur for a sixth."""
    if random.random() < 0.5:
        for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            picture = change(picture).enhance(random.uniform(0.6, 1.4))
    if random.random() < 1 / 6:
        picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 3.0)))
    return picture


class Teacher:
    """ViT-Tiny: pictures at 224 pixels to its tokens behind the last norm."""

    def __init__(self) -> None:
        pretrained = load_pretrained("vit_tiny_patch16_224", TEACHER_WEIGHTS)
        self._vit = build(pretrained.architecture, pretrained.state)
        self._vit.model.to(MULTIPLIED_IN)

    def __call__(self, pictures: Array) -> tuple[Array, Array]:
        """uint8 `[b, 224, 224, 3]` -> class token float16 `[b, 192]`, patches float16 `[b, 49, 192]`."""
        with torch.no_grad():
            tokens = self._vit.model.forward_features(self._vit.normalised(torch.from_numpy(pictures)).to(MULTIPLIED_IN)).float()
            grid = tokens[:, 1:].unflatten(1, (GRID, 2, GRID, 2)).mean(dim=(2, 4)).flatten(1, 2)
        return tokens[:, 0].half().numpy(), grid.half().numpy()


def keep(name: str, folder: Path, most: int | None = None) -> None:
    """Fill `folder` with the views of a source, from where it stands; with the first `most` of them only, to try."""
    total, view = SOURCES[name]()
    total = min(total, most or total)
    folder.mkdir(parents=True, exist_ok=True)
    counter = folder / "done"
    done = int(counter.read_text()) if counter.exists() else 0
    arrays = {
        key: np.lib.format.open_memmap(folder / f"{key}.npy", mode="r+" if done else "w+", dtype=dtype, shape=(total, *shape))
        for key, (dtype, shape) in FILES.items()
    }
    teacher, started = Teacher(), time.process_time()
    for start in range(done, total, BATCH):
        seen = [view(index) for index in range(start, min(start + BATCH, total))]
        part = slice(start, start + len(seen))
        arrays["pictures"][part] = [np.asarray(v.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for v in seen]
        arrays["token"][part], arrays["patches"][part] = teacher(np.stack([np.asarray(v) for v in seen]))
        if start // BATCH % 20 == 0 or part.stop == total:
            for array in arrays.values():
                array.flush()
            counter.write_text(str(part.stop))
            print(f"{name}: {part.stop} of {total} views, {(time.process_time() - started) / 60:.1f} CPU minutes", flush=True)


def main() -> None:
    """Parse and fill the cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", default=list(SOURCES))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--most", type=int, help="views per source, to try")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.sources:
        keep(name, arguments.cache / name, arguments.most)


if __name__ == "__main__":
    main()
