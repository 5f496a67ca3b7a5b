"""The kept pictures: herding against a brute-force reading of the paper, the index's rules, and the byte budget."""

import hashlib
import io
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from edgecl.errors import BadInput
from edgecl.manifest import KeptPicture, Role
from edgecl.memory import HOLDOUT_PER_CLASS, Candidate, candidate, herd, is_held_out, refill
from edgecl.preprocess import decode, encode_jpeg, perceptual_hash, shrink

MIB = 2**20
TELLING = 0xF0F0_F0F0_F0F0_F0F0  # a perceptual hash that says something


def kept(name: str, class_id: str = "a", role: Role = "replay", *, source: str = "", size: int = 100, phash: int = TELLING) -> KeptPicture:
    """An entry of the index; its hash is its name."""
    return KeptPicture(
        hash=name, class_id=class_id, role=role, task="t", source=source or f"file-{name}", phash=f"{phash:016x}", bytes=size
    )


def scene(seed: int) -> NDArray[np.uint8]:
    """`[96, 128, 3]`, soft blobs as in a photograph."""
    small = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((128, 96), Image.Resampling.BICUBIC))


def fresh(name: str, class_id: str = "a", role: Role = "replay", **options: Any) -> Candidate:
    """A candidate without bytes."""
    return Candidate(kept(name, class_id, role, **options), b"")


def line(*names: str) -> dict[str, NDArray[np.float64]]:
    """Features at growing angles: herding begins in the middle."""
    return {name: np.array([np.cos(a), np.sin(a)]) for name, a in zip(names, np.linspace(0, 1, len(names)), strict=True)}


def names(index: Sequence[KeptPicture]) -> list[str]:
    """The hashes in order."""
    return [picture.hash for picture in index]


def refilled(old: Sequence[KeptPicture], new: Sequence[Candidate], *, per_class: int = 10, budget: int = MIB) -> list[str]:
    """`refill` with some features for everything."""
    everything = sorted({*(k.hash for k in old), *(c.kept.hash for c in new)})
    features = {name: np.random.default_rng([*name.encode()]).normal(size=4) for name in everything}
    return names(refill(old, new, features, per_class=per_class, budget_bytes=budget))


def paper(features: NDArray[Any], count: int) -> list[int]:
    """iCaRL's eq. 4 word by word, in plain loops."""
    phi = [x / np.linalg.norm(x) for x in features]
    mean = sum(phi) / len(phi)
    chosen: list[int] = []
    for k in range(1, count + 1):
        free = [i for i in range(len(phi)) if i not in chosen]
        chosen.append(min(free, key=lambda i: float(np.linalg.norm(mean - (phi[i] + sum(phi[j] for j in chosen)) / k))))
    return chosen


@pytest.mark.parametrize(("n", "count"), [(1, 1), (2, 2), (3, 2), (12, 8), (30, 30)])
def test_herding_is_the_papers(n: int, count: int) -> None:
    """The same pictures in the same order as a plain reading of Rebuffi et al. 2017, eq. 4."""
    features = np.random.default_rng(n).normal(size=(n, 5)) + 1
    assert herd(features, count) == paper(features, count)


@pytest.mark.parametrize(("n", "count", "expected"), [(0, 3, []), (1, 0, []), (1, 3, [0]), (2, 1, [0]), (2, 5, [0, 1])])
def test_herding_few(n: int, count: int, expected: list[int]) -> None:
    """None, one and two pictures; more wanted than there are; two are equally far from their mean."""
    assert herd(np.eye(2)[:n], count) == expected


def test_herding_begins_with_the_most_typical() -> None:
    """The middle of a line first; ties go to the lower index; an outlier comes last."""
    assert herd(np.stack(list(line("a", "b", "c").values())), 3)[0] == 1
    assert herd(np.ones((4, 3)), 4) == [0, 1, 2, 3]
    assert herd(np.array([[1.0, 0], [-1, 0.1], [1, 0], [1, 0]]), 4)[-1] != 0
    assert herd(np.array([[0, 1.0], [1, 0], [1, 0.1], [1, 0.05]]), 1) == [2]


