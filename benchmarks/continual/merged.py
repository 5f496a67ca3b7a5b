"""Adapters that were learned apart, each from the backbone as it came, and merged: by PEFT as its users call it, and by MagMax.

The adapters are the same for all rows, so they are trained once and kept in the work folder. What is chosen on `val` is how they are merged,
and whether the head is put together from the tasks' own rows or fitted in closed form on 10 pictures per class, as edgecl's is.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from continual.data import KEPT, PICTURE_BYTES, Bench, Course, Pictures
from continual.method import Learned, backbone_costs
from continual.upper import adapter_of, features
from edgecl.adapter import Adapter, adapter_files, read_adapter
from edgecl.backbone import Vit, build
from edgecl.head import fit_head
from edgecl.merge import merge, task_vector

Array = np.ndarray[Any, Any]
TRAINING: Mapping[str, Any] = {"learning_rate": 1e-3, "epochs": 4, "augmented": True}  # edgecl's


@dataclass(frozen=True, eq=False)
class Independent:
    """One task's adapter with its own head, rows of the task's `classes`; `folder` is in PEFT's format."""

    folder: Path
    classes: tuple[int, ...]
    weight: Array  # [k, d]
    bias: Array  # [k]
    earlier_s: float  # seconds that its training took in an earlier run

    @property
    def adapter(self) -> Adapter:
        """Read from the folder."""
        return read_adapter(self.folder)


Merge = Callable[[Bench, Sequence[Independent], Mapping[str, Any]], Vit]


def by_peft(bench: Bench, parts: Sequence[Independent], settings: Mapping[str, Any]) -> Vit:
    """`add_weighted_adapter` with `combination_type` and `weight` for each, then `merge_and_unload`."""
    from peft import PeftModel

    vit = bench.vit()
    torch.manual_seed(0)  # DARE drops at random
    model = PeftModel.from_pretrained(vit.model, str(parts[0].folder), adapter_name="0")
    for place, part in enumerate(parts[1:], start=1):
        model.load_adapter(str(part.folder), adapter_name=str(place))
    names = [str(place) for place in range(len(parts))]
    how = {"density": settings["density"]} if "density" in settings else {}
    model.add_weighted_adapter(names, [settings["weight"]] * len(names), "merged", combination_type=settings["combination_type"], **how)
    model.set_adapter("merged")
    vit.model = model.merge_and_unload()
    return vit.eval().requires_grad_(False)


def by_magmax(bench: Bench, parts: Sequence[Independent], settings: Mapping[str, Any]) -> Vit:
    """Of each weight the task vector's entry with the largest magnitude (Marczak et al. 2024, arXiv 2407.06322), times `weight`."""
    vectors = [task_vector(part.adapter) for part in parts]
    state = dict(merge(bench.state, []))
    for name in vectors[0]:
        stacked = np.stack([vector[name] for vector in vectors])
        largest = np.take_along_axis(stacked, np.abs(stacked).argmax(axis=0)[None], axis=0)[0]
        state[name] = state[name] + np.float32(settings["weight"]) * largest
    return build(bench.architecture, state)


def merged(course: Course, settings: Mapping[str, Any], *, by: Merge) -> Iterator[Learned]:
    """After each task, all adapters so far."""
    bench: Bench = course.bench
    parts: list[Independent] = []
    memory = np.zeros(0, np.intp)
    for task, classes in enumerate(course.tasks):
        part = independent(course, task, bench.work / "adapters")
        parts.append(part)
        memory = np.concatenate([memory, kept_places(course, classes)])
        vit = by(bench, parts, settings)
        weight, bias, numbers = _closed(vit, bench, bench.train.at(memory)) if settings["closed"] else _assembled(parts)
        stored = (
            sum(file.stat().st_size for one in parts for file in one.folder.iterdir())
            + KEPT * PICTURE_BYTES * len(numbers) * settings["closed"]
        )
        yield Learned(_answers(vit, bench, weight, bias, numbers), stored, backbone_costs(course, weight.size), part.earlier_s)


def _answers(vit: Vit, bench: Bench, weight: Array, bias: Array, numbers: Array) -> Callable[[Pictures], Array]:
    return lambda pictures: numbers[(features(vit, bench, pictures) @ weight.T + bias).argmax(axis=1)]


def _assembled(parts: Sequence[Independent]) -> tuple[Array, Array, Array]:
    numbers = np.array([c for part in parts for c in part.classes])
    return np.concatenate([part.weight for part in parts]), np.concatenate([part.bias for part in parts]), numbers


def _closed(vit: Vit, bench: Bench, kept: Pictures) -> tuple[Array, Array, Array]:
    numbers = np.unique(kept.labels)
    head = fit_head(features(vit, bench, kept), np.searchsorted(numbers, kept.labels), capacity=len(numbers))
    return head.weight.astype(np.float32), head.bias.astype(np.float32), numbers


def kept_places(course: Course, classes: Sequence[int]) -> Array:
    """Places in `train` of 10 random pictures of each class."""
    random = np.random.default_rng([course.seed, course.order])
    found = [np.flatnonzero(course.bench.train.labels == c) for c in sorted(classes)]
    return np.concatenate([random.permutation(places)[:KEPT] for places in found])


def independent(course: Course, task: int, place: Path) -> Independent:
    """Number `task`'s adapter, trained at the first call; the file with the head is written last and says that the folder is whole."""
    name = f"order{course.order}-seed{course.seed}-task{task}-of{len(course.bench.classes)}"
    folder, head_file, facts = place / name, place / f"{name}.npz", place / f"{name}.json"
    trained_now = not facts.exists()
    if trained_now:
        begun = time.perf_counter()
        adapter, head, classes = adapter_of(course.bench, course.taught(task), **TRAINING, seed=course.seed)
        folder.mkdir(parents=True, exist_ok=True)
        for file, data in adapter_files(adapter, course.bench.architecture.backbone).items():
            (folder / file).write_bytes(data)
        np.savez(head_file, weight=head.weight.detach().numpy(), bias=head.bias.detach().numpy())
        facts.write_text(json.dumps({"classes": classes.tolist(), "seconds": time.perf_counter() - begun}))
    known, arrays = json.loads(facts.read_text()), np.load(head_file)
    return Independent(folder, tuple(known["classes"]), arrays["weight"], arrays["bias"], 0.0 if trained_now else known["seconds"])
