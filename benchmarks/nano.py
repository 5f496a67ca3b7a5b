"""How well the built-in backbone sees beside ViT-Tiny: frozen features and a linear head on CIFAR-100 tiles and on the Grocery photos.

    python -m benchmarks.nano --cache DIR                      # both, on the test parts; writes results/nano.csv
    python -m benchmarks.nano --weights FILE...                # a rerun of its training beside the built-in weights; results/nano_reruns.csv
    python -m benchmarks.nano --weights FILE... --development  # the same on the validation tiles; writes nothing

The same for both backbones: pictures through edgecl's preprocessing, features in fp32, then (a) ridge regression onto one-hot rows, features
standardised on what it is fitted on, its strength chosen on the validation part (tiles 425 to 449 of each class, Grocery's `val`), and (b) edgecl's own
closed-form head, which has nothing to choose. Both are fitted on what is not for validation or test (75 tiles per class, Grocery's `train`). No tile that
is fitted on, validated or tested with was seen while the student was taught, and no Grocery photo. ViT-Tiny's features are kept in the cache.
"""

import argparse
import csv
import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.distil.places import PARTS, SHARED, TEACHER_WEIGHTS, tiles_of
from edgecl.backbone import Pretrained, Vit, build, load_pretrained, read_weights_file
from edgecl.backbones import NANO
from edgecl.head import fit_head
from edgecl.pictures import find
from edgecl.preprocess import Geometry, geometry_of, to_input

Array = NDArray[Any]
RESULTS = Path(__file__).parent / "results" / "nano.csv"
RERUNS = RESULTS.with_name("nano_reruns.csv")
HEADS = ("ridge", "edgecl_head")
STRENGTHS = tuple(10.0**power for power in np.arange(0, 5, 0.5))
BATCH = 50
Labelled = tuple[Array, Array]  # uint8 [n, h, w, 3], rows [n]


def tiles(part: str, geometry: Geometry) -> Labelled:
    """One part of the tiles as the model sees them."""
    found = tiles_of(part)
    return np.stack([to_input(tile, geometry) for tile in found]), np.repeat(np.arange(100), len(PARTS[part]))


def groceries(split: str, geometry: Geometry) -> Labelled:
    """One split of the Grocery photos as the model sees them."""
    names = sorted(folder.name for folder in (SHARED / "data" / "grocery" / "train").iterdir())
    pictures = find(SHARED / "data" / "grocery" / split, geometry).pictures
    return np.stack([p.input for p in pictures]), np.array([names.index(p.class_name) for p in pictures])


SETS: dict[str, tuple[Callable[[str, Geometry], Labelled], tuple[str, str, str]]] = {
    "cifar100": (tiles, ("fit", "validate", "test")),
    "grocery": (groceries, ("train", "val", "test")),
}


def features(vit: Vit, geometry: Geometry, name: str, part: str) -> Labelled:
    """Features float32 `[n, d]` and rows of one part of a set."""
    pictures, rows = SETS[name][0](part, geometry)
    with torch.no_grad():
        found = [vit(torch.from_numpy(pictures[start : start + BATCH])).numpy() for start in range(0, len(pictures), BATCH)]
    return np.concatenate(found), rows


def ridge(x: Array, rows: Array, strength: float) -> Callable[[Array], Array]:
    """Fit ridge regression onto one-hot rows; the function that answers with rows."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = np.concatenate([(x - mean) / spread, np.ones((len(x), 1))], axis=1).astype(np.float64)
    penalty = strength * np.diag(np.append(np.ones(x.shape[1]), 0.0))
    weight = np.linalg.solve(z.T @ z + penalty, z.T @ np.eye(rows.max() + 1)[rows])

    def answer(other: Array) -> Array:
        return np.argmax(np.concatenate([(other - mean) / spread, np.ones((len(other), 1))], axis=1) @ weight, axis=1)

    return answer


def accuracies(fit: Labelled, validate: Labelled, test: Labelled) -> dict[str, float]:
    """Of both heads on the test part; the ridge's strength is the best on the validation part."""

    def right(answer: Callable[[Array], Array], part: Labelled) -> float:
        return float(np.mean(answer(part[0]) == part[1]))

    strength = max(STRENGTHS, key=lambda strength: right(ridge(*fit, strength), validate))
    head = fit_head(*fit, capacity=128)
    return {
        "strength": strength,
        "ridge": right(ridge(*fit, strength), test),
        "edgecl_head": right(lambda x: head.logits(x).argmax(axis=1), test),
    }


