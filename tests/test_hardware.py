"""What a learn takes of its board: GPU or CPU, threads, pictures at a time."""

import dataclasses
import re
from pathlib import Path

import pytest

from edgecl import hardware
from edgecl.device import Board, detect
from edgecl.errors import MissingExtra
from edgecl.hardware import batch_that_fits, choose_device, first_given, merged_mib, picture_mib
from tests.export.models import KINDS

BOARDS = Path(__file__).parent / "boards"
ORIN, XAVIER = detect(BOARDS / "orin-nano-8-jetpack-6.2"), detect(BOARDS / "agx-xavier-jetpack-5.1")
VIT_S = dataclasses.replace(KINDS["plain"], image_size=224, patch_size=16, width=384, depth=12, heads=6, mlp_width=1536)


@pytest.fixture
def pc(tmp_path: Path) -> Board:
    """A computer without a GPU."""
    return detect(tmp_path)


def test_auto_takes_the_gpu_that_torch_sees_and_else_the_cpu(pc: Board) -> None:
    """On a board and on a PC."""
    assert choose_device("auto", ORIN, sees_gpu=True) == "cuda"
    assert choose_device("auto", pc, sees_gpu=True) == "cuda"
    assert choose_device("auto", pc, sees_gpu=False) == "cpu"
    assert choose_device("cuda", pc, sees_gpu=True) == "cuda"


def test_a_gpu_that_torch_does_not_see_stops_the_learn() -> None:
    """With the board's own lines; also where CUDA is asked for by name."""
    for wanted in ("auto", "cuda"):
        with pytest.raises(
            MissingExtra, match=r"Orin Nano 8 GB has a GPU \(Ampere\) that the installed PyTorch does not see.*jp6/cu126 torch"
        ):
            choose_device(wanted, ORIN, sees_gpu=False)
        with pytest.raises(MissingExtra, match=r"AGX Xavier has a GPU .*There is none for this JetPack\. Or learn on the CPU"):
            choose_device(wanted, XAVIER, sees_gpu=False)


def test_the_cpu_may_always_be_asked_for() -> None:
    """By the flag, or by taking the GPU out of sight."""
    assert choose_device("cpu", ORIN, sees_gpu=False) == "cpu"
    assert choose_device("cpu", ORIN, sees_gpu=True) == "cpu"
    assert choose_device("auto", ORIN, sees_gpu=False, hidden=True) == "cpu"


def test_a_board_for_running_does_not_learn_by_itself(pc: Board) -> None:
    """A Nano says where to learn; --device cpu overrules it."""
    nano = dataclasses.replace(pc, profile=dataclasses.replace(pc.profile, title="Jetson Nano", learns=False), gpu="Maxwell")
    with pytest.raises(MissingExtra, match=r"Jetson Nano is for running only.*edgecl export --onnx"):
        choose_device("auto", nano, sees_gpu=False)
    assert choose_device("cpu", nano, sees_gpu=False) == "cpu"


def test_cuda_where_there_is_none_is_refused(pc: Board) -> None:
    """A sentence, exit code 8."""
    with pytest.raises(MissingExtra, match=r"no NVIDIA GPU was found here\. Learn on the CPU with --device cpu") as caught:
        choose_device("cuda", pc, sees_gpu=False)
    assert caught.value.exit_code == 8


def test_enough_memory_changes_nothing() -> None:
    """16 pictures stay 16, and nothing is said; so where nobody knows the memory."""
    assert batch_that_fits(VIT_S, first_block=6, wanted=16, free_mib=8000, reserve_mib=1229) == hardware.Batch(16)
    assert batch_that_fits(VIT_S, first_block=6, wanted=16, free_mib=None, reserve_mib=1229) == hardware.Batch(16)


def test_little_memory_lowers_the_batch_and_says_so() -> None:
    """What is free beyond the reserve, over what a picture takes; the message holds all figures."""
    each = picture_mib(VIT_S, 6)
    batch = batch_that_fits(VIT_S, first_block=6, wanted=16, free_mib=1229 + int(merged_mib(VIT_S, 6) + 5.5 * each), reserve_mib=1229)
    assert batch.pictures == 5
    assert batch.warning is not None
    assert re.match(
        rf"5 instead of 16 pictures are trained on at a time: \d+ MiB are free, 1229 of them stay .*, and a picture takes {each:.0f}\.",
        batch.warning,
    )


def test_one_picture_is_the_least() -> None:
    """Also where less than the reserve is free: learning is slow then, but it learns."""
    for free_mib in (0, 1000, 1230):
        assert batch_that_fits(VIT_S, first_block=0, wanted=16, free_mib=free_mib, reserve_mib=1229).pictures == 1


def test_a_picture_takes_what_was_measured() -> None:
    """Not less than benchmarks/results/activations.csv says for any backbone and first block, and at most 60 % more than it says of float32."""
    from edgecl.backbone import architecture_of

    lines = (Path(__file__).parents[1] / "benchmarks/results/activations.csv").read_text().splitlines()[1:]
    assert len(lines) == 30
    for line in lines:
        name, kind, first_block, measured, unit = line.split(",")
        ours = picture_mib(architecture_of(name), int(first_block))
        assert ours >= float(measured)
        assert kind == "bfloat16" or ours <= 1.6 * float(measured)
        assert float(unit) < hardware.KEPT_BYTES


def test_the_first_given_wins() -> None:
    """Zero is given; only None is not."""
    assert first_given(None, 0, 4) == 0
    assert first_given(None, None, "auto") == "auto"
    with pytest.raises(ValueError, match="nothing is given"):
        first_given(None)
