"""A task folder: what is found, and what is left out for which reason."""

import hashlib
import os
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgecl.errors import BadPictures
from edgecl.pictures import Rejected, TaskPictures, find
from edgecl.preprocess import Geometry, decode, perceptual_hash, shrink, to_input

GEOMETRY = Geometry(16, 0.9, "bicubic")


def picture(seed: int, h: int = 24, w: int = 32) -> NDArray[np.uint8]:
    """`[h, w, 3]`, another scene for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((w, h), Image.Resampling.NEAREST))


def save(path: Path, seed: int, taken: str | None = None) -> Path:
    """A small picture file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken
    Image.fromarray(picture(seed)).save(path, exif=exif.tobytes())
    return path


def task(folder: Path, **classes: int) -> Path:
    """A folder with so many pictures per class, each another."""
    for k, (name, count) in enumerate(classes.items()):
        for i in range(count):
            save(folder / name / f"{i:02}.png", 1000 * k + i)
    return folder


def places(found: TaskPictures, folder: Path) -> list[str]:
    """Where the pictures lie, relative to the task folder."""
    return [os.path.relpath(picture.path, folder) for picture in found.pictures]


def test_what_a_picture_says_of_itself(tmp_path: Path) -> None:
    """Its class, the hash of its file, its perceptual hash and time, and its pixels for training and for the model."""
    path = save(tmp_path / "cans" / "cola" / "a.jpg", 3, taken="1970:01:01 00:01:00")
    (found,) = find(tmp_path / "cans", GEOMETRY).pictures
    rgb = decode(path)
    assert (found.path, found.class_name, found.captured) == (path, "cola", 60.0)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.phash == perceptual_hash(rgb)
    np.testing.assert_array_equal(found.rgb, shrink(rgb, 18))
    np.testing.assert_array_equal(found.input, to_input(rgb, GEOMETRY))


