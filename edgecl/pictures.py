"""A task folder: find its pictures, decode each once, leave out what cannot be learned from and say why."""

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgecl.errors import BadInput, BadPictures
from edgecl.manifest import BACKGROUND, normal_name
from edgecl.preprocess import Geometry, UnreadablePicture, decode, perceptual_hash, shrink, to_input
from edgecl.settings import PIXEL_LIMIT

IGNORED = {"thumbs.db", "desktop.ini"}
DECODERS = 2  # threads; Pillow decodes without Python's lock


@dataclass(frozen=True, eq=False)
class Picture:
    """One usable picture of a task."""

    path: Path
    class_name: str
    sha256: str  # of the file
    phash: int  # 64 bits, perceptual
    captured: float | None  # EXIF capture time, seconds since 1970 in the camera's own time zone
    rgb: NDArray[np.uint8]  # [h, w, 3], shrunk to the geometry's keep_short: for augmentation and for the memory
    input: NDArray[np.uint8]  # [s, s, 3], as the model sees the full picture


@dataclass(frozen=True)
class Rejected:
    """A file that is left out."""

    path: str  # relative to the task folder
    reason: str


@dataclass(frozen=True)
class TaskPictures:
    """What a task folder holds, in sorted order."""

    name: str
    pictures: tuple[Picture, ...]
    rejected: tuple[Rejected, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def class_names(self) -> list[str]:
        """Sorted; `_background` among them."""
        return sorted({picture.class_name for picture in self.pictures})


def find(
    folder: Path, geometry: Geometry, *, pixel_limit: int = PIXEL_LIMIT, progress: Callable[[int, int], None] = lambda done, total: None
) -> TaskPictures:
    """Read every picture below the class folders of `folder`.

    A class is a first-level folder; what lies deeper in it belongs to it. Hidden files are ignored. A file that cannot be used is
    listed with its reason and the rest goes on.

    Raises:
        BadPictures: there is no such folder, no class in it, two classes differ only by case, or no picture is usable.
    """
    classes = _class_folders(folder)
    rejected = [Rejected(entry.name, "not inside a class folder") for entry in _visible(folder) if not entry.is_dir()]
    files = [(path, name) for name, entry in classes.items() for path in _files(entry)]
    read: list[Picture | Rejected] = []
    with ThreadPoolExecutor(DECODERS) as pool:
        for done, result in enumerate(pool.map(lambda item: _read(item[0], item[1], folder, geometry, pixel_limit), files), start=1):
            read.append(result)
            progress(done, len(files))
    rejected += [item for item in read if isinstance(item, Rejected)]
    pictures, doubled = _deduplicated([item for item in read if isinstance(item, Picture)], folder)
    rejected += doubled
    if not pictures:
        reasons = "; ".join(f"{item.path}: {item.reason}" for item in rejected[:5])
        raise BadPictures(
            f"no picture in {folder} can be learned from ({reasons or 'the class folders are empty'}). Bring jpg, png, webp or bmp files."
        )
    return TaskPictures(folder.resolve().name, tuple(pictures), tuple(rejected), tuple(_warnings(classes, pictures)))


def _class_folders(folder: Path) -> dict[str, Path]:
    """Class name -> folder, sorted by name."""
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise BadPictures(f"the task folder {folder} {found}. Expected a folder with one folder of pictures per class.")
    classes: dict[str, Path] = {}
    for entry in _visible(folder):
        if not entry.is_dir():
            continue
        if entry.name.startswith("_") and entry.name != BACKGROUND:
            raise BadPictures(f"the folder {entry.name!r} begins with an underscore; only {BACKGROUND!r} may. Rename it.")
        try:
            name = normal_name(entry.name)
        except BadInput as error:
            raise BadPictures(str(error)) from None
        classes[name] = entry
    folded: dict[str, str] = {}
    for name in classes:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise BadPictures(f"the classes {other!r} and {name!r} differ only by case. Rename one of the folders, or join them.")
    if not classes:
        loose = any(entry.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp", ".bmp") for entry in _visible(folder))
        hint = "It holds pictures directly: put them into a folder named after their class." if loose else "It holds no folder."
        raise BadPictures(f"{folder} has no class folders; expected {folder.name}/<class>/<pictures>. {hint}")
    return dict(sorted(classes.items()))


def _visible(folder: Path) -> list[Path]:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name.lower() not in IGNORED]
    return sorted(entries, key=lambda entry: unicodedata.normalize("NFC", entry.name))


def _files(folder: Path) -> Iterator[Path]:
    """Every visible file below a class folder, sorted; links to folders inside it are not followed, so there is no way round in circles."""
    for entry in _visible(folder):
        if entry.is_dir():
            if not entry.is_symlink():
                yield from _files(entry)
        else:
            yield entry


def _read(path: Path, class_name: str, folder: Path, geometry: Geometry, pixel_limit: int) -> Picture | Rejected:
    place = os.path.relpath(path, folder)
    try:
        data = path.read_bytes() if path.is_file() else b""
        rgb = decode(data, pixel_limit=pixel_limit)
    except UnreadablePicture as error:
        return Rejected(place, str(error))
    except OSError as error:
        return Rejected(place, f"cannot be read ({error.strerror})")
    kept = shrink(rgb, geometry.keep_short)
    sha256 = hashlib.sha256(data).hexdigest()
    return Picture(path, class_name, sha256, perceptual_hash(rgb), capture_time(data), kept, to_input(rgb, geometry))


def _deduplicated(pictures: list[Picture], folder: Path) -> tuple[list[Picture], list[Rejected]]:
    """Once per content; a content that stands for two classes teaches neither."""
    places: dict[str, list[Picture]] = {}
    for picture in pictures:
        places.setdefault(picture.sha256, []).append(picture)
    kept, rejected = [], []
    for picture in pictures:
        same = places[picture.sha256]
        stranger = next((other for other in same if other.class_name != picture.class_name), None)
        place = os.path.relpath(picture.path, folder)
        if stranger is not None:
            rejected.append(Rejected(place, f"same picture as {os.path.relpath(stranger.path, folder)} in another class"))
        elif picture is not same[0]:
            rejected.append(Rejected(place, f"duplicate of {os.path.relpath(same[0].path, folder)}"))
        else:
            kept.append(picture)
    return kept, rejected


def _warnings(classes: dict[str, Path], pictures: list[Picture]) -> Iterator[str]:
    counts = dict.fromkeys(classes, 0)
    for picture in pictures:
        counts[picture.class_name] += 1
    for name, count in counts.items():
        if count == 0:
            yield f"the class {name!r} has no usable picture and is left out"
        elif count == 1:
            yield f"the class {name!r} has a single picture; it cannot be validated. A dozen from different sides serve better"


def capture_time(data: bytes) -> float | None:
    """EXIF's DateTimeOriginal with its fraction, in seconds; None where a picture does not say."""
    import io
    from datetime import datetime, timezone

    try:
        with Image.open(io.BytesIO(data)) as image:
            exif = image.getexif().get_ifd(0x8769)
        moment = datetime.strptime(str(exif[0x9003]).strip("\0 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=timezone.utc)
        fraction = str(exif.get(0x9291, "0")).strip("\0 ")
        return moment.timestamp() + (float(f"0.{fraction}") if fraction.isdigit() else 0.0)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, AttributeError):
        return None
