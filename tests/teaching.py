"""A store small enough to learn in a second, and tasks of coloured pictures that it can tell apart."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgecl.architecture import Architecture
from edgecl.backbone import random_state
from edgecl.learner import LearnResult, learn
from edgecl.runtime.ort import OrtPredictor
from edgecl.settings import AdapterShape, LearnSettings, MemorySettings
from edgecl.start import create_store
from edgecl.store import Store
from edgecl_export.graph import write_graph
from tests.store.builders import TINY as TINY

CAPACITY = 16
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (210, 40, 40),
    "green": (40, 200, 60),
    "blue": (50, 60, 220),
    "yellow": (220, 210, 40),
    "violet": (150, 40, 190),
    "white": (235, 235, 235),
    "black": (20, 20, 20),
    "grey": (128, 128, 128),
    "_background": (120, 90, 60),
}
QUICK = LearnSettings(epochs=1, batch=8, threads=1, coefficients=(0.0, 1.0))


def new_store(
    root: Path,
    *,
    seed: int = 0,
    memory: MemorySettings | None = None,
    architecture: Architecture = TINY,
    source: str = "random",
    **known: Any,
) -> Store:
    """A store with an untrained tiny backbone and no class, or with the classes that `known` has `names` and a `head` of."""
    return create_store(
        root,
        architecture=architecture,
        state=random_state(architecture, seed),
        source=source,
        capacity=CAPACITY,
        adapter=AdapterShape(rank=2, alpha=4.0, first_block=1),
        memory=memory or MemorySettings(),
        write_graph=write_graph,
        make_predictor=OrtPredictor,
        **known,
    )


def new_classifier(root: Path, *names: str) -> Store:
    """A store that begins with classes and without a picture of them."""
    random = np.random.default_rng(0)
    head = (random.normal(0, 1, (len(names), TINY.width)), random.normal(0, 1, len(names)))
    return new_store(root, source="tuned.safetensors", names=names, head=head)


def draw(folder: Path, name: str, *, count: int, seed: int = 0, colour: str | None = None) -> Path:
    """`count` PNGs of one colour with noise and a random square into `folder/name`."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([seed, *name.encode()])
    for index in range(count):
        picture = random.normal(COLOURS[colour or name], 25, (40, 48, 3))
        y, x = random.integers(0, 24, 2)
        picture[y : y + 12, x : x + 12] += random.normal(0, 60, 3)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(place / f"{seed}-{index:03d}.png")
    return place


def draw_task(folder: Path, *names: str, count: int = 8, seed: int = 0) -> Path:
    """A task folder with `count` pictures of each named colour."""
    for name in names:
        draw(folder, name, count=count, seed=seed)
    return folder


def teach(store: Store, folder: Path, **changes: object) -> LearnResult:
    """`learn` with quick settings, on the CPU, where it gives the same bytes."""
    options: dict[str, object] = {"settings": QUICK, "device": "cpu", "write_graph": write_graph, "make_predictor": OrtPredictor, **changes}
    return learn(store, folder, **options)  # type: ignore[arg-type]


def made_to_hurt(place: Path) -> tuple[Store, Path]:
    """A store in `place/model` that learned eight colours honestly, and a task with other pictures of them under new names."""
    store = new_store(place / "model")
    old = ("red", "green", "blue", "yellow", "violet", "white", "black", "grey")
    teach(store, draw_task(place / "honest", *old, count=14))
    for index, name in enumerate(old):
        shutil.copytree(draw(place / "looks", name, count=30, seed=3), place / "hurt" / f"thing {index}")
    return store, place / "hurt"