def test_the_task_is_named_after_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is given as a dot."""
    task(tmp_path / "cans", cola=2)
    monkeypatch.chdir(tmp_path / "cans")
    assert find(Path("."), GEOMETRY).name == "cans"


def test_pictures_stand_in_sorted_order_whatever_ends_first(tmp_path: Path) -> None:
    """By class, then by path; nested folders belong to their class; progress counts up to the number of files."""
    for k, place in enumerate(("b/9.png", "b/10.png", "a/z.png", "a/deep/er/x.png", "_background/1.png")):
        save(tmp_path / place, k)
    (tmp_path / "b" / "no.txt").write_text("no")
    seen: list[tuple[int, int]] = []
    found = find(tmp_path, GEOMETRY, progress=lambda done, total: seen.append((done, total)))
    assert places(found, tmp_path) == ["_background/1.png", "a/deep/er/x.png", "a/z.png", "b/10.png", "b/9.png"]
    assert found.class_names == ["_background", "a", "b"]
    assert seen == [(k, 6) for k in range(1, 7)]


def test_what_systems_leave_behind_is_ignored(tmp_path: Path) -> None:
    """Hidden files and folders and Windows' own files are not even rejected, at no depth."""
    task(tmp_path, cola=2)
    for place in (
        ".DS_Store",
        "Thumbs.db",
        "cola/.hidden.png",
        "cola/desktop.ini",
        "cola/.git/a.png",
        ".cache/a.png",
        "cola/deep/Thumbs.db",
    ):
        save(tmp_path / "x.png", 0).rename(_made(tmp_path / place))
    found = find(tmp_path, GEOMETRY)
    assert (len(found.pictures), found.rejected, found.warnings) == (2, (), ())


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_each_rejected_file_has_its_reason(tmp_path: Path) -> None:
    """What cannot be used is listed, sorted by path, and the rest goes on."""
    task(tmp_path, cola=3)
    whole = save(tmp_path / "big.png", 77).read_bytes()
    (tmp_path / "big.png").unlink()
    (tmp_path / "cola" / "empty.jpg").touch()
    (tmp_path / "cola" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cola" / "list.txt").write_text("a list")
    (tmp_path / "cola" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "cola" / "pipe.png")
    save(tmp_path / "lying beside.png", 5)
    Image.new("RGB", (50, 50)).save(tmp_path / "cola" / "large.bmp")
    found = find(tmp_path, GEOMETRY, pixel_limit=2000)
    assert found.rejected == (
        Rejected("cola/cut.png", "truncated"),
        Rejected("cola/empty.jpg", "empty"),
        Rejected("cola/gone.png", "cannot be read (No such file or directory)"),
        Rejected("cola/large.bmp", "over the pixel limit: 0 million pixels, at most 0 million"),
        Rejected("cola/list.txt", "not a picture (jpg, png, webp or bmp)"),
        Rejected("cola/pipe.png", "not a file"),
        Rejected("lying beside.png", "not inside a class folder"),
    )
    assert len(found.pictures) == 3


def test_the_same_content_in_two_classes_teaches_neither(tmp_path: Path) -> None:
    """All its copies are rejected, each with the place of one in another class."""
    task(tmp_path, cola=1, fanta=1)
    for place in ("cola/a.png", "cola/b.png", "fanta/c.png"):
        save(tmp_path / place, 500)
    found = find(tmp_path, GEOMETRY)
    assert found.rejected == (
        Rejected("cola/a.png", "same picture as fanta/c.png in another class"),
        Rejected("cola/b.png", "same picture as fanta/c.png in another class"),
        Rejected("fanta/c.png", "same picture as cola/a.png in another class"),
    )
    assert places(found, tmp_path) == ["cola/00.png", "fanta/00.png"]


def test_of_copies_in_one_class_the_first_stays(tmp_path: Path) -> None:
    """The others are named as its duplicates; a copy with another suffix is a copy."""
    for place in ("cola/b.png", "cola/a/a.png", "cola/c.png"):
        save(tmp_path / place, 500)
    found = find(tmp_path, GEOMETRY)
    assert places(found, tmp_path) == ["cola/a/a.png"]
    assert [item.reason for item in found.rejected] == ["duplicate of cola/a/a.png"] * 2


def test_a_class_without_a_usable_picture_is_left_out_with_a_warning(tmp_path: Path) -> None:
    """Both an empty folder and one of broken files; a single picture is warned of, too."""
    task(tmp_path, cola=2, fanta=1)
    (tmp_path / "sprite").mkdir()
    (tmp_path / "water").mkdir()
    (tmp_path / "water" / "a.jpg").write_text("no")
    found = find(tmp_path, GEOMETRY)
    assert found.class_names == ["cola", "fanta"]
    assert found.warnings == (
        "the class 'fanta' has a single picture; it cannot be validated. A dozen from different sides serve better",
        "the class 'sprite' has no usable picture and is left out",
        "the class 'water' has no usable picture and is left out",
    )


def test_class_names_are_nfc(tmp_path: Path) -> None:
    """A folder from a Mac and one from Linux are one class by name."""
    task(tmp_path, **{unicodedata.normalize("NFD", "Rosé"): 2})
    assert find(tmp_path, GEOMETRY).class_names == [unicodedata.normalize("NFC", "Rosé")]


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    """A linked class folder and a linked folder inside a class count; a link to a folder around it is rejected."""
    store = task(tmp_path / "store", cola=2, deep=1)
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "cola").symlink_to(store / "cola")
    save(folder / "fanta" / "a.png", 50)
    (folder / "fanta" / "more").symlink_to(store / "deep")
    (folder / "fanta" / "self").symlink_to(folder / "fanta")
    (folder / "fanta" / "up").symlink_to(folder)
    found = find(folder, GEOMETRY)
    assert places(found, folder) == ["cola/00.png", "cola/01.png", "fanta/a.png", "fanta/more/00.png"]
    assert found.rejected == tuple(Rejected(f"fanta/{name}", "a link to a folder that contains it") for name in ("self", "up"))


