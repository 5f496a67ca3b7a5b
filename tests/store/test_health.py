"""Starts and failures of versions in state.json."""

from pathlib import Path

import pytest

from edgecl.store import Store, health
from tests.store.builders import initialised, learn


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    """Version 0, and version 1, which is current."""
    store = initialised(tmp_path / "model")
    learn(store, "cup")
    return store


def test_starts_are_counted_until_the_version_is_good(filled: Store) -> None:
    """A good version is not counted."""
    for expected in (1, 2):
        health.begin(filled, 1)
        assert health.starts(filled.state(), 1) == expected
    assert health.exhausted(filled.state(), 1)
    health.prove(filled, 1)
    health.begin(filled, 1)
    assert (filled.good, health.starts(filled.state(), 1)) == (1, 0)


def test_an_orderly_end_takes_one_start_back(filled: Store) -> None:
    """Never below none."""
    health.begin(filled, 1)
    health.begin(filled, 1)
    health.settle(filled, 1)
    assert health.starts(filled.state(), 1) == 1
    health.settle(filled, 1)
    health.settle(filled, 1)
    assert "starts" not in filled.state()


def test_a_failure_is_kept_until_it_is_forgiven_or_disproved(filled: Store) -> None:
    """With its reason; other keys of the state stay."""
    filled.update_state(lambda state: {**state, "timings": {"a": 1}})
    health.begin(filled, 1)
    health.fail(filled, 1, "too slow", "test")
    assert health.failure(filled.state(), 1) == "too slow"
    assert health.failure(filled.state(), 0) is None
    health.forgive(filled, 1)
    assert (health.failure(filled.state(), 1), health.starts(filled.state(), 1)) == (None, 0)
    health.fail(filled, 1, "too slow", "test")
    health.prove(filled, 1)
    assert health.failure(filled.state(), 1) is None
    assert filled.state()["timings"] == {"a": 1}


def test_current_returns_to_good(filled: Store) -> None:
    """Only from the version that is meant, and only when another one is good."""
    assert health.return_to_good(filled, 1) is None
    filled.mark_good(1)
    assert health.return_to_good(filled, 1) is None
    filled.mark_good(0)
    assert health.return_to_good(filled, 7) == 0
    assert filled.current == 1
    assert health.return_to_good(filled, 1) == 0
    assert filled.current == 0


def test_a_reason_of_another_form_is_read(filled: Store) -> None:
    """Whoever wrote it."""
    filled.update_state(lambda state: {**state, "failed": {"1": "made up"}, "starts": "odd"})
    assert health.failure(filled.state(), 1) == "made up"
    assert health.starts(filled.state(), 1) == 0