def test_herding_looks_at_directions() -> None:
    """Lengths do not matter, not even length 0, and the input is left as it was."""
    features = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    longer = features * np.array([[1], [10], [100], [1], [1e3], [5]], np.float32)
    before = longer.copy()
    assert herd(features, 6) == herd(longer, 6)
    np.testing.assert_array_equal(longer, before)
    assert sorted(herd(np.zeros((3, 2)), 3)) == [0, 1, 2]


def test_a_candidate_is_a_jpeg_under_its_hash() -> None:
    """The bytes are the encoded pixels, named by their hash; the perceptual hash is 16 hex digits."""
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    made = candidate(rgb, class_id="a", role="holdout", task="t0001-cans", source="file", phash=0xAB)
    assert made.data == encode_jpeg(rgb)
    assert Image.open(io.BytesIO(made.data)).size == (30, 20)
    digest = hashlib.sha256(made.data).hexdigest()
    assert made.kept == KeptPicture(
        hash=digest, class_id="a", role="holdout", task="t0001-cans", source="file", phash="00000000000000ab", bytes=len(made.data)
    )


def test_a_candidate_says_nothing_of_where_and_when() -> None:
    """Place, time and camera of the original file, and its comment, are nowhere in the kept bytes."""
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.25), 3: "E", 4: (13.0, 24.0, 17.5), 29: "2024:05:06"})
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    buffer = io.BytesIO()
    Image.fromarray(scene(0)).save(buffer, format="JPEG", exif=exif, comment=b"SecretPlace")
    original = buffer.getvalue()
    with Image.open(io.BytesIO(original)) as image:
        assert image.getexif().get_ifd(0x8825)[2] == (52.0, 31.0, 12.25)
    assert all(secret in original for secret in (b"SecretCamera", b"SecretPlace", b"2024:05:06"))
    made = candidate(decode(original), class_id="a", role="replay", task="t", source="file", phash=0)
    assert not any(secret in made.data for secret in (b"Exif", b"SecretCamera", b"SecretPlace", b"2024:05:06"))
    with Image.open(io.BytesIO(made.data)) as image:
        assert dict(image.getexif()) == dict(image.getexif().get_ifd(0x8825)) == {}


def test_a_new_class_gets_holdout_and_replay_pictures() -> None:
    """Two holdout pictures first, then replay in herding order up to the quota."""
    new = [*(fresh(f"r{i}") for i in range(9)), *(fresh(f"h{i}", role="holdout") for i in range(3))]
    features = line(*(f"r{i}" for i in range(9)))
    index = refill([], new, features, per_class=6, budget_bytes=MIB)
    order = herd(np.stack(list(features.values())), 4)
    assert names(index) == ["h0", "h1", *(f"r{i}" for i in order)]
    assert [k.role for k in index] == ["holdout"] * HOLDOUT_PER_CLASS + ["replay"] * 4


def test_old_holdout_pictures_stay_for_life() -> None:
    """New ones only fill up to two."""
    old = [kept("h", role="holdout"), kept("r")]
    assert refilled(old, [fresh(f"n{i}", role="holdout") for i in range(3)]) == ["h", "n0", "r"]
    old = [kept("h", role="holdout"), kept("g", role="holdout")]
    assert refilled(old, [fresh("n", role="holdout"), fresh("r")]) == ["h", "g", "r"]


def test_a_class_with_new_pictures_is_herded_anew() -> None:
    """Over old and new replay together; a class without new ones keeps its order."""
    old = [kept("r0"), kept("r4"), kept("z", "b"), kept("y", "b")]
    new = [fresh(f"r{i}") for i in (1, 2, 3)]
    index = refill(old, new, line("r0", "r1", "r2", "r3", "r4"), per_class=5, budget_bytes=MIB)
    assert names(index)[0] == "r2"
    assert len(names(index)[:-2]) == 3
    assert names(index)[-2:] == ["z", "y"]


