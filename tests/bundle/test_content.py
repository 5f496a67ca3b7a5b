"""A header whose fields do not go together is refused, however well its sums are."""

import uuid
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgecl.adapter import adapter_files, adapter_hash
from edgecl.bundle.container import packed
from edgecl.bundle.content import MODEL_FILE, Model, header_of, parts_of
from edgecl.errors import BadInput
from edgecl.manifest import ClassEntry, Recipe, Thresholds
from edgecl.tensors import parsed_tensors
from tests.bundle.builders import TASK, bundle_bytes, contents_and_parts, read
from tests.store.builders import TINY, random_adapter

CONTENTS, _ = contents_and_parts()
OLDER, CARRIED = CONTENTS.recipe.steps
COLA, FANTA = CONTENTS.classes
PICTURE = CONTENTS.pictures[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tasks": ()}, r"its tasks \[\] are not the last steps"),
        ({"tasks": ("t0009-x", TASK)}, "are not the last steps"),
        ({"recipe": Recipe(steps=(CARRIED, OLDER))}, "are not the last steps"),
        ({"recipe": Recipe(method="ties", steps=(OLDER, CARRIED))}, "merged by 'ties', expected 'task-arithmetic'"),
        ({"recipe": Recipe(steps=(replace(OLDER, adapter="../x"), CARRIED))}, "names no adapter"),
        ({"recipe": Recipe(steps=(OLDER, replace(CARRIED, coefficients={"blocks.1.attn.qkv": 1.0})))}, "names no adapter, or coefficients"),
        ({"recipe": Recipe(steps=(OLDER, replace(CARRIED, coefficients={"*": -1e3})))}, "coefficients beyond 100"),
        ({"classes": (COLA, replace(FANTA, row=1))}, "two classes share one row"),
        ({"classes": (COLA, replace(FANTA, name="Cola"))}, "two classes share one name"),
        ({"classes": (COLA, replace(FANTA, name="-"))}, "'-' is no class name"),
        ({"classes": (COLA, replace(FANTA, row=0))}, "a class has another row than its head"),
        ({"classes": (COLA, replace(FANTA, tasks=("t0001-tea",)))}, "was taught by none of its tasks"),
        ({"rows": {"id-tea": 0, "id-cola": 1, "id-fanta": 1}}, "do not have a row each"),
        ({"rows": {"id-tea": 7, "id-cola": 1, "id-fanta": 2}}, "do not have a row each"),
        ({"capacity": 12}, "capacity 12 is not a multiple of 8"),
        ({"next_row": 17}, "do not lie below next_row 17 <= capacity 16"),
        ({"temperature": 0}, "its temperature 0 is none"),
        ({"temperature": -1.0}, "its temperature -1.0 is none"),
        ({"thresholds": Thresholds(score="energy")}, "its unknown score 'energy'"),
        ({"pictures": (replace(PICTURE, class_id="id-tea"), CONTENTS.pictures[1])}, "belongs to no class or task"),
        ({"pictures": (replace(PICTURE, phash="x" * 16), CONTENTS.pictures[1])}, "belongs to no class or task"),
        ({"pictures": (PICTURE, PICTURE, CONTENTS.pictures[1])}, "a picture is there twice"),
        ({"pictures": (replace(PICTURE, bytes=1), CONTENTS.pictures[1])}, "is no JPEG of 1 bytes"),
        ({"pictures": (PICTURE,)}, "is not expected"),
    ],
)
def test_a_header_that_contradicts_itself(changes: dict[str, Any], said: str) -> None:
    """Each check by itself."""
    with pytest.raises(BadInput, match=rf"contradicts itself: .*{said}.*Fetch it again"):
        read(bundle_bytes(**changes))


@pytest.mark.parametrize("changes", [{"base": "0" * 64}, {"architecture": "0" * 16}])
def test_another_backbone(changes: dict[str, Any]) -> None:
    """Weights and architecture must both be the store's."""
    with pytest.raises(BadInput, match="Apply it to a store that was made from the same weights"):
        read(bundle_bytes(**changes))


def test_an_adapter_has_the_hash_that_it_is_named_by() -> None:
    """It would be stored, and shared by versions, under that name."""
    contents, parts = contents_and_parts(recipe=Recipe(steps=(OLDER, replace(CARRIED, adapter="c" * 64))))
    renamed = {name.replace(CARRIED.adapter, "c" * 64): data for name, data in parts.items()}
    with pytest.raises(BadInput, match="the adapter cccccccccccc does not have the hash"):
        read(packed(header_of(contents, renamed), renamed))


@pytest.mark.parametrize(("smallest", "taken"), [(0.0, True), (-1e-6, True), (-0.5, False), (-1e38, False)])
def test_a_covariance_is_one(smallest: float, taken: bool) -> None:
    """The head is solved from it; a rounding below zero is none of its faults."""
    contents, parts = contents_and_parts()
    square = np.diag([smallest, *[1.0] * (TINY.width - 1)]).astype(np.float32)
    model = Model(**{**parsed_tensors(parts[MODEL_FILE]), "covariance": square[np.tril_indices(TINY.width)]})
    parts = {**parts, MODEL_FILE: model.to_bytes()}
    data = packed(header_of(contents, parts), parts)
    if taken:
        assert np.array_equal(read(data).model.gaussians(contents.classes).covariance, square)
        return
    with pytest.raises(BadInput, match=r"contradicts itself: covariance has the eigenvalue -.* expected none below zero"):
        read(data)


def test_a_task_of_vit_tiny_is_below_half_a_megabyte() -> None:
    """Rank 8 in six blocks, nine classes, no pictures; nothing in it is compressed, so the numbers do not matter."""
    vit_tiny = replace(TINY, image_size=224, patch_size=16, width=192, depth=12, heads=3, mlp_width=768)
    files = adapter_files(random_adapter(0, rank=8, first_block=6, architecture=vit_tiny), "vit_tiny_patch16_224")
    classes = tuple(ClassEntry(id=str(uuid.uuid4()), row=row, name="x" * 99 + str(row), tasks=(TASK,)) for row in range(9))
    model = Model(
        head_weight=np.zeros((9, 192), np.float16),
        head_bias=np.zeros(9, np.float16),
        means=np.zeros((9, 192), np.float32),
        covariance=np.zeros(192 * 193 // 2, np.float32),
        probe=np.zeros((4, 192), np.float32),
    )
    parts = parts_of({adapter_hash(files): files}, model, {})
    step = replace(CARRIED, adapter=adapter_hash(files))
    contents = replace(
        CONTENTS, classes=classes, rows={entry.id: entry.row for entry in classes}, recipe=Recipe(steps=(step,)), pictures=()
    )
    assert len(packed(header_of(contents, parts), parts)) < 500_000