def measure(pretrained: Pretrained, name: str, cache: Path | None = None, *, development: bool = False) -> dict[str, float]:
    """One backbone on one set; `cache` keeps its features."""
    vit, geometry = build(pretrained.architecture, pretrained.state), geometry_of(pretrained.architecture)
    parts: list[Labelled] = []
    for part in SETS[name][1]:
        if development and part == "test":
            parts.append(parts[-1])
            continue
        kept = cache / f"{pretrained.architecture.backbone}-{name}-{part}.npz" if cache else None
        if kept and kept.exists():
            with np.load(kept) as file:
                parts.append((file["features"], file["rows"]))
            continue
        parts.append(features(vit, geometry, name, part))
        if kept:
            np.savez(kept, features=parts[-1][0], rows=parts[-1][1])
    return accuracies(*parts)


def student(path: Path) -> Pretrained:
    """A checkpoint of `benchmarks.distil.train`, or the file that its last stage writes."""
    tensors = read_weights_file(path)
    if not any(key.startswith("backbone.") for key in tensors):
        return load_pretrained(NANO.backbone, path)
    tensors = {key.removeprefix("backbone."): v for key, v in tensors.items() if key.startswith("backbone.") and "/" not in key}
    patch_size = tensors["patch_embed.proj.weight"].shape[-1]
    return Pretrained(dataclasses.replace(NANO, patch_size=patch_size), tensors, None, None, path.name)


def beside_the_teacher(cache: Path) -> None:
    """The built-in weights and ViT-Tiny on the test parts: print, and write the table."""
    cache.mkdir(parents=True, exist_ok=True)
    tiny, nano = load_pretrained("vit_tiny_patch16_224", TEACHER_WEIGHTS), load_pretrained(NANO.backbone)
    rows = []
    for name in SETS:
        of_tiny, of_nano = measure(tiny, name, cache), measure(nano, name)
        for head in HEADS:
            part = of_nano[head] / of_tiny[head]
            print(f"{name} {head}: {NANO.backbone} {of_nano[head]:.2%}, ViT-Tiny {of_tiny[head]:.2%}: {part:.1%} of it", flush=True)
            rows.append([name, head, f"{of_nano[head]:.4f}", f"{of_tiny[head]:.4f}", f"{part:.4f}"])
    _write(RESULTS, [["set", "head", NANO.backbone, "vit_tiny_patch16_224", "part"], *rows])


def beside_the_built_in(files: list[Path], *, development: bool) -> None:
    """Other students and the built-in weights: print, and write the table unless it is development."""
    students = {"built in": load_pretrained(NANO.backbone)} | {
        f"{file.name} sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}": student(file) for file in files
    }
    rows = []
    for name in ["cifar100"] if development else list(SETS):
        for title, pretrained in students.items():
            found = measure(pretrained, name, development=development)
            print(f"{name}: {title}: " + ", ".join(f"{head} {found[head]:.2%}" for head in HEADS), flush=True)
            rows += [[name, head, title, f"{found[head]:.4f}"] for head in HEADS]
    if not development:
        _write(RERUNS, [["set", "head", "weights", "accuracy"], *rows])


def _write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder that keeps ViT-Tiny's features")
    parser.add_argument("--weights", type=Path, nargs="+", help="measure these beside the built-in weights instead of ViT-Tiny")
    parser.add_argument("--development", action="store_true", help="with --weights: only CIFAR, on its validation part")
    arguments = parser.parse_args()
    if arguments.weights and not arguments.cache:
        beside_the_built_in(arguments.weights, development=arguments.development)
    elif arguments.cache and not (arguments.weights or arguments.development):
        beside_the_teacher(arguments.cache)
    else:
        parser.error("give either --cache DIR, or --weights FILE with or without --development")


if __name__ == "__main__":
    main()
