"""Task arithmetic: adapters become task vectors, task vectors times coefficients are added to the backbone.

    W_t = W_0 + sum_i c_i * (alpha_i / rank_i) * B_i @ A_i        (arXiv 2212.04089, section 3; arXiv 2311.02428, section 3)

Pure numpy functions on dicts of arrays, float32 throughout. The update is summed dense: summing A and B apart, as the paper's code
does, is a different (and wrong) model as soon as two adapters start from different A.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.adapter import Adapter
from edgecl.errors import BadInput

Array = NDArray[Any]
Coefficients = Mapping[str, float]
"""Target name -> how much of its task vector is merged; `*` stands for every target that is not named."""


def task_vector(adapter: Adapter) -> dict[str, Array]:
    """The adapter's dense effect, `<target>.weight` -> `[out, in]` float32.

    Summed rank by rank: a product of two fp16 numbers is exact in float32, so every machine gets the same bits, which a BLAS does not
    promise.
    """
    vectors: dict[str, Array] = {}
    for target in adapter.targets:
        a, b = adapter.a[target].astype(np.float32), adapter.b[target].astype(np.float32)
        total = np.zeros((len(b), a.shape[1]), np.float32)
        for rank in range(adapter.rank):
            total += b[:, rank, None] * a[rank]
        vectors[f"{target}.weight"] = np.float32(adapter.scale) * total
    return vectors


def coefficient_of(coefficients: Coefficients, target: str) -> float:
    """The coefficient for one target.

    Raises:
        BadInput: neither the target nor `*` is named.
    """
    if target in coefficients:
        return coefficients[target]
    if "*" not in coefficients:
        raise BadInput(f"the recipe has no coefficient for {target!r} and no '*'; it names {sorted(coefficients)[:4]}")
    return coefficients["*"]


def merge(base: Mapping[str, Array], steps: Iterable[tuple[Adapter, Coefficients]]) -> dict[str, Array]:
    """Add each step's task vector times its coefficients to `base`, in order; returns new arrays, `base` stays as it is.

    Raises:
        BadInput: an adapter targets a tensor that `base` does not have, or one of another shape.
    """
    merged: dict[str, Array] = {name: np.asarray(value, dtype=np.float32) for name, value in base.items()}
    for adapter, coefficients in steps:
        for name, vector in task_vector(adapter).items():
            if name not in merged or merged[name].shape != vector.shape:
                found = merged[name].shape if name in merged else "nothing"
                raise BadInput(
                    f"the adapter changes {name} {vector.shape}, but the backbone has {found} there. It belongs to another backbone."
                )
            c = coefficient_of(coefficients, name.removesuffix(".weight"))
            if c != 0.0:
                merged[name] = merged[name] + np.float32(c) * vector
    return merged
