"""A version in PyTorch: the reference that the exported graph must agree with, and the learner's source of features."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from edgecl.architecture import Architecture
from edgecl.backbone import Vit, build
from edgecl.errors import EdgeclError, StoreDamaged
from edgecl.layout import backbone_from_deployment

Array = NDArray[Any]
BATCH = 32  # pictures; bounds the memory of the activations


class EagerPredictor:
    """`Predictor` on PyTorch, fp32. Needs to be told the architecture, which a version's folder does not hold."""

    def __init__(self, architecture: Architecture, device: str = "cpu") -> None:
        self._architecture, self._device = architecture, device
        self._vit: Vit | None = None

    def load(self, folder: Path) -> None:
        """Read `weights.safetensors`, the deployment layout.

        Raises:
            StoreDamaged: the file is missing, cut short or of another architecture.
        """
        try:
            arrays = load_file(folder / "weights.safetensors")
            self.use(backbone_from_deployment(arrays, self._architecture), arrays["head.weight_t"].T, arrays["head.bias"])
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise StoreDamaged(f"the weights in {folder} cannot be used ({error}). Run: edgecl verify --deep") from error

    def use(self, state: Mapping[str, Array], head_weight: Array, head_bias: Array) -> None:
        """Serve a backbone state (timm names) and a head `[capacity, d]`, `[capacity]` that are in memory."""
        self._vit = build(self._architecture, state, self._device)
        self._head = (head_weight.astype(np.float32), head_bias.astype(np.float32))

    @property
    def vit(self) -> Vit:
        """The loaded model.

        Raises:
            EdgeclError: nothing is loaded.
        """
        if self._vit is None:
            raise EdgeclError("an EagerPredictor was asked before anything was loaded; call load(folder) first")
        return self._vit

    def infer(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`[b, h, w, 3]` rgb at the model's input size -> (logits `[b, capacity]`, features `[b, d]`)."""
        features = features_of(self.vit, lower_tokens(self.vit, pictures, 0), 0)
        weight, bias = self._head
        return features @ weight.T + bias, features

    def close(self) -> None:
        """Free the model; may be called twice."""
        self._vit = None


def lower_tokens(
    vit: Vit, pictures: Sequence[Array] | Array, first_block: int, *, progress: Callable[[int, int], None] | None = None
) -> torch.Tensor:
    """Tokens `[k, n, d]` fp16 at block `first_block` of pictures uint8 `[h, w, 3]`: computed once, whatever is tried above that block.

    They lie in main memory wherever the model is, for there may be more of them than a GPU holds. fp16 halves the memory; below its rounding
    lies nothing that a class could depend on.
    """
    parts = []
    with torch.no_grad(), full_precision():
        for start in range(0, len(pictures), BATCH):
            batch = torch.from_numpy(np.stack(list(pictures[start : start + BATCH])))
            parts.append(vit.lower(batch, first_block).to(torch.float32 if first_block == 0 else torch.float16).cpu())
            if progress is not None:
                progress(min(start + BATCH, len(pictures)), len(pictures))
    return torch.cat(parts) if parts else torch.zeros((0, 1, 1))


def features_of(vit: Vit, tokens: torch.Tensor, first_block: int) -> NDArray[np.float32]:
    """Features `[k, d]` of `tokens [k, n, d]` that stand at block `first_block`."""
    parts = [np.zeros((0, vit.width), np.float32)]
    with torch.no_grad(), full_precision():
        for start in range(0, len(tokens), BATCH):
            parts.append(vit.upper(tokens[start : start + BATCH].to(vit.device).float(), first_block).cpu().numpy())
    return np.concatenate(parts)


@contextmanager
def full_precision() -> Iterator[None]:
    """fp32 is fp32: on a GPU neither matrices nor convolutions are rounded to TF32, whose three digits are no reference for anything."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