def test_a_folder_that_cannot_be_listed_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest goes on; the task folder itself has to be listable."""
    task(tmp_path, cola=2)
    (tmp_path / "cola" / "closed").mkdir()
    listed = Path.iterdir

    def guarded(folder: Path) -> Iterator[Path]:
        if folder.name == closed:
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", guarded)
    closed = "closed"
    found = find(tmp_path, GEOMETRY)
    reason = f"the folder {tmp_path}/cola/closed cannot be listed (Permission denied). Check its permissions."
    assert (len(found.pictures), found.rejected) == (2, (Rejected("cola/closed", reason),))
    closed = tmp_path.name
    with pytest.raises(BadPictures, match="cannot be listed"):
        find(tmp_path, GEOMETRY)


def _missing(folder: Path) -> None:
    pass


def _file(folder: Path) -> None:
    folder.write_text("a file")


def _bare(folder: Path) -> None:
    folder.mkdir()


def _loose(folder: Path) -> None:
    save(folder / "a.PNG", 1)


def _nothing_usable(folder: Path) -> None:
    for k in range(7):
        _made(folder / "cola" / f"{k}.jpg").touch()


def _empty_classes(folder: Path) -> None:
    (folder / "cola").mkdir(parents=True)


def _all_in_two(folder: Path) -> None:
    save(folder / "a" / "1.png", 1)
    save(folder / "b" / "1.png", 1)


def _by_case(folder: Path) -> None:
    task(folder, Cola=1, cola=1)


def _by_accent(folder: Path) -> None:
    task(folder, **{"Rosé": 1, unicodedata.normalize("NFD", "Rosé"): 1})


def _underscore(folder: Path) -> None:
    task(folder, _test=1)


def _free(folder: Path) -> None:
    task(folder, **{"-": 1})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_missing, "the task folder {0} does not exist. Expected a folder with one folder of pictures per class."),
        (_file, "the task folder {0} is a file. Expected a folder with one folder of pictures per class."),
        (_bare, "{0} has no class folders; expected task/<class>/<pictures>. It holds no folder."),
        (
            _loose,
            "{0} has no class folders; expected task/<class>/<pictures>. "
            "It holds pictures directly: put them into a folder named after their class.",
        ),
        (
            _nothing_usable,
            "no picture in {0} can be learned from (cola/0.jpg: empty; cola/1.jpg: empty; cola/2.jpg: empty; cola/3.jpg: empty; "
            "cola/4.jpg: empty). Bring jpg, png, webp or bmp files.",
        ),
        (_empty_classes, "no picture in {0} can be learned from (the class folders are empty). Bring jpg, png, webp or bmp files."),
        (
            _all_in_two,
            "no picture in {0} can be learned from (a/1.png: same picture as b/1.png in another class; "
            "b/1.png: same picture as a/1.png in another class). Bring jpg, png, webp or bmp files.",
        ),
        (_by_case, "the class folders 'Cola' and 'cola' differ only by case. Rename one of them, or join them."),
        (
            _by_accent,
            f"the class folders {unicodedata.normalize('NFD', 'Rosé')!r} and 'Rosé' differ only by spaces or by how accents are written. "
            "Rename one of them, or join them.",
        ),
        (_underscore, "the folder '_test' begins with an underscore; only '_background' may. Rename it."),
        (_free, "'-' cannot be a class name: use 1 to 100 printable characters without slashes, and not '-' alone."),
    ],
)
def test_a_folder_that_cannot_be_learned_from_is_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    """Each with the folder, what was expected, and the remedy."""
    make(tmp_path / "task")
    with pytest.raises(BadPictures) as caught:
        find(tmp_path / "task", GEOMETRY)
    assert str(caught.value) == message.format(tmp_path / "task")


def test_an_interrupted_search_does_not_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops in the progress callback gets the exception soon, and the threads end without the rest of the folder."""
    task(tmp_path, cola=60)
    started: list[int] = []

    def slowly(rgb: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
        started.append(1)
        time.sleep(0.2)  # the whole folder takes seconds, however late a busy machine lets the callback run
        return to_input(rgb, geometry)

    monkeypatch.setattr("edgecl.pictures.to_input", slowly)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        find(tmp_path, GEOMETRY, progress=stop)
    assert len(started) < 60
    assert threading.active_count() == before
