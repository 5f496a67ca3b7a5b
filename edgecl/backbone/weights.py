"""A backbone's weights: from the hub or from a file, checked against what the architecture needs."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgecl.architecture import Architecture, state_shapes
from edgecl.backbone.plain import architecture_of
from edgecl.backbones import NANO, weights_file
from edgecl.errors import BadInput, BadWeights, MissingExtra, UnsupportedBackbone

try:
    import timm
    from timm.layers.pos_embed import resample_abs_pos_embed
except ImportError as error:
    raise MissingExtra.of("timm", "learn", "Loading a backbone") from error

Array = NDArray[Any]


@dataclass(frozen=True)
class Pretrained:
    """A backbone as it came, with the classifier that came with it, if any."""

    architecture: Architecture
    state: dict[str, Array]  # timm names, float32, no head
    head_weight: Array | None  # [c, d]
    head_bias: Array | None  # [c]
    source: str  # file name, hub id or built-in name, for the record


def load_pretrained(name: str, weights: Path | None = None, image_size: int | None = None) -> Pretrained:
    """A supported backbone with its weights: from a local safetensors file or, without one, those that edgecl brings, or the hub's through timm.

    Args:
        image_size: pixels; the positions are resampled when the weights were trained with another size.

    Raises:
        UnsupportedBackbone: the graph writer does not know this backbone, or not at this size.
        BadWeights: the file is a pickle, is not safetensors, or holds another model.
        BadInput: no file was given and the hub cannot be reached.
    """
    built_in = name == NANO.backbone
    architecture = _at_size(NANO, image_size) if built_in else architecture_of(name, image_size)
    if weights is not None:
        tensors, source = read_weights_file(weights), weights.name
    elif built_in:
        tensors, source = read_weights_file(weights_file(name)), f"edgecl:{name}"
    else:
        tensors, source = _from_hub(name), f"hub:{name}"
    if image_size is not None:
        tensors = _resampled(tensors, architecture)
    check_state(tensors, architecture, source)
    state = {key: tensors[key] for key in state_shapes(architecture)}
    return Pretrained(architecture, state, tensors.get("head.weight"), tensors.get("head.bias"), source)


def _at_size(architecture: Architecture, image_size: int | None) -> Architecture:
    """A built-in architecture for pictures of another size."""
    if image_size is not None and image_size % architecture.patch_size:
        raise UnsupportedBackbone(
            f"the backbone {architecture.backbone!r} is not supported: {image_size} pixels do not divide into patches of "
            f"{architecture.patch_size}; take a multiple, such as {architecture.image_size}"
        )
    return architecture if image_size is None else replace(architecture, image_size=image_size)


def read_weights_file(path: Path) -> dict[str, Array]:
    """Every tensor of a safetensors file as float32.

    Raises:
        BadWeights: not there, a pickle (with the line that converts it), or not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise BadWeights(f"the weights {path} cannot be read: {error.strerror}. Expected a .safetensors file.") from error
    if start.startswith((b"PK\x03\x04", b"\x80")):
        target = path.with_suffix(".safetensors").name
        line = f"from torch import load; from safetensors.torch import save_file; save_file(load('{path.name}', weights_only=True), '{target}')"
        raise BadWeights(
            f'{path.name} is a pickle, which can run code when it is opened. Convert it on a machine you trust: python -c "{line}"'
        )
    try:
        return {name: tensor.float().numpy() for name, tensor in load_file(path).items()}
    except (SafetensorError, ValueError) as error:
        raise BadWeights(f"{path.name} is not a safetensors file ({error}). Download it again, or convert the original.") from error


def check_state(tensors: Mapping[str, Array], architecture: Architecture, source: str) -> None:
    """Compare names and shapes with what the architecture needs, and refuse NaN and infinity.

    Raises:
        BadWeights: all differences at once, the first few by name.
    """
    expected = state_shapes(architecture)
    faults = [f"{name} is missing" for name in expected if name not in tensors]
    faults += [f"{name} is not part of it" for name in tensors if name not in expected and not name.startswith("head.")]
    for name, shape in expected.items():
        if name in tensors and tensors[name].shape != shape:
            faults.append(f"{name} is {list(tensors[name].shape)} instead of {list(shape)}")
        elif name in tensors and not np.isfinite(tensors[name]).all():
            faults.append(f"{name} holds values that are not finite")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise BadWeights(
            f"{source} does not hold {architecture.backbone}: {'; '.join(faults[:3])}{more}. Check --backbone against the file."
        )


def _resampled(tensors: dict[str, Array], architecture: Architecture) -> dict[str, Array]:
    """Positions for another picture size, by timm's bicubic interpolation; whatever does not look like positions is left to `check_state`."""
    positions = tensors.get("pos_embed")
    prefix = architecture.prefix if architecture.prefix_positions else 0
    if positions is None or positions.ndim != 3 or positions.shape[1] <= prefix:
        return tensors
    old = round((positions.shape[1] - prefix) ** 0.5)
    new = architecture.image_size // architecture.patch_size
    if old == new or old * old != positions.shape[1] - prefix:
        return tensors
    resampled = resample_abs_pos_embed(torch.from_numpy(positions), [new, new], [old, old], num_prefix_tokens=prefix)
    return {**tensors, "pos_embed": resampled.numpy()}


def _from_hub(name: str) -> dict[str, Array]:
    """Every tensor of timm's pretrained model, through the hub or its local cache."""
    from huggingface_hub.errors import HfHubHTTPError

    # Without a network timm and the hub's client log a page of retries; one sentence says it better.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        model = timm.create_model(name, pretrained=True)
    except (OSError, HfHubHTTPError, RuntimeError) as error:
        raise BadInput(
            f"the weights of {name} could not be fetched from the hub ({type(error).__name__}). "
            f"Connect this machine once, pass a local file with --weights FILE.safetensors, or take {NANO.backbone}, which comes with edgecl."
        ) from error
    return {key: value.detach().float().numpy() for key, value in model.state_dict().items()}


def random_state(architecture: Architecture, seed: int) -> dict[str, Array]:
    """An untrained backbone's tensors, a function of the seed alone; for demonstrations and tests."""
    generator = np.random.default_rng(seed)
    state: dict[str, Array] = {}
    for name, shape in state_shapes(architecture).items():
        if name.endswith("gamma") or ("norm" in name and name.endswith("weight")):
            state[name] = np.ones(shape, np.float32)
        elif name.endswith("bias"):
            state[name] = np.zeros(shape, np.float32)
        else:
            fan_in = int(np.prod(shape[1:])) if name.endswith("weight") else architecture.width * 2500
            state[name] = (generator.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
    return state
