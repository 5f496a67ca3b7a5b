"""Statistics on their way to the merged backbone, and what the head is fitted on."""

from dataclasses import replace

import numpy as np
import pytest

from edgecl.bundle.matching import match
from edgecl.bundle.refit import Views, carried_over, refit
from edgecl.calibrate import tolerance_factor
from edgecl.gaussians import Gaussians, within
from edgecl.head import empty_head
from edgecl.manifest import KeptPicture, Thresholds
from edgecl.sight import Sight
from tests.bundle.builders import bundle_bytes, read
from tests.bundle.test_matching import TASKS, TEA, entry, store_with

BUNDLE = read(bundle_bytes())
MATCHED = match(BUNDLE.contents, store_with(TEA, entry("id-x", 1, "x"), next_row=2), TASKS)
RANDOM = np.random.default_rng(0)
AFTER = RANDOM.normal(size=(4, 32)).astype(np.float32)


def sight_of(*class_ids: str) -> Sight:
    """A replay picture of each."""
    rows = {entry.id: entry.row for entry in MATCHED.classes}
    kept = tuple(
        KeptPicture(hash=f"{i:064x}", class_id=id, role="replay", task="t", source="s", phash="0" * 16, bytes=1)
        for i, id in enumerate(class_ids)
    )
    inputs, fit = np.zeros((len(kept), 32, 32, 3), np.uint8), np.arange(len(kept))
    return Sight(inputs, kept, np.array([rows[id] for id in class_ids]), fit, np.arange(0))


def test_each_follows_from_its_own_backbone() -> None:
    """The bundle's from the packed version's, those that were here from the current version's."""
    sight = sight_of("id-tea", "id-tea", "id-tea", "id-tea")
    known = Gaussians({"id-x": np.zeros(32, np.float32), "id-gone": np.zeros(32, np.float32)}, np.eye(32, dtype=np.float32))
    found = carried_over(BUNDLE, MATCHED, known, sight, Views(before=AFTER - 2, packed=AFTER - 1, after=AFTER))
    there = BUNDLE.model.gaussians(BUNDLE.contents.classes).means
    assert set(found.means) == {"id-cola", "id-fanta", "id-x"}
    np.testing.assert_allclose(found.means["id-cola"], there["id-cola"] + 1, atol=1e-4)
    np.testing.assert_allclose(found.means["id-x"], 2.0, atol=1e-4)


def test_each_side_s_spread_counts_by_its_classes() -> None:
    """Two here (tea, x) and two in the bundle; a store of before knows what its pictures show; a version as it was packed has the packed one's."""
    sight, views = sight_of("id-tea", "id-tea", "id-tea", "id-tea"), Views(before=AFTER, packed=AFTER, after=AFTER)
    theirs = BUNDLE.model.gaussians(BUNDLE.contents.classes).covariance
    known = Gaussians({}, 2 * np.eye(32, dtype=np.float32))
    found = carried_over(BUNDLE, MATCHED, known, sight, views)
    np.testing.assert_allclose(found.covariance, (known.covariance + theirs) / 2, atol=1e-5)
    found = carried_over(BUNDLE, MATCHED, None, sight, views)
    np.testing.assert_allclose(found.covariance, (within(AFTER, [0] * 4) + 2 * theirs) / 3, atol=1e-5)  # of x there is no picture
    found = carried_over(BUNDLE, replace(MATCHED, as_packed=True), known, sight, views)
    np.testing.assert_allclose(found.covariance, theirs, atol=1e-5)


def test_the_head_is_fitted_by_the_spread_that_is_known() -> None:
    """Two pictures of a class each say nothing of it; where it is wide along a direction, that direction tells classes apart less."""
    sight = sight_of("id-tea", "id-x")
    after = np.zeros((2, 32), np.float32)
    after[0, :2], after[1, :2] = (1, 0), (0, 1)
    asked = np.zeros((1, 32), np.float32)
    asked[0, :2] = (0.8, 0.5)  # nearer to tea, unless the first direction says little
    answers = []
    for wide in (1.0, 50.0):
        covariance = np.diag([wide, *[1.0] * 31]).astype(np.float32)
        head = refit(MATCHED, Gaussians({}, covariance), [], sight, after, empty_head(16, 32), BUNDLE).head
        answers.append(int(head.logits(asked)[0, :2].argmax()))
    assert answers == [0, 1]


@pytest.mark.parametrize(("taught", "drawn"), [(["id-x"], True), ([], False)])
def test_statistics_count_beside_pictures_only_for_what_the_bundle_taught(taught: list[str], drawn: bool) -> None:
    """A class that both sides showed lies between what they showed; of another one the pictures alone speak."""
    sight = sight_of("id-tea", "id-x")
    after = np.zeros((2, 32), np.float32)
    after[0, 0], after[1, 1] = 3, 3
    far = np.zeros(32, np.float32)
    far[2] = 3
    statistics = Gaussians({"id-x": far}, np.eye(32, dtype=np.float32) * 0.01)
    head = refit(MATCHED, statistics, taught, sight, after, empty_head(16, 32), BUNDLE).head
    assert (head.logits(far[None])[0, 1] > head.logits(far[None])[0, 0]) == drawn
    assert head.logits(after)[1].argmax() == 1


@pytest.mark.parametrize(("held", "limited"), [(0, False), (7, False), (8, True)])
def test_a_limit_for_unknown_is_measured_or_there_is_none(held: int, limited: bool) -> None:
    """The bundle's own was measured on another head: with fewer than eight held-out pictures nothing is unknown."""
    fit = sight_of("id-tea", "id-x")
    random = np.random.default_rng(1)
    after = np.concatenate([np.eye(32, dtype=np.float32)[:2] * 3, random.normal(size=(held, 32)).astype(np.float32)])
    sight = replace(fit, rows=np.array([0, 1, *[i % 2 for i in range(held)]]), judge=np.arange(2, 2 + held))
    spread = Gaussians({}, np.eye(32, dtype=np.float32))
    found = refit(MATCHED, spread, [], sight, after, empty_head(16, 32), BUNDLE)
    assert BUNDLE.contents.thresholds.unknown_above == 0.5
    if not limited:
        assert (found.thresholds, found.temperature) == (Thresholds(), BUNDLE.contents.temperature)
        return
    scores = -found.head.logits(after[sight.judge])[:, sorted(entry.row for entry in MATCHED.classes)].max(axis=1)
    assert found.thresholds.score == "max_logit"
    assert found.thresholds.unknown_above == pytest.approx(scores.mean() + tolerance_factor(held) * scores.std(ddof=1))
