"""A header whose fields do not go together is refused, however well its sums are."""

from dataclasses import replace
from typing import Any

import pytest

from edgecl.errors import BadInput
from edgecl.manifest import Recipe, Thresholds
from tests.bundle.builders import TASK, bundle_bytes, contents_and_parts, read

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
