"""A folder to try bad inputs in: a small store that has learned, and the makers of everything that can be wrong."""

import contextlib
import fcntl
import hashlib
import io
import os
import pickle
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save, save_file

from edgecl.architecture import Architecture, state_shapes
from edgecl.cli import main
from edgecl.runtime.ort import OrtPredictor
from edgecl.settings import AdapterShape, MemorySettings
from edgecl.start import create_store
from edgecl_export.graph import write_graph
from tests.store.builders import TINY, random_state

Make = Callable[[Path], object]
"""Prepares something wrong in a workplace; a function that it returns undoes what reaches beyond the workplace."""

VIT_TINY_WIDTH = 192


def picture(colour: int, seed: int, form: str = "JPEG") -> bytes:
    """A noisy picture, 48 x 40, in which one colour channel is bright."""
    pixels = np.random.default_rng((colour, seed)).integers(0, 100, (40, 48, 3), dtype=np.uint8)
    pixels[..., colour] += 120
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def task(folder: Path, **classes: int) -> None:
    """A task folder with four pictures per class; `red=0` is bright in channel 0."""
    for name, colour in classes.items():
        (folder / name).mkdir(parents=True)
        for seed in range(4):
            (folder / name / f"{seed}.jpg").write_bytes(picture(colour, seed))


def template(folder: Path) -> Path:
    """`model` (version 0 is empty, version 1 knows red and green, capacity 8), tasks, and `blue.edgecl`, what another board with a copy of
    `model` learned from `more`, pictures included; made once, then copied."""
    folder.mkdir(parents=True)
    task(folder / "colours", red=0, green=1)
    task(folder / "more", blue=2)
    create_store(
        folder / "model",
        architecture=TINY,
        state=random_state(),
        source="random.safetensors",
        capacity=8,
        adapter=AdapterShape(rank=2, alpha=4.0, first_block=1),
        memory=MemorySettings(),
        write_graph=write_graph,
        make_predictor=OrtPredictor,
    )
    run_before("learn", "--task", str(folder / "colours"), "--epochs", "1")(folder)
    other = Path(shutil.copytree(folder / "model", folder / "other/model", symlinks=True)).parent
    run_before("learn", "--task", str(folder / "more"), "--epochs", "1")(other)
    run_before("pack", "2", "--pictures", "-o", str(folder / "blue.edgecl"))(other)
    shutil.rmtree(other)
    return folder


def copied(made: Path, folder: Path) -> Path:
    """A workplace of one's own."""
    return Path(shutil.copytree(made, folder, symlinks=True))


def fingerprint(root: Path) -> dict[str, str]:
    """Every file, link and folder of a store with its content; `{}` when there is none."""
    found = {}
    for path in sorted(root.rglob("*")) if root.is_dir() else []:
        if path.is_symlink():
            content = f"-> {os.readlink(path)}"
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            content = "folder" if path.is_dir() else "a pipe or a device"
        found[str(path.relative_to(root))] = content
    return found


# Makers, each a function of the workplace.


def file(name: str, content: bytes | str = b"") -> Make:
    """A file with this content, over whatever is there; its folders are made."""

    def make(place: Path) -> None:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def folder(*names: str) -> Make:
    """Empty folders."""

    def make(place: Path) -> None:
        for name in names:
            (place / name).mkdir(parents=True)

    return make


def classes(name: str, *class_names: str) -> Make:
    """A task folder with one good picture, another in each, per class."""

    def make(place: Path) -> None:
        for seed, class_name in enumerate(class_names):
            file(f"{name}/{class_name}/0.jpg", picture(2, 100 + seed))(place)

    return make


def cut(pattern: str, keep: float = 0.5) -> Make:
    """The first file that matches loses its end."""

    def make(place: Path) -> None:
        path = _first(place, pattern)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])

    return make