def test_a_smaller_quota_cuts_every_class() -> None:
    """The last-herded pictures go, the holdout pictures stay."""
    old = [kept("h", role="holdout"), *(kept(f"r{i}") for i in range(8)), *(kept(f"s{i}", "b") for i in range(8))]
    assert refilled(old, [], per_class=4) == ["h", "r0", "r1", "s0", "s1"]


def test_only_new_holdout_pictures_herd_nothing() -> None:
    """Features are not asked for where no replay picture is new."""
    index = refill([kept("r1"), kept("r0")], [fresh("h", role="holdout")], {}, per_class=10, budget_bytes=MIB)
    assert names(index) == ["h", "r1", "r0"]


def test_a_missing_feature_is_no_silent_choice() -> None:
    """A picture that has to be herded without features is an error that names it."""
    with pytest.raises(KeyError, match="r9"):
        refill([kept("r9")], [fresh("r1")], line("r1"), per_class=10, budget_bytes=MIB)


def test_no_content_comes_twice() -> None:
    """Neither the kept JPEG nor the file it was made from: not in one class, not in two, not in both roles."""
    assert refilled([kept("r")], [fresh("r"), fresh("x", source="file-r")]) == ["r"]
    assert refilled([kept("r")], [fresh("r", source="another file"), fresh("s")]) in (["r", "s"], ["s", "r"])
    assert refilled([], [fresh("r"), fresh("r", "b"), fresh("s", "b")]) == ["r", "s"]
    assert refilled([], [fresh("x"), fresh("x", role="holdout"), fresh("y")]) == ["x", "y"]
    index = refill([], [fresh("x"), fresh("x", role="holdout")], line("x"), per_class=3, budget_bytes=MIB)
    assert [k.role for k in index] == ["holdout"]


def test_the_older_role_of_a_picture_stays() -> None:
    """A holdout picture never becomes one to train on, not even for another class; one that was trained on never becomes holdout."""
    held = kept("h", role="holdout")
    assert refill([held], [fresh("h"), fresh("h", "b"), fresh("r")], line("r"), per_class=10, budget_bytes=MIB) == (held, kept("r"))
    trained = kept("r")
    assert refill([trained], [fresh("r", role="holdout")], {}, per_class=10, budget_bytes=MIB) == (trained,)


def test_the_budget_takes_from_the_fullest_class() -> None:
    """The last-herded replay picture of the class with most pictures goes first; of equal ones, that with more bytes."""
    old = [*(kept(f"r{i}") for i in range(4)), *(kept(f"s{i}", "b", size=110) for i in range(3))]
    assert refilled(old, [], budget=730) == ["r0", "r1", "r2", "r3", "s0", "s1", "s2"]
    assert refilled(old, [], budget=729) == ["r0", "r1", "r2", "s0", "s1", "s2"]
    assert refilled(old, [], budget=629) == ["r0", "r1", "r2", "s0", "s1"]
    assert refilled(old, [], budget=519) == ["r0", "r1", "s0", "s1"]
    assert refilled(old, [], budget=210) == ["r0", "s0"]


def test_equal_classes_give_in_the_order_of_the_index() -> None:
    """Ties are broken by age, so that two boards drop the same picture."""
    old = [*(kept(f"r{i}") for i in range(2)), *(kept(f"s{i}", "b") for i in range(2))]
    assert refilled(old, [], budget=300) == ["r0", "s0", "s1"]


def test_a_budget_that_cannot_hold_the_least_is_refused() -> None:
    """One replay picture and the holdout pictures per class; the bytes, the setting and a value that works are named."""
    old = [kept("h", role="holdout", size=MIB), kept("r", size=MIB), kept("s", size=5), kept("t", "b", size=1)]
    assert refilled(old, [], budget=2 * MIB + 1) == ["h", "r", "t"]
    with pytest.raises(BadInput) as caught:
        refilled(old, [], budget=2 * MIB)
    assert str(caught.value) == (
        "the memory needs at least 2097153 bytes for 2 classes, but memory.budget_mib allows 2097152. "
        "Set memory.budget_mib to 2.1 or more in settings.toml."
    )


