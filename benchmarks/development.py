"""Pictures to choose settings by; no test reads any of them. Each set has pictures to learn from, held-out ones to be asked about, and `val`.

`groceries`: of each class's training photos the first quarter, shots in a row, is held out; the rest is learned from. ViT-Tiny knows nearly all of
them, so they cannot tell two good settings apart.
`tiles`: CIFAR-100's 32x32 tiles, of each class the training tiles with numbers 375 to 399 to learn from, 433 to 449 held out, 429 to 432 `val`. Neither
the built-in backbone's training nor the scenario `cifar` uses them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from continual.scenarios import write_tiles
from distil.places import PARTS, SHARED, tiles_of
from grocery import DATA

HELD_OUT = 4  # one of so many training photos
CIFAR = SHARED / "data" / "cifar100"
OF_EACH_CLASS = {"learned": ("fit", range(375, 400)), "held": ("validate", range(433, 450)), "val": ("validate", range(429, 433))}

Folders = tuple[Path, Path, Path]  # of class folders: learned from, held out, `val`


@dataclass(frozen=True)
class Development:
    """A set of pictures and the tasks that they come in."""

    tasks: Path  # {order: [[class, ...], ...]} as JSON
    folders: Callable[[Path], Folders]  # lays them out in an empty folder

    def order(self, number: int) -> list[list[str]]:
        """The classes of each task."""
        found: list[list[str]] = json.loads(self.tasks.read_text())[str(number)]
        return found


def divided(photos_of: Path, place: Path) -> tuple[Path, Path]:
    """Folders `learned` and `held` of links to the photos of each class in `photos_of`, three quarters and one quarter."""
    folders = place / "learned", place / "held"
    for name in sorted(path.name for path in photos_of.iterdir()):
        photos = sorted((photos_of / name).iterdir())
        cut = len(photos) // HELD_OUT
        for folder, part in zip(folders, (photos[cut:], photos[:cut]), strict=True):
            (folder / name).mkdir(parents=True)
            for photo in part:
                (folder / name / photo.name).symlink_to(photo.resolve())
    return folders


def groceries(place: Path) -> Folders:
    """The Grocery photos."""
    return *divided(DATA / "train", place), DATA / "val"


def tiles(place: Path) -> Folders:
    """CIFAR-100's tiles, as PNG files."""
    names = sorted(path.stem for path in (CIFAR / "train").glob("*.jpg"))
    for folder, (part, numbers) in OF_EACH_CLASS.items():
        found, first = tiles_of(part), PARTS[part].start
        of_class = found.reshape(len(names), len(PARTS[part]), *found.shape[1:])
        write_tiles(of_class[:, numbers.start - first : numbers.stop - first], names, numbers.start, place / folder)
    return place / "learned", place / "held", place / "val"


DEVELOPMENT = {"groceries": Development(DATA / "tasks.json", groceries), "tiles": Development(CIFAR / "tasks.json", tiles)}
