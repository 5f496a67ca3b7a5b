"""What training gives up when memory runs short, in which order."""

import pytest

from edgecl.economy import Economy


def ladder(economy: Economy, depth: int) -> list[Economy]:
    """All steps down."""
    found = []
    while (smaller := economy.cheaper(depth)) is not None:
        economy, _ = smaller
        found.append(economy)
    return found


def test_first_pictures_then_recomputing_then_blocks() -> None:
    """16 pictures are halved to one, then activations are computed again, then half of the learning blocks stop, down to one."""
    steps = ladder(Economy(at_once=16, train_from=6), 12)
    assert [step.at_once for step in steps] == [8, 4, 2, 1, 1, 1, 1]
    assert [step.recompute for step in steps] == [False] * 4 + [True] * 3
    assert [step.train_from for step in steps] == [6] * 5 + [9, 11]


def test_each_step_says_what_is_given_up() -> None:
    """In words, with the numbers before and after."""
    economy, words = Economy(at_once=3, train_from=6).cheaper(12) or (None, "")
    assert words == "1 of 3 pictures at once, each batch in parts"
    economy, words = Economy(at_once=1, train_from=6).cheaper(12) or (None, "")
    assert words == "gradient checkpointing: slower, with less memory"
    assert economy is not None
    assert (economy.cheaper(12) or (None, ""))[1] == "only the last 3 of 12 blocks go on learning"
    assert Economy(at_once=1, recompute=True, train_from=11).cheaper(12) is None


def test_it_survives_a_checkpoint() -> None:
    """JSON and back; something else is refused."""
    economy = Economy(at_once=4, recompute=True, train_from=9)
    assert Economy.from_json(economy.to_json()) == economy
    with pytest.raises(KeyError):
        Economy.from_json({"at_once": 4})
