"""Teaches the student what the teacher saw, from the cache of `benchmarks.distil.views`, in three stages.

    python -m benchmarks.distil.train steady --cache DIR --out DIR --steps N    # constant learning rate behind a warm-up
    python -m benchmarks.distil.train settle --cache DIR --out DIR --steps N    # down to a tenth of it
    python -m benchmarks.distil.train finish --cache DIR --out DIR --steps N    # down to zero: the last stage, short

No label is read. Each stage begins where the one before ended, writes a checkpoint every `--every` steps and goes on from it when it was stopped. Every
step's pictures and their augmentation come from (seed, step) alone. What `finish` ends with is the backbone in fp16 that edgecl brings along.

glibc gives large tensors back to the kernel and asks for them again in each step; MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=1000000000000 before the
command keeps them, where `top` shows that the kernel takes a good part of the time.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from benchmarks.distil.arithmetic import MULTIPLIED_IN
from benchmarks.distil.masters import Masters
from benchmarks.distil.places import TEACHER_WEIGHTS
from benchmarks.distil.student import Student
from benchmarks.distil.views import FILES, GRID, SOURCES
from edgecl.backbones import NANO

Array = NDArray[Any]
FIGURES = (
    "token",
    "patches",
    "classifier",
    "cpu_minutes",
)  # of a line of the log: means since the last one, and the time of the stage so far


@dataclass(frozen=True)
class Stage:
    """One part of a run."""

    before: str | None  # the stage whose end it goes on from
    rates: tuple[float, float]  # parts of the learning rate at its start and at its end, a straight line between


STAGES = {
    "steady": Stage(None, rates=(1.0, 1.0)),
    "settle": Stage("steady", rates=(1.0, 0.1)),
    "finish": Stage("settle", rates=(0.1, 0.0)),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a run is set to; its sha256 stands in the weights' metadata. With these shares the three gradients are about equally long."""

    patch_size: int = 16  # pixels
    batch: int = 128
    learning_rate: float = 3e-3
    warmup: int = 300  # steps at the start of `steady`
    weight_decay: float = 0.05
    token_share: float = 5.0  # of the class token's squared error, both standardised per feature
    patch_share: float = 20.0  # of the patch tokens'
    classifier_share: float = 1.0  # of the divergence between what the teacher's classifier says to both class tokens
    erase: float = 0.25  # part of the pictures that lose a rectangle
    seed: int = 0


class Views:
    """The whole cache as one list of views, with its standardisation."""

    def __init__(self, cache: Path) -> None:
        folders = [cache / name for name in SOURCES if (cache / name / "done").exists()]
        counts = [int((folder / "done").read_text()) for folder in folders]
        self._arrays = {key: [np.load(folder / f"{key}.npy", mmap_mode="r") for folder in folders] for key in FILES}
        self._place = np.concatenate([np.stack([np.full(n, i), np.arange(n)], axis=1) for i, n in enumerate(counts)])
        sample = np.sort(np.random.default_rng(0).choice(len(self._place), min(4096, len(self._place)), replace=False))
        token, patches = (torch.from_numpy(self.take(key, sample)).float() for key in ("token", "patches"))
        self.token_mean, self.token_std = token.mean(0), token.std(0)
        self.patch_mean, self.patch_std = patches.mean((0, 1)), patches.std((0, 1))

    def __len__(self) -> int:
        return len(self._place)

    def take(self, key: str, wanted: Array) -> Array:
        """Rows `wanted` of one kind of file."""
        return np.stack([self._arrays[key][source][row] for source, row in self._place[wanted]])


