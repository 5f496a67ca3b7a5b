"""The ablation table: every part can be left out, and what stands in for it does what its name says."""

from dataclasses import replace
from pathlib import Path
from unittest import mock

import ablation
import development
import numpy as np
import pytest

from edgecl.head import fit_head
from edgecl.settings import LearnSettings
from tests.teaching import draw_task, new_store

RANDOM = np.random.default_rng(0)
ROWS = np.repeat([0, 2, 3], [30, 6, 6])
FEATURES = RANDOM.normal(size=(42, 8)).astype(np.float32) + 3 * np.eye(8, dtype=np.float32)[ROWS]


def test_every_name_that_a_part_replaces_is_there() -> None:
    """A function that was renamed would otherwise be left in place by an error alone; settings are those of a learn."""
    for part in ablation.PARTS.values():
        for name, instead in part.patches.items():
            with mock.patch(name, instead):
                pass
        assert replace(LearnSettings(), **part.settings) != LearnSettings() or not part.settings


def test_the_stand_ins_differ_from_what_they_stand_for() -> None:
    """Heads for the same pictures: nothing, one that knows them as well, ones that see the spread within classes otherwise."""
    covariance = np.diag(np.arange(1.0, 9.0))
    ours = fit_head(FEATURES, ROWS, capacity=5, covariance=covariance)
    assert not ablation.zeros(FEATURES, ROWS, capacity=5).weight.any()
    by_regression = ablation.logistic(FEATURES, ROWS, capacity=5)
    assert (by_regression.logits(FEATURES).argmax(axis=1) == ROWS).mean() > 0.95
    assert not np.array_equal(by_regression.weight, ours.weight)
    for instead in (ablation.kept_alone, ablation.rounder):
        assert not np.array_equal(instead(FEATURES, ROWS, capacity=5, covariance=covariance).weight, ours.weight)
    picture = RANDOM.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    one, other = (ablation.plainly_resized(picture, size=32, seed=0, step=step, place=0) for step in (0, 1))
    assert one.shape == (32, 32, 3)
    assert np.array_equal(one, other)


def test_a_quarter_of_each_class_is_held_out(tmp_path: Path) -> None:
    """The first photos in a row; none is on both sides, and none is lost."""
    draw_task(tmp_path / "photos", "red", "blue", count=9)
    learned, held = development.divided(tmp_path / "photos", tmp_path / "work")
    for name in ("red", "blue"):
        parts = [sorted(path.name for path in (folder / name).iterdir()) for folder in (held, learned)]
        assert [*parts[0], *parts[1]] == sorted(path.name for path in (tmp_path / "photos" / name).iterdir())
        assert len(parts[0]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("part", ablation.PARTS)
def test_every_part_can_be_left_out(part: str, tmp_path: Path) -> None:
    """Two tasks of two colours on an untrained tiny backbone: a figure in every column, and nothing is left behind."""
    for seed, split in enumerate(("train", "val")):
        draw_task(tmp_path / split, "red", "green", "blue", "white", count=8, seed=seed)

    def pictures(place: Path) -> development.Folders:
        return *development.divided(tmp_path / "train", place), tmp_path / "val"

    found = ablation.run(part, [["red", "green"], ["blue", "white"]], 0, tmp_path / "work", pictures=pictures, new_store=new_store)
    assert set(found) >= set(ablation.FIELDS) - {"commit", "machine", *ablation.KEY}
    assert len(found["curve"]) == len(found["matrix"]) == 2
    assert 0.25 <= found["a_t"] <= 1
    assert not (tmp_path / "work").exists()


@pytest.mark.shared
def test_no_tile_to_choose_by_is_one_of_a_test(tmp_path: Path) -> None:
    """Neither the built-in backbone's training nor the scenario nor its own parts share one; each class has what it should."""
    from continual.scenarios import TILES
    from distil.places import PARTS

    numbers = [set(numbers) for _, numbers in development.OF_EACH_CLASS.values()]
    used = [set(PARTS["distil"]), *(set(PARTS[part][:count]) for part, count in TILES.values())]
    for i, those in enumerate(numbers):
        assert not any(those & others for others in [*numbers[:i], *used])
    folders = development.tiles(tmp_path)
    for folder, (part, wanted) in zip(folders, development.OF_EACH_CLASS.values(), strict=True):
        classes = sorted(folder.iterdir())
        assert len(classes) == 100
        assert [[int(tile.stem) for tile in sorted(one.iterdir())] for one in classes] == [list(wanted)] * 100
        assert set(wanted) <= set(PARTS[part])
    assert {name for task in development.DEVELOPMENT["tiles"].order(0) for name in task} == {path.name for path in folders[0].iterdir()}