def flipped(pattern: str) -> Make:
    """One bit in the middle of the first file that matches is turned over."""

    def make(place: Path) -> None:
        path = _first(place, pattern)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    return make


def replaced(pattern: str, old: str, new: str) -> Make:
    """Text in the first file that matches is replaced."""

    def make(place: Path) -> None:
        path = _first(place, pattern)
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise RuntimeError(f"{path} does not hold {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")

    return make


def removed(pattern: str) -> Make:
    """The first thing that matches is gone."""

    def make(place: Path) -> None:
        path = _first(place, pattern)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    return make


def link(name: str, target: str) -> Make:
    """A symbolic link, in the place of whatever was there."""

    def make(place: Path) -> None:
        (place / name).unlink(missing_ok=True)
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).symlink_to(target)

    return make


def pipe(name: str) -> Make:
    """A pipe that nobody writes to, in the place of whatever was there."""

    def make(place: Path) -> None:
        (place / name).unlink(missing_ok=True)
        os.mkfifo(place / name)

    return make


def another_user() -> Make:
    """The command is run by somebody who does not own the store, though every file may be written."""

    def make(place: Path) -> object:
        patch = mock.patch("os.geteuid", return_value=os.geteuid() + 1)
        patch.start()
        return patch.stop

    return make


def together(*makes: Make) -> Make:
    """Several things at once."""

    def make_all(place: Path) -> object:
        undo = [undo for make in makes if callable(undo := make(place))]
        return lambda: [step() for step in reversed(undo)]

    return make_all


def hidden(package: str) -> Make:
    """A package that is not installed."""

    def make(place: Path) -> object:
        patch = mock.patch.dict(sys.modules, {package: None})
        patch.start()
        return patch.stop

    return make


def locked(name: str) -> Make:
    """Another holder of a lock file."""

    def make(place: Path) -> object:
        held = (place / name).open("a")
        fcntl.flock(held, fcntl.LOCK_EX)
        return held.close

    return make


def run_before(*arguments: str) -> Make:
    """A command that succeeds first."""

    def make(place: Path) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            code = main([*arguments, "--store", str(place / "model")])
        if code != 0:
            raise RuntimeError(f"{arguments} ended with {code}")

    return make


def _first(place: Path, pattern: str) -> Path:
    return sorted(place.glob(pattern))[0] if "*" in pattern else place / pattern


# Files that are wrong.


def bomb() -> bytes:
    """A PNG of 10 kB that says it is 100 000 x 100 000 pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10_000_000))), (b"IEND", b"")]
    body = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def pickled() -> bytes:
    """What torch.save wrote before it wrote zip files."""
    return pickle.dumps({"weights": [1.0]}, protocol=2)


def weights(change: Callable[[dict[str, NDArray[Any]]], object] = lambda tensors: None, architecture: Architecture | None = None) -> Make:
    """`weights.safetensors` for vit_tiny_patch16_224 with one thing changed."""

    def make(place: Path) -> None:
        tensors = vit_tiny() if architecture is None else dict(random_state(architecture=architecture))
        change(tensors)
        save_file(tensors, place / "weights.safetensors")

    return make


def vit_tiny() -> dict[str, NDArray[Any]]:
    """Zeros in the shapes of vit_tiny_patch16_224 with a classifier of three rows."""
    from edgecl.backbone import architecture_of

    shapes: Mapping[str, tuple[int, ...]] = state_shapes(architecture_of("vit_tiny_patch16_224"))
    tensors: dict[str, NDArray[Any]] = {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}
    return tensors | {"head.weight": np.zeros((3, VIT_TINY_WIDTH), np.float16), "head.bias": np.zeros(3, np.float16)}


def one_tensor() -> bytes:
    """A whole safetensors file that is no backbone."""
    return save({"a": np.zeros(1, np.float32)})


def lying(header: str, size: int) -> bytes:
    """A safetensors file with this header and `size` bytes behind it."""
    text = header.encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)