def batches(views: Views, recipe: Recipe, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each step: normalised pictures `[b, 3, 96, 96]`, class tokens `[b, 192]` and patches `[b, 49, 192]`, standardised."""
    per_epoch = len(views) // recipe.batch
    epoch, order = -1, np.empty(0, np.int64)
    for step in range(start, stop):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order = np.random.default_rng([recipe.seed, 0, epoch]).permutation(len(views))
        at = step % per_epoch * recipe.batch
        wanted = np.sort(order[at : at + recipe.batch])
        pictures = torch.from_numpy(views.take("pictures", wanted)).permute(0, 3, 1, 2).to(MULTIPLIED_IN) / 127.5 - 1
        token = (torch.from_numpy(views.take("token", wanted)).float() - views.token_mean) / views.token_std
        patches = (torch.from_numpy(views.take("patches", wanted)).float() - views.patch_mean) / views.patch_std
        yield *_augmented(pictures, patches, np.random.default_rng([recipe.seed, 1, step]), recipe), token


def _augmented(pictures: Tensor, patches: Tensor, random: np.random.Generator, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Half of the pictures mirrored, and the teacher's grid with them; some lose a rectangle, which the teacher saw."""
    mirrored = torch.from_numpy(random.random(len(pictures)) < 0.5)
    grid = patches.unflatten(1, (GRID, GRID))
    pictures = torch.where(mirrored[:, None, None, None], pictures.flip(3), pictures)
    grid = torch.where(mirrored[:, None, None, None], grid.flip(2), grid)
    size = pictures.shape[-1]
    for index in np.flatnonzero(random.random(len(pictures)) < recipe.erase):
        h, w = random.integers(size // 8, size // 2, 2)
        top, left = random.integers(0, size - h), random.integers(0, size - w)
        pictures[index, :, top : top + h, left : left + w] = float(random.uniform(-1, 1))
    return pictures, grid.flatten(1, 2)


class Loss:
    """How far the student is from the teacher, in three parts."""

    def __init__(self, views: Views, recipe: Recipe) -> None:
        tensors = load_file(TEACHER_WEIGHTS)
        # The classifier on standardised tokens; its bias changes both answers alike, but not their softmax's weight.
        self._weight = (tensors["head.weight"].float() * views.token_std).to(MULTIPLIED_IN)
        self._bias = (tensors["head.bias"].float() + tensors["head.weight"].float() @ views.token_mean).to(MULTIPLIED_IN)
        self._recipe = recipe

    def __call__(self, token: Tensor, patches: Tensor, wanted_token: Tensor, wanted_patches: Tensor) -> tuple[Tensor, list[float]]:
        """The weighted sum, and its parts for the log."""
        recipe = self._recipe
        parts = [functional.mse_loss(token.float(), wanted_token), functional.mse_loss(patches.float(), wanted_patches)]
        said = functional.log_softmax(functional.linear(token, self._weight, self._bias).float(), dim=1)
        with torch.no_grad():
            right = functional.log_softmax(functional.linear(wanted_token.to(MULTIPLIED_IN), self._weight, self._bias).float(), dim=1)
        parts.append(functional.kl_div(said, right, reduction="batchmean", log_target=True))
        shares = (recipe.token_share, recipe.patch_share, recipe.classifier_share)
        return sum((share * part for share, part in zip(shares, parts, strict=True)), torch.zeros(())), [
            float(part.detach()) for part in parts
        ]


def run(stage: str, recipe: Recipe, cache: Path, out: Path, steps: int, *, every: int) -> None:
    """Do the steps of a stage that are not done yet, from its own checkpoint or from the end of the stage before."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    views, model = Views(cache), Student(recipe.patch_size)
    masters, loss = Masters(model, weight_decay=recipe.weight_decay), Loss(views, recipe)
    before = STAGES[stage].before
    begun = _resume(masters, out / f"{before}.safetensors") if before else 0
    at = _resume(masters, out / f"{stage}.safetensors") or begun
    started, sums, count = time.process_time(), np.zeros(3), 0
    for step, batch in enumerate(batches(views, recipe, at, begun + steps), start=at):
        pictures, wanted_patches, wanted_token = batch
        value, parts = loss(*model(pictures), wanted_token, wanted_patches)
        value.backward()
        masters.step(recipe.learning_rate * _rate(stage, step - begun, steps, recipe))
        sums, count = sums + parts, count + 1
        if (step + 1) % every == 0 or step + 1 == begun + steps:
            figures = [round(figure, 4) for figure in (*(sums / count).tolist(), (time.process_time() - started) / 60)]
            _log(out / "log.jsonl", {"stage": stage, "step": step + 1} | dict(zip(FIGURES, figures, strict=True)))
            _checkpoint(masters, out / f"{stage}.safetensors", step + 1, recipe)
            sums, count = np.zeros(3), 0
    if stage == "finish":
        length = {"steps": begun + steps, "finish": steps, "views": len(views)}
        write_backbone(masters, out / f"{NANO.backbone}.safetensors", recipe, length)


def _rate(stage: str, step: int, steps: int, recipe: Recipe) -> float:
    """The part of the learning rate that the `step`-th of a stage's `steps` takes; the first stage begins with a warm-up."""
    first, last = STAGES[stage].rates
    warm = min(1.0, (step + 1) / recipe.warmup) if STAGES[stage].before is None else 1.0
    return warm * (first + (last - first) * step / steps)


def _log(path: Path, line: dict[str, Any]) -> None:
    """A line of the log, printed, too."""
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def write_backbone(masters: Masters, path: Path, recipe: Recipe, length: dict[str, int]) -> None:
    """The backbone alone, in fp16 under timm's names; its metadata hold what it was made by. Prints the file's sha256."""
    tensors = {
        name.removeprefix("backbone."): value.half()
        for name, value in zip(masters.names, masters.values, strict=True)
        if name.startswith("backbone.")
    }
    made_by = json.dumps(asdict(recipe) | length, sort_keys=True)
    save_file(tensors, path, {"name": NANO.backbone, "recipe": made_by, "recipe_sha256": hashlib.sha256(made_by.encode()).hexdigest()})
    print(f"{path.name}: {path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def _checkpoint(masters: Masters, path: Path, step: int, recipe: Recipe) -> None:
    """Write what a later run needs to go on, all or nothing."""
    beside = path.with_suffix(".part")
    save_file(masters.state(), beside, {"step": str(step), "recipe": json.dumps(asdict(recipe), sort_keys=True)})
    beside.replace(path)


def _resume(masters: Masters, path: Path) -> int:
    """Take a checkpoint in, if there is one; its step."""
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
    masters.resume(load_file(path), step)
    return step


def main() -> None:
    """Parse and run one stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=list(STAGES))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--every", type=int, default=200, help="steps between two lines of the log")
    parser.add_argument("--threads", type=int, default=1)
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = Recipe(**{name: getattr(arguments, name) for name in asdict(Recipe())})
    run(arguments.stage, recipe, arguments.cache, arguments.out, arguments.steps, every=arguments.every)


if __name__ == "__main__":
    main()
