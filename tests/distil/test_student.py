"""How the built-in backbone is taught: the student computes what timm's class computes, and what it is compared with fits what it sees."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from benchmarks.distil.masters import Masters, orthogonal
from benchmarks.distil.student import NANO, Student
from benchmarks.distil.train import Recipe, Views, _augmented, batches, run
from benchmarks.distil.views import FILES, GRID
from benchmarks.nano import student
from edgecl.backbone import load_pretrained


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty views of one source, with random numbers for what the teacher says."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "tiles").mkdir()
    random = np.random.default_rng(0)
    for name, (kind, shape) in FILES.items():
        values = random.integers(0, 256, (40, *shape)) if kind is np.uint8 else random.normal(0, 1, (40, *shape))
        np.save(folder / "tiles" / f"{name}.npy", values.astype(kind))
    (folder / "tiles" / "done").write_text("40")
    return folder


def test_the_student_answers_as_timms_model_does() -> None:
    """Its own patch embedding and attention are timm's, written out; the class token is what edgecl calls the features."""
    torch.manual_seed(0)
    student = Student().eval()
    pictures = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        tokens = student.backbone.forward_features(pictures)
        token, patches = student(pictures)
    torch.testing.assert_close(token, tokens[:, 0], rtol=1e-4, atol=1e-5)
    assert patches.shape == (2, GRID * GRID, NANO.width)


def test_a_constant_grid_stays_constant_on_the_teachers() -> None:
    """Resizing the patch tokens is an average: its rows add up to one, and a corner stays in its corner."""
    onto_grid = Student().onto_grid
    torch.testing.assert_close(onto_grid.sum(dim=1), torch.ones(GRID * GRID))
    assert [int(onto_grid[row].argmax()) for row in (0, -1)] == [0, onto_grid.shape[1] - 1]


def test_what_is_mirrored_is_mirrored_in_both() -> None:
    """A picture that is bright on the left, and a grid that says so, still agree after the augmentation."""
    pictures = torch.full((64, 3, 96, 96), -1.0)
    pictures[..., :48] = 1.0
    grid = torch.zeros(64, GRID, GRID, 1)
    grid[:, :, : GRID // 2] = 1.0
    seen, said = _augmented(pictures, grid.flatten(1, 2), np.random.default_rng(0), Recipe(erase=0.0))
    left = seen[:, 0, 0, 0] > 0
    assert 10 < int(left.sum()) < 54
    torch.testing.assert_close(said.unflatten(1, (GRID, GRID))[:, 0, 0, 0], left.float())


def test_every_view_comes_once_per_epoch(cache: Path) -> None:
    """In an order that depends on the seed and the epoch alone; targets are standardised."""
    views, recipe = Views(cache), Recipe(batch=8)
    first, again = (list(batches(views, recipe, 0, 5)) for _ in range(2))
    assert all(torch.equal(a, b) for one, other in zip(first, again, strict=True) for a, b in zip(one, other, strict=True))
    tokens = torch.cat([token for _, _, token in first])
    assert len(torch.unique(tokens, dim=0)) == 40
    torch.testing.assert_close(tokens.std(dim=0), torch.ones(NANO.width), rtol=1e-3, atol=1e-3)
    (_, _, later), *_ = batches(views, recipe, 5, 6)
    assert not torch.equal(later, first[0][2])


def test_the_masters_keep_what_bfloat16_would_lose() -> None:
    """A step too small for bfloat16 is not lost: the sum of many arrives."""
    model = torch.nn.Linear(1, 1)
    torch.nn.init.ones_(model.weight)
    masters = Masters(model, weight_decay=0.0, computed_in=torch.bfloat16)
    for _ in range(64):
        model.weight.grad, model.bias.grad = torch.ones_like(model.weight), torch.zeros_like(model.bias)
        masters.step(1e-4)
    assert model.weight.item() == pytest.approx(1 - 64e-4, abs=4e-3)
    assert masters.values[0].item() == pytest.approx(1 - 64e-4, abs=1e-5)


def test_an_orthogonal_step_is_as_long_in_every_direction() -> None:
    """Of matrices with singular values from 1 to 100 it keeps the directions and brings the values near to 1."""
    left = torch.linalg.qr(torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0)))[0]
    right = torch.linalg.qr(torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(1)))[0]
    straight = orthogonal((left * torch.logspace(0, 2, 8)) @ right.mT)
    along = (left.mT @ straight @ right).diagonal(dim1=1, dim2=2)
    assert 0.6 < float(along.min()) <= float(along.max()) < 1.3
    roughly = orthogonal((left * torch.logspace(0, 2, 8)) @ right.mT, torch.bfloat16)
    assert roughly.dtype == torch.float32
    assert torch.equal(roughly, roughly.bfloat16().float()), "computed in the type that was asked for"


def test_muon_moves_the_blocks_and_adamw_the_rest() -> None:
    """A block's matrix moves by the same length whatever its gradient's, about as far as AdamW would move it."""
    moved = []
    for scale in (1e-3, 1e3):
        torch.manual_seed(0)
        model = torch.nn.ModuleDict({"blocks": torch.nn.ModuleList([torch.nn.Linear(8, 8)])})
        masters = Masters(model, weight_decay=0.0, computed_in=torch.bfloat16)
        before = masters.values[0].clone()
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).mul(scale).bfloat16()
        masters.step(0.1)
        moved.append(masters.values[0] - before)
        assert set(masters.state()) >= {"blocks.0.weight/momentum", "blocks.0.bias/square"}
    assert float(torch.cosine_similarity(moved[0].flatten(), moved[1].flatten(), dim=0)) > 0.99
    assert 0.01 < float(moved[0].square().mean().sqrt()) < 0.03


@pytest.mark.slow
@pytest.mark.shared
def test_a_run_that_stopped_goes_on_and_ends_as_a_backbone(cache: Path, shared: Path, tmp_path: Path) -> None:
    """Two steps and two more of four are four; the last stage writes a file that edgecl takes, with what it was made by."""
    recipe = dataclasses.replace(Recipe(), batch=8, warmup=2)
    for name, lengths in {"twice": (2, 4), "once": (4,)}.items():
        for steps in lengths:
            run("steady", recipe, cache, tmp_path / name, steps, every=2)
    once, twice = (load_file(tmp_path / name / "steady.safetensors") for name in ("once", "twice"))
    for name, value in once.items():
        np.testing.assert_allclose(twice[name], value, atol=1e-6, err_msg=name)
    for stage in ("settle", "finish"):
        run(stage, recipe, cache, tmp_path / "once", 2, every=2)
    found = load_pretrained(NANO.backbone, tmp_path / "once" / "edgecl_vit_nano.safetensors")
    assert found.state["norm.weight"].shape == (NANO.width,)
    assert not np.array_equal(found.state["norm.weight"], once["backbone.norm.weight"].astype(np.float16))
    measured = [student(tmp_path / "once" / name).state for name in ("edgecl_vit_nano.safetensors", "finish.safetensors")]
    for name, value in measured[1].items():
        np.testing.assert_allclose(measured[0][name], value, rtol=1e-3, atol=1e-6, err_msg=name)
