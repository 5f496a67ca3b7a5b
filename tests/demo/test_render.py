"""The drawn pictures are a function of their arguments, and their nine things can be told apart."""

from pathlib import Path

import numpy as np
import pytest

from edgecl.demo.render import THINGS, render, write_task
from edgecl.errors import UsageError
from edgecl.pictures import find
from edgecl.preprocess import Geometry

GEOMETRY = Geometry(size=32, crop_pct=0.9, interpolation="bicubic")


def test_there_are_nine_things_by_names_that_a_class_may_have() -> None:
    """Three parts, three fruits, three boxes."""
    assert len(set(THINGS)) == 9
    assert all(thing.isalpha() and thing.islower() for thing in THINGS)


@pytest.mark.parametrize("thing", THINGS)
def test_a_picture_is_a_function_of_thing_seed_and_size(thing: str) -> None:
    """Equal arguments give equal pixels whatever was drawn between; another seed gives another picture."""
    first = render(thing, seed=3, size=64)
    other = render(thing, seed=4, size=64)
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, render(thing, seed=3, size=64))
    assert np.mean(np.abs(first.astype(float) - other)) > 5


def test_the_things_can_be_told_apart() -> None:
    """The nearest class mean of small pictures, brightness apart, names most things that it has not seen; chance is one in nine."""

    def seen(thing: str, seed: int) -> np.ndarray:
        small = render(thing, seed=seed, size=32)[4:28, 4:28].astype(float)
        return (small / small.mean()).ravel()

    means = np.stack([np.mean([seen(thing, seed) for seed in range(4)], axis=0) for thing in THINGS])
    answers = [int(np.argmin(np.linalg.norm(means - seen(thing, seed), axis=1))) for thing in THINGS for seed in (90, 91, 92)]
    assert np.mean(np.array(answers) == np.repeat(np.arange(9), 3)) > 0.5


def test_an_unknown_thing_is_refused_with_the_known_ones() -> None:
    """The message holds the name that was met and those that can be drawn."""
    with pytest.raises(UsageError, match=r"^there is no thing 'spoon' to draw\. Choose from gear, bolt, .*, parcel\.$"):
        render("spoon", seed=0)


def test_a_written_task_is_found_without_a_complaint(tmp_path: Path) -> None:
    """`write_task` makes class folders whose every picture is usable and none of which is double."""
    write_task(tmp_path / "parts", THINGS[:3], count=3, seed=1)
    found = find(tmp_path / "parts", GEOMETRY)
    assert found.class_names == sorted(THINGS[:3])
    assert len(found.pictures) == 9
    assert found.rejected == found.warnings == ()


def test_tasks_of_two_seeds_share_no_picture(tmp_path: Path) -> None:
    """So one of them can check what the other taught."""
    for seed in (0, 1):
        write_task(tmp_path / str(seed), ["gear"], count=3, seed=seed)
    contents = [path.read_bytes() for path in tmp_path.rglob("*.jpg")]
    assert len(set(contents)) == len(contents) == 6


def test_two_things_of_one_seed_lie_on_different_ground() -> None:
    """Each picture has a scene of its own, as photographs do; equal corners would make the nine pictures of a seed alike."""
    gear, bolt = (render(thing, seed=0, size=64)[:6, :6].astype(float) for thing in ("gear", "bolt"))
    assert np.mean(np.abs(gear - bolt)) > 15
