"""The benchmark of hot swaps, smaller."""

from pathlib import Path

import pytest

from benchmarks.hot_swaps import hot_swaps, missed


@pytest.mark.slow
def test_swaps_change_neither_memory_nor_answers(tmp_path: Path) -> None:
    """Fifteen swaps in 600 frames, of which the last may come too late: each sampled frame's logits are those of the version that its answer names, bit by bit.

    How the rate holds up is the benchmark's to say: so few frames, on a machine that also runs other tests, would not.
    """
    found, watched = hot_swaps(tmp_path, frames=600, swaps=15, fps=45, say=lambda sentence: None)
    assert found["frames"] == 600
    assert 13 <= found["swaps"] == found["swaps_seen_in_answers"] <= 15
    assert found["sampled_logits_equal"] == found["sampled_logits"] == 12
    assert {version for _, version, _ in watched.sample} == {1, 2}
    assert missed({**found, "rate_near_swaps": 1.0, "torch_imported": False}) == []


def test_a_missed_must_is_named() -> None:
    """Each of the four."""
    well = {"rate_near_swaps": 0.96, "memory_growth": 0.04, "sampled_logits": 5, "sampled_logits_equal": 5, "torch_imported": False}
    assert missed(well) == []
    ill = {"rate_near_swaps": 0.94, "memory_growth": 0.06, "sampled_logits": 5, "sampled_logits_equal": 4, "torch_imported": True}
    assert len(missed(ill)) == 4
    assert len(missed({**well, "rate_near_swaps": float("nan")})) == 1, "what could not be compared does not hold"
