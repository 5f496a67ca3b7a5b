"""Collected pictures: what they are called, what is refused, how they come to a learn and back."""

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edgecl.errors import BadInput, BadPictures, NoSpace, UsageError
from edgecl.pictures import find
from edgecl.preprocess import Geometry, capture_time, decode
from edgecl.store.inbox import Collected, Doubled, Inbox

NOON = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=timezone.utc)


def noise(seed: int) -> np.ndarray:
    """A picture unlike any other."""
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    """An empty one."""
    return Inbox(tmp_path)


def test_a_picture_waits_under_its_class(inbox: Inbox, tmp_path: Path) -> None:
    """It lies where the page of formats says, with the time at which it was taken and no other EXIF, and is listed in its class."""
    hash = inbox.add("tea", noise(0), NOON)
    path = tmp_path / "inbox" / "next" / "tea" / f"{hash}.jpg"
    assert inbox.collected() == [Collected("tea", (hash,))]
    assert inbox.picture("tea", hash) == path.read_bytes()
    assert np.abs(decode(path).astype(int) - noise(0)).mean() < 10
    assert capture_time(path.read_bytes()) == NOON.timestamp()
    assert inbox.size_bytes() == path.stat().st_size
    assert not list((tmp_path / "inbox" / "tmp").iterdir())


def test_a_double_is_refused_in_its_class_only(inbox: Inbox) -> None:
    """A picture that can hardly be told from one that waits is refused, unless it is asked for; another class may have it."""
    inbox.add("tea", noise(0), NOON)
    brighter = np.clip(noise(0).astype(int) + 3, 0, 255).astype(np.uint8)
    with pytest.raises(Doubled, match="'tea' has this picture already"):
        inbox.add("tea", brighter, NOON)
    inbox.add("tea", brighter, NOON, doubles=True)
    inbox.add("milk", brighter, NOON)
    assert [(each.name, len(each.pictures)) for each in inbox.collected()] == [("milk", 1), ("tea", 2)]
    with pytest.raises(Doubled):
        inbox.add("tea", brighter, NOON, doubles=True)  # the very same bytes


def test_doubles_are_known_after_a_restart(inbox: Inbox, tmp_path: Path) -> None:
    """What another run of the app has collected is compared with, too."""
    inbox.add("tea", noise(0), NOON)
    with pytest.raises(Doubled):
        Inbox(tmp_path).add("tea", noise(0), NOON)


def test_the_budget_holds(tmp_path: Path) -> None:
    """A picture that would go over the byte budget is refused, and counts again once there is room."""
    first = Inbox(tmp_path).add("tea", noise(0), NOON)
    tight = Inbox(tmp_path, budget_mib=1.5 * Inbox(tmp_path).size_bytes() / 2**20)
    with pytest.raises(NoSpace, match=r"the inbox is full \(.* MiB\)\. Let the camera learn, or remove pictures"):
        tight.add("tea", noise(1), NOON)
    tight.remove("tea", first)
    tight.add("tea", noise(1), NOON)


@pytest.mark.parametrize(
    "name", ["..", ".", ".hidden", "a/b", "a\\b", "../../etc", "", " ", "-", "_secret", "Thumbs.db", "x" * 101, "a\0b", "ü" * 101]
)
def test_a_name_that_is_no_class_never_becomes_a_path(inbox: Inbox, tmp_path: Path, name: str) -> None:
    """Separators, dots in front, control characters, underscores and names that `learn` ignores are refused before anything is written."""
    for attempt in (lambda: inbox.add(name, noise(0), NOON), lambda: inbox.picture(name, "0" * 64), lambda: inbox.remove(name)):
        with pytest.raises(BadInput):
            attempt()
    assert not (tmp_path / "inbox").exists()


def test_a_name_must_fit_into_a_folder_s(inbox: Inbox) -> None:
    """A name of a hundred characters may be too long in bytes; the background may be collected."""
    with pytest.raises(BadInput, match="takes 300 bytes, at most 200"):
        inbox.add("茶" * 100, noise(0), NOON)
    inbox.add("_background", noise(0), NOON)


@pytest.mark.parametrize("hash", ["0" * 64, "../../settings.toml", "0" * 63, ""])
def test_a_picture_that_is_not_there(inbox: Inbox, hash: str) -> None:
    """What is no hash, or of no picture that waits, is told so."""
    inbox.add("tea", noise(0), NOON)
    with pytest.raises(UsageError, match="waits in the inbox"):
        inbox.picture("tea", hash)
    with pytest.raises(UsageError, match="waits in the inbox"):
        inbox.remove("tea", hash or "x")


def test_a_link_is_no_picture(inbox: Inbox, tmp_path: Path) -> None:
    """A link that was put there by somebody else is neither listed nor read."""
    inbox.add("tea", noise(0), NOON)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "inbox" / "next" / "tea" / f"{'0' * 64}.jpg").symlink_to(tmp_path / "secret")
    assert len(inbox.collected()[0].pictures) == 1
    with pytest.raises(UsageError):
        inbox.picture("tea", "0" * 64)


def test_removing(inbox: Inbox) -> None:
    """A class goes with its last picture, or at once."""
    one = inbox.add("tea", noise(0), NOON)
    inbox.add("milk", noise(1), NOON)
    inbox.add("milk", noise(2), NOON)
    inbox.remove("tea", one)
    assert [each.name for each in inbox.collected()] == ["milk"]
    inbox.remove("milk")
    assert inbox.collected() == []
    with pytest.raises(UsageError, match="no picture of 'milk' waits"):
        inbox.remove("milk")


def test_a_learn_gets_a_task_folder_while_collecting_goes_on(inbox: Inbox) -> None:
    """What is handed over is a task as `learn` reads one, frames of one burst among it; new pictures wait for the next; learned ones are gone."""
    inbox.add("tea", noise(0), NOON)
    inbox.add("milk", noise(1), NOON)
    folder = inbox.hand_over()
    found = find(folder, Geometry(32, 0.9, "bicubic"))
    assert (found.class_names, found.rejected) == (["milk", "tea"], ())
    assert {picture.captured for picture in found.pictures} == {NOON.timestamp()}
    inbox.add("tea", noise(2), NOON)
    assert [len(each.pictures) for each in inbox.collected()] == [1]
    inbox.learned()
    assert not folder.exists()
    assert [len(each.pictures) for each in inbox.collected()] == [1]


def test_a_failed_learn_gives_the_pictures_back(inbox: Inbox) -> None:
    """They lie beside those that were collected meanwhile, also when the next learn finds what a cut-off one left."""
    inbox.add("tea", noise(0), NOON)
    inbox.hand_over()
    inbox.add("tea", noise(1), NOON)
    inbox.give_back()
    assert [len(each.pictures) for each in inbox.collected()] == [2]
    inbox.hand_over()
    inbox.add("tea", noise(2), NOON)
    folder = inbox.hand_over()
    assert len(list(folder.rglob("*.jpg"))) == 3


def test_nothing_to_hand_over(inbox: Inbox) -> None:
    """An empty inbox is told, with what to do."""
    with pytest.raises(BadPictures, match=r"no picture waits in the inbox\. Collect some first"):
        inbox.hand_over()
    inbox.learned()
    inbox.give_back()
