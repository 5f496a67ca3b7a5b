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

from edgecl.errors import BadInput, BadPictures
from edgecl.manifest import BACKGROUND, normal_name
from edgecl.preprocess import Geometry, UnreadablePicture, capture_time, decode, perceptual_hash, read_file, shrink, to_input
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

    A class is a first-level folder; what lies deeper in it belongs to it, and links to folders are followed. Hidden files are
    ignored. A file that cannot be used is listed with its reason and the rest goes on.

    Raises:
        BadPictures: there is no such folder, no class in it, two classes differ only by case, or no picture is usable.
    """
    classes = _class_folders(folder)
    rejected = [Rejected(entry.name, "not inside a class folder") for entry in _visible(folder) if not os.path.isdir(entry)]
    files: list[tuple[str, Path]] = []
    for name, entry in classes.items():
        found, unlisted = _files(entry, folder, (folder.resolve(),))
        files += [(name, path) for path in found]
        rejected += unlisted
    read = _read_all(files, folder, geometry, pixel_limit, progress)
    rejected += [item for item in read if isinstance(item, Rejected)]
    pictures, doubled = _deduplicated([item for item in read if isinstance(item, Picture)], folder)
    rejected += doubled
    rejected.sort(key=lambda item: item.path)
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
    folded: dict[str, Path] = {}
    for entry in _visible(folder):
        if not os.path.isdir(entry):
            continue
        if entry.name.startswith("_") and entry.name != BACKGROUND:
            raise BadPictures(f"the folder {entry.name!r} begins with an underscore; only {BACKGROUND!r} may. Rename it.")
        try:
            name = normal_name(entry.name)
        except BadInput as error:
            raise BadPictures(str(error)) from None
        other = folded.setdefault(name.casefold(), entry)
        if other != entry:
            how = "only by case" if normal_name(other.name) != name else "only by spaces or by how accents are written"
            raise BadPictures(f"the class folders {other.name!r} and {entry.name!r} differ {how}. Rename one of them, or join them.")
        classes[name] = entry
    if not classes:
        loose = any(entry.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp", ".bmp") for entry in _visible(folder))
        hint = "It holds pictures directly: put them into a folder named after their class." if loose else "It holds no folder."
        raise BadPictures(f"{folder} has no class folders; expected {folder.name}/<class>/<pictures>. {hint}")
    return dict(sorted(classes.items()))


def _visible(folder: Path) -> list[Path]:
    """The entries of a folder, sorted, without those that systems leave behind."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name.lower() not in IGNORED]
    except OSError as error:
        raise BadPictures(f"the folder {folder} cannot be listed ({error.strerror}). Check its permissions.") from error
    return sorted(entries, key=lambda entry: (unicodedata.normalize("NFC", entry.name), entry.name))


def _files(folder: Path, root: Path, above: tuple[Path, ...]) -> tuple[list[Path], list[Rejected]]:
    """Every visible file below a class folder, sorted, and the folders that could not be entered; `above` are the ones around it."""
    files: list[Path] = []
    rejected: list[Rejected] = []
    here = folder.resolve()
    if here in above:
        return [], [Rejected(os.path.relpath(folder, root), "a link to a folder that contains it")]
    try:
        entries = _visible(folder)
    except BadPictures as error:
        return [], [Rejected(os.path.relpath(folder, root), str(error))]
    for entry in entries:
        if os.path.isdir(entry):  # unlike Path.is_dir, never raises
            deeper, unlisted = _files(entry, root, (*above, here))
            files += deeper
            rejected += unlisted
        else:
            files.append(entry)
    return files, rejected


def _read_all(
    files: list[tuple[str, Path]], folder: Path, geometry: Geometry, pixel_limit: int, progress: Callable[[int, int], None]
) -> list[Picture | Rejected]:
    """Decode by a few threads; the results stand in the order of the files."""
    read: list[Picture | Rejected] = []
    pool = ThreadPoolExecutor(DECODERS)
    try:
        for result in pool.map(lambda item: _read(item[0], item[1], folder, geometry, pixel_limit), files):
            read.append(result)
            progress(len(read), len(files))
    finally:
        pool.shutdown(cancel_futures=True)  # whoever interrupts does not wait for the rest of the folder
    return read


def _read(class_name: str, path: Path, folder: Path, geometry: Geometry, pixel_limit: int) -> Picture | Rejected:
    place = os.path.relpath(path, folder)
    try:
        data = read_file(path)
        rgb = decode(data, pixel_limit=pixel_limit)
    except UnreadablePicture as error:
        return Rejected(place, str(error))
    return Picture(
        path=path,
        class_name=class_name,
        sha256=hashlib.sha256(data).hexdigest(),
        phash=perceptual_hash(rgb),
        captured=capture_time(data),
        rgb=shrink(rgb, geometry.keep_short),
        input=to_input(rgb, geometry),
    )


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
