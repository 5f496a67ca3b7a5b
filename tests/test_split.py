"""Which pictures of a task validate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecl.pictures import Picture
from edgecl.split import split


def made(class_name: str, index: int, *, phash: int | None = None, captured: float | None = None) -> Picture:
    """A picture without pixels; its perceptual hash is a random one unless it is given."""
    random = int(np.random.default_rng([index, *class_name.encode()]).integers(0, 2**63)) * 2
    blank = np.zeros((1, 1, 3), np.uint8)
    path = Path(class_name) / f"{index:03}.png"
    return Picture(path, class_name, f"{class_name}{index}", random if phash is None else phash, captured, blank, blank)


DRAWN = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 63), st.none() | st.floats(0, 100)), min_size=1, max_size=40
)


def drawn(entries: Sequence[tuple[str, int, int, float | None]]) -> list[Picture]:
    """Pictures of up to 31 scenes, each with one bit of its hash changed, some with times."""
    return [
        made(name, i, phash=made("scene", scene).phash ^ (1 << bit), captured=time) for i, (name, scene, bit, time) in enumerate(entries)
    ]


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


def test_a_large_share_never_takes_a_whole_class() -> None:
    """A single scene is cut even where it comes nearest to the share as a whole."""
    pictures = [made("a", i, captured=float(i)) for i in range(10)]
    assert sources(split(pictures, share=0.8)[1]) == [f"a{i}" for i in range(2, 10)]


def test_large_groups_do_not_empty_the_training() -> None:
    """Of two bursts of twenty, the smaller one's last frames validate; of three of five, one as a whole."""
    two = [made("a", i, captured=(0.0 if i < 20 else 1000.0) + i) for i in range(41)]
    assert sources(split(two)[1]) == [f"a{i}" for i in range(14, 20)]
    three = [made("a", i, captured=1000.0 * (i // 5) + i) for i in range(15)]
    chosen = {int(s[1:]) // 5 for s in sources(split(three)[1])}
    assert len(chosen) == 1
    assert len(split(three)[1]) == 5


def together(one: Picture, other: Picture) -> bool:
    """Of one class, and either shot within 2 s or at most 6 bits apart with ten bits of each kind: the rule in plain words."""
    if one.class_name != other.class_name:
        return False
    if one.captured is not None and other.captured is not None and abs(one.captured - other.captured) <= 2:
        return True
    return bin(one.phash ^ other.phash).count("1") <= 6 and all(10 <= bin(p.phash).count("1") <= 54 for p in (one, other))


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(entries=DRAWN, seed=st.integers(0, 3))
def test_the_rules_of_the_split_always_hold(entries: list[tuple[str, int, int, float | None]], seed: int) -> None:
    """Whatever the pictures: disjoint and complete, some of each class from four up and never all, independent of other classes."""
    pictures = drawn(entries)
    train, validation = split(pictures, seed=seed)
    assert split(pictures, seed=seed) == (train, validation)
    assert sorted(sources([*train, *validation])) == sorted(sources(pictures))
    for name in {p.class_name for p in pictures}:
        members = [p for p in pictures if p.class_name == name]
        chosen = [p for p in validation if p.class_name == name]
        assert (len(chosen) == 0) if len(members) < 4 else (0 < len(chosen) < len(members))
        assert split(members, seed=seed)[1] == tuple(chosen)
        torn = [(a, b) for a in chosen for b in members if b not in chosen and together(a, b)]
        if torn:  # only where every group is more than a third of the class, or the class is one scene: the smallest is cut by time
            assert len(chosen) == max(1, round(0.15 * len(members)))
            assert len(scenes(members)) <= 2


def scenes(pictures: Sequence[Picture]) -> list[list[Picture]]:
    """Groups that `together` joins, directly or through others."""
    groups: list[list[Picture]] = []
    for picture in pictures:
        near = [group for group in groups if any(together(picture, other) for other in group)]
        groups = [group for group in groups if group not in near] + [[p for group in near for p in group] + [picture]]
    return groups
