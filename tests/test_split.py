"""Which pictures of a task validate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgecl.pictures import Picture
from edgecl.split import split


def made(class_name: str, index: int, *, phash: int | None = None, captured: float | None = None) -> Picture:
    """A picture without pixels; its perceptual hash is a random one unless it is given."""
    random = int(np.random.default_rng([index, *class_name.encode()]).integers(0, 2**63)) * 2
    blank = np.zeros((1, 1, 3), np.uint8)
    path = Path(class_name) / f"{index:03}.png"
    return Picture(path, class_name, f"{class_name}{index}", random if phash is None else phash, captured, blank, blank)


def sources(pictures: Sequence[Picture]) -> list[str]:
    """Names of the pictures."""
    return [picture.sha256 for picture in pictures]


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (10, 2), (20, 3), (100, 15)])
def test_a_share_of_each_class_validates(count: int, expected: int) -> None:
    """15 %, at least one, and none of fewer than four; nothing is lost and nothing comes twice."""
    pictures = [made(name, i) for name in ("a", "b") for i in range(count)]
    train, validation = split(pictures)
    assert [sum(p.class_name == name for p in validation) for name in ("a", "b")] == [expected, expected]
    assert sorted(sources([*train, *validation])) == sorted(sources(pictures))
    assert sources(train) == [s for s in sources(pictures) if s in set(sources(train))]  # order is kept


def test_the_choice_depends_on_the_seed_and_the_class_alone() -> None:
    """Equal seeds choose equally, others differ, and another class beside it changes nothing."""
    one, other = [made("a", i) for i in range(40)], [made("b", i) for i in range(40)]
    alone = sources(split(one, seed=1)[1])
    assert alone == sources(split(one, seed=1)[1])
    assert alone != sources(split(one, seed=2)[1])
    assert alone == [s for s in sources(split([*other, *one], seed=1)[1]) if s.startswith("a")]
    assert [s[1:] for s in alone] != [s[1:] for s in sources(split(other, seed=1)[1])]


@pytest.mark.parametrize("seed", range(6))
def test_near_duplicates_stay_on_one_side(seed: int) -> None:
    """Pairs of pictures within 6 bits are never torn."""
    hashes = [made("a", i).phash for i in range(20)]
    pictures = [made("a", 2 * i + k, phash=h ^ (0b111111 * k)) for i, h in enumerate(hashes) for k in (0, 1)]
    _, validation = split(pictures, seed=seed)
    chosen = {int(s[1:]) for s in sources(validation)}
    assert len(chosen) == 6
    assert all(i ^ 1 in chosen for i in chosen)


@pytest.mark.parametrize("seed", range(6))
def test_bursts_stay_on_one_side(seed: int) -> None:
    """Frames at most two seconds apart belong together, also over many frames; others do not."""
    pictures = [made("a", 3 * k + i, captured=100.0 * k + 2.0 * i) for k in range(12) for i in range(3)]
    chosen = {int(s[1:]) for s in sources(split(pictures, seed=seed)[1])}
    assert len(chosen) == 6
    assert {i // 3 for i in chosen} == {i // 3 for i in chosen if {i // 3 * 3, i // 3 * 3 + 1, i // 3 * 3 + 2} <= chosen}


def test_flat_pictures_are_no_near_duplicates() -> None:
    """Twenty pictures with the hash of a white wall are twenty scenes: they are drawn, and not cut off at the end."""
    pictures = [made("a", i, phash=0) for i in range(20)]
    assert sources(split(pictures)[1]) != sources(pictures[-3:])
    assert len(split(pictures)[1]) == 3


def test_a_single_burst_is_cut_by_time() -> None:
    """The last frames validate, whatever their files are called."""
    pictures = [made("a", i, captured=50.0 - i) for i in range(20)]
    assert sorted(sources(split(pictures)[1])) == ["a0", "a1", "a2"]


def test_a_single_scene_without_times_is_cut_by_path() -> None:
    """The last paths validate."""
    pictures = [made("a", i, phash=0xF0F0F0F0F0F0F0F0) for i in reversed(range(20))]
    assert sorted(sources(split(pictures)[1])) == ["a17", "a18", "a19"]


def test_large_groups_do_not_empty_the_training() -> None:
    """Of two bursts of twenty, the smaller one's last frames validate; of three of five, one as a whole."""
    two = [made("a", i, captured=(0.0 if i < 20 else 1000.0) + i) for i in range(41)]
    assert sources(split(two)[1]) == [f"a{i}" for i in range(14, 20)]
    three = [made("a", i, captured=1000.0 * (i // 5) + i) for i in range(15)]
    chosen = {int(s[1:]) // 5 for s in sources(split(three)[1])}
    assert len(chosen) == 1
    assert len(split(three)[1]) == 5
