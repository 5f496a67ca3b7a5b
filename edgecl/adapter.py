"""One task's adapter: low-rank factors per Linear, rounded to fp16, and its folder in PEFT's file format.

    task vector = alpha / rank * B @ A        (LoRA, arXiv 2106.09685, section 4.1)

Any tool that reads PEFT reads the folder; edgecl itself does not depend on PEFT.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from edgecl.errors import StoreDamaged
from edgecl.tensors import parsed_tensors
from edgecl.typed import strict_json

PREFIX = "base_model.model."
LARGEST_ALPHA = 1e6
CONFIG_FILE, TENSOR_FILE = "adapter_config.json", "adapter_model.safetensors"

_TENSOR = re.compile(re.escape(PREFIX) + r"blocks\.[0-9]{1,4}\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))\.lora_[AB]\.weight")


@dataclass(frozen=True)
class Adapter:
    """`a[target]` is A `[r, in]`, `b[target]` is B `[out, r]`, both float16; targets are names such as `blocks.6.attn.qkv`."""

    rank: int
    alpha: float
    a: Mapping[str, NDArray[np.float16]]
    b: Mapping[str, NDArray[np.float16]]

    @property
    def scale(self) -> float:
        """alpha / rank"""
        return self.alpha / self.rank

    @property
    def targets(self) -> list[str]:
        """The names of the Linear layers it changes."""
        return list(self.a)


def dense_adapter(difference: Mapping[str, NDArray[Any]]) -> Adapter:
    """A difference of weights, `target -> [out, in]`, as an adapter whose task vector is just that, rounded to fp16.

    Its rank is the backbone's width, which is one side of every Linear in a block: one factor is the difference, the other the identity.

    Raises:
        ValueError: a difference has no side in common with the others.
    """
    width = min(side for values in difference.values() for side in values.shape)
    identity = np.eye(width, dtype=np.float16)
    strangers = [target for target, values in difference.items() if width not in values.shape]
    if strangers:
        raise ValueError(f"{strangers[0]} has shape {difference[strangers[0]].shape}; no side is {width}")
    dense = {target: values.astype(np.float16) for target, values in difference.items()}
    a = {target: identity if values.shape[1] == width else values for target, values in dense.items()}
    b = {target: values if values.shape[1] == width else identity for target, values in dense.items()}
    return Adapter(width, float(width), a, b)


def adapter_files(adapter: Adapter, backbone: str) -> dict[str, bytes]:
    """The two files of a PEFT adapter folder, byte for byte a function of the adapter."""
    tensors = {f"{PREFIX}{target}.lora_A.weight": adapter.a[target] for target in adapter.targets}
    tensors |= {f"{PREFIX}{target}.lora_B.weight": adapter.b[target] for target in adapter.targets}
    blocks = sorted({int(target.split(".")[1]) for target in adapter.targets})
    config = {
        "peft_type": "LORA",
        "auto_mapping": {"base_model_class": "VisionTransformer", "parent_library": "timm.models.vision_transformer"},
        "base_model_name_or_path": backbone,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        # A bare list of suffixes would also hit patch_embed.proj, which is a convolution.
        "target_modules": rf"blocks\.({'|'.join(map(str, blocks))})\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
        "task_type": None,
    }
    return {
        CONFIG_FILE: (json.dumps(config, indent=1, sort_keys=True) + "\n").encode(),
        TENSOR_FILE: save(tensors, metadata={"format": "pt"}),
    }


def adapter_hash(files: Mapping[str, bytes]) -> str:
    """sha256 over the names and bytes of an adapter's files; the name of its folder in the store."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()


def read_adapter(folder: Path) -> Adapter:
    """Read a PEFT LoRA folder.

    Raises:
        StoreDamaged: a file is missing, is not what PEFT writes, or A and B do not fit each other.
    """
    try:
        return parse_adapter({name: (folder / name).read_bytes() for name in (CONFIG_FILE, TENSOR_FILE)})
    except (OSError, ValueError) as error:
        raise StoreDamaged(f"the adapter {folder.name[:12]} cannot be read ({error}). Run: edgecl verify --deep") from error


def parse_adapter(files: Mapping[str, bytes]) -> Adapter:
    """The adapter that the two files of a PEFT LoRA folder hold.

    Raises:
        ValueError: they are not what PEFT writes, or A and B do not fit each other.
    """
    config = strict_json(files[CONFIG_FILE])
    rank: Any = config.get("r")
    alpha: Any = config.get("lora_alpha")
    if type(rank) is not int or type(alpha) not in (int, float) or rank < 1 or not 0 < alpha <= LARGEST_ALPHA:
        raise ValueError(f"r is {str(rank)[:40]} and lora_alpha is {str(alpha)[:40]}, expected a rank from 1 and a scale above 0")
    tensors = parsed_tensors(files[TENSOR_FILE])
    strangers = [name for name, value in tensors.items() if _TENSOR.fullmatch(name) is None or value.ndim != 2]
    if strangers:
        raise ValueError(f"{strangers[0][:80]!r} is no A or B of a Linear layer")
    a = {_target(name): value for name, value in tensors.items() if name.endswith(".lora_A.weight")}
    b = {_target(name): value for name, value in tensors.items() if name.endswith(".lora_B.weight")}
    if set(a) != set(b) or any(a[t].shape[0] != rank or b[t].shape[1] != rank for t in a):
        raise ValueError(f"it does not hold matching A and B of rank {rank}")
    if any(value.dtype != np.float16 or not np.isfinite(value).all() for value in tensors.values()):
        raise ValueError("its tensors are not finite float16")
    ordered = sorted(a, key=_forward_order)
    return Adapter(rank, float(alpha), {t: a[t] for t in ordered}, {t: b[t] for t in ordered})


def _target(name: str) -> str:
    return name.removeprefix(PREFIX).rsplit(".", 2)[0]


def _forward_order(target: str) -> tuple[int, int]:
    _, block, layer = target.split(".", 2)
    return int(block), ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2").index(layer)
