"""What a learn takes of its board: the GPU or the processor, how many threads, how many pictures at a time. Pure functions of what was found."""

import math
from dataclasses import dataclass
from typing import Literal, TypeVar

from edgecl.architecture import Architecture, linear_targets, target_shape
from edgecl.device import Board
from edgecl.errors import MissingExtra
from edgecl.install import blind_torch, runs_only
from edgecl.settings import AUTO

T = TypeVar("T")
Device = Literal["cpu", "cuda"]
# Bytes that autograd keeps, per token, feature and trained block: 61 at most in benchmarks/results/activations.csv, which counts a last block
# for the class token alone; a whole one, as average pooling needs it, has as many as the others.
KEPT_BYTES = 66
MERGED_BYTES = 4  # of each weight that has an adapter, once a step: its sum with the update
WAY_BACK_BLOCKS = 1  # as much as one block's again lives for a moment on the way back


@dataclass(frozen=True)
class Batch:
    """Pictures per training step, and why fewer than were asked for."""

    pictures: int
    warning: str | None = None


def first_given(*values: T | None) -> T:
    """The first value that is not None: flag, variable, settings.toml, device profile, default, in this order.

    Raises:
        ValueError: all are None.
    """
    for value in values:
        if value is not None:
            return value
    raise ValueError("nothing is given; the last of them is a default and always is")


def choose_device(wanted: str, board: Board, *, sees_gpu: bool, hidden: bool = False) -> Device:
    """`auto` takes the GPU where PyTorch sees one, and the CPU where there is none to see.

    Args:
        sees_gpu: PyTorch can use CUDA.
        hidden: the GPU was taken out of sight on purpose (CUDA_VISIBLE_DEVICES is empty).

    Raises:
        MissingExtra: there is a GPU that PyTorch does not see, or CUDA is asked for where there is none; the board is for running only.
    """
    if wanted == "cpu" or (wanted == AUTO and hidden):
        return "cpu"
    if sees_gpu:
        return "cuda"
    if not board.profile.learns:
        raise runs_only(board)
    if board.gpu is not None:
        raise blind_torch(board)
    if wanted == "cuda":
        raise MissingExtra("--device cuda: no NVIDIA GPU was found here. Learn on the CPU with --device cpu, or look with: edgecl doctor")
    return "cpu"


def batch_that_fits(architecture: Architecture, *, first_block: int, wanted: int, free_mib: int | None, reserve_mib: int) -> Batch:
    """As many pictures as were asked for, or as many as the free memory holds.

    Args:
        free_mib: memory that may be had without swapping, MiB; None where nobody says, then nothing is changed.
        reserve_mib: MiB of it that are left to everything else.
    """
    if free_mib is None:
        return Batch(wanted)
    each_mib = picture_mib(architecture, first_block)
    left_mib = free_mib - reserve_mib - merged_mib(architecture, first_block)
    pictures = max(1, min(wanted, int(left_mib / each_mib)))
    if pictures == wanted:
        return Batch(wanted)
    return Batch(
        pictures,
        f"{pictures} instead of {wanted} pictures are trained on at a time: {free_mib} MiB are free, {reserve_mib} of them stay for other programs, "
        f"and a picture takes {each_mib:.0f}. Each batch goes in parts, so the result differs by rounding",
    )


def picture_mib(architecture: Architecture, first_block: int) -> float:
    """MiB that one picture takes while adapters from `first_block` up are trained."""
    blocks = architecture.depth - first_block + WAY_BACK_BLOCKS
    return KEPT_BYTES * architecture.tokens * architecture.width * blocks / 2**20


def merged_mib(architecture: Architecture, first_block: int) -> float:
    """MiB that the weights from `first_block` up take a second time while they are trained."""
    return MERGED_BYTES * sum(math.prod(target_shape(architecture, t)) for t in linear_targets(architecture, first_block)) / 2**20