@pytest.mark.parametrize("per_class", [2, 0, -1])
def test_a_quota_without_replay_is_refused(per_class: int) -> None:
    """Two pictures are held out, so fewer than three leave nothing to replay."""
    with pytest.raises(BadInput) as caught:
        refill([], [], {}, per_class=per_class, budget_bytes=MIB)
    assert str(caught.value) == f"memory.per_class is {per_class}, but 2 of them are held out for checking; give at least 3"


PICTURES = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from("abc"), st.sampled_from(["replay", "holdout"]), st.integers(1, 50)),
    max_size=25,
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(tasks=st.lists(PICTURES, max_size=4), per_class=st.integers(3, 7), budget=st.integers(0, 600))
def test_the_rules_of_the_index_always_hold(tasks: list[list[tuple[int, int, str, Any, int]]], per_class: int, budget: int) -> None:
    """Whatever tasks bring: never over budget or quota, no content twice, holdout for life, one replay picture left per class."""
    features = {f"k{i}": np.random.default_rng(i).normal(size=3) for i in range(31)}
    index: tuple[KeptPicture, ...] = ()
    for task in tasks:
        new = [fresh(f"k{i}", c, role, source=f"f{s}", size=size) for i, s, c, role, size in task]
        before = index
        try:
            index = refill(before, new, features, per_class=per_class, budget_bytes=budget)
        except BadInput as error:
            assert "memory.budget_mib" in str(error)  # noqa: PT017 (either way is right; what matters is what follows)
            return
        assert sum(k.bytes for k in index) <= budget
        assert len({k.hash for k in index}) == len({k.source for k in index}) == len(index)
        counts = Counter((k.class_id, k.role) for k in index)
        assert all(
            count <= (HOLDOUT_PER_CLASS if role == "holdout" else per_class - HOLDOUT_PER_CLASS) for (_, role), count in counts.items()
        )
        assert {k for k in before if k.role == "holdout"} <= set(index)
        assert {k.class_id for k in before if k.role == "replay"} <= {k.class_id for k in index if k.role == "replay"}
        blocks = [(class_id, role) for (class_id, role), _ in itertools.groupby(index, key=lambda k: (k.class_id, k.role))]
        assert len(set(blocks)) == len(blocks)
        assert all(
            blocks.index((c, "holdout")) < blocks.index((c, "replay")) for c, r in blocks if r == "holdout" and (c, "replay") in blocks
        )


def test_a_holdout_picture_is_known_again() -> None:
    """By its file, or by a hash at most 4 bits away; only among holdout pictures of the same class."""
    memory = [kept("h", role="holdout"), kept("r", phash=~TELLING & 2**64 - 1), kept("b", "b", "holdout", phash=0x0F0F0F0F0F0F0F0F)]
    assert is_held_out("file-h", 0, memory, "a")
    assert is_held_out("other", TELLING ^ 0b1111, memory, "a")
    assert not is_held_out("other", TELLING ^ 0b11111, memory, "a")
    assert not is_held_out("file-r", ~TELLING & 2**64 - 1, memory, "a")
    assert not is_held_out("file-b", 0x0F0F0F0F0F0F0F0F, memory, "a")
    assert is_held_out("file-b", 0, memory, "b")


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_a_copy_of_a_held_out_picture_is_known(quality: int) -> None:
    """Brought again at half its size and another JPEG quality it is held out still; another scene is not."""
    held = candidate(scene(0), class_id="a", role="holdout", task="t", source="file", phash=perceptual_hash(scene(0))).kept
    copy = decode(encode_jpeg(shrink(scene(0), 48), quality))
    assert is_held_out("copy", perceptual_hash(copy), [held], "a")
    assert not is_held_out("copy", perceptual_hash(copy), [held], "b")
    assert not is_held_out("other", perceptual_hash(scene(1)), [held], "a")


def test_a_flat_picture_is_known_by_its_file_alone() -> None:
    """All white walls have one hash; a new one may still be learned from."""
    memory = [kept("h", role="holdout", phash=0)]
    assert is_held_out("file-h", 0, memory, "a")
    assert not is_held_out("other", 0, memory, "a")
