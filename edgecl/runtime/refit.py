"""Giving an engine the weights of a version: all of them, or none.

A plan holds surrogate weights. Each load sets **every** refittable weight from the version's full merged state: an engine that is handed
only what a task changed answers with a mixture (TensorRT issue 3628), and after a refit that fails some weights are new and some old
(NvInferRuntime.h). So a refit works on a copy that serves nobody yet, and whatever is odd about it throws the copy away.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import EngineUnusable, few

Array = NDArray[Any]


def refit(trt: Any, engine: Any, arrays: Mapping[str, Array], *, required: Collection[str], exact: bool, logger: Any) -> None:
    """Set every refittable weight of `engine` from `arrays`, a version's deployment tensors.

    Args:
        required: names that must be refittable.
        exact: no other name may be. Without it, other tensors of `arrays` are set as well, and the graph's own constants stay.

    Raises:
        EngineUnusable: names differ, a weight is refused or missing, or TensorRT reports a failure. The engine must not be used then.
    """
    if not engine.refittable:
        raise EngineUnusable("the engine was not built to be refitted")
    refitter = trt.Refitter(engine, logger)
    names = [name for name in refitter.get_all_weights() if name]
    _check_names(set(names), set(arrays), required=set(required), exact=exact)
    # TensorRT reads these arrays until the refit is over and copies none of them.
    held = {name: _typed(trt, name, arrays[name], refitter.get_weights_prototype(name)) for name in names if name in arrays}
    refused = [name for name, array in held.items() if not refitter.set_named_weights(name, trt.Weights(array))]
    if refused:
        raise EngineUnusable(f"TensorRT refuses new values for {few(refused)}{logger.last()}")
    missing = refitter.get_missing_weights()
    if missing:
        raise EngineUnusable(f"TensorRT still misses weights after all were given: {few(missing)}")
    if not refitter.refit_cuda_engine():
        raise EngineUnusable(f"TensorRT reports that the refit failed, so some weights are new and some are not{logger.last()}")


def _check_names(found: set[str], ours: set[str], *, required: set[str], exact: bool) -> None:
    absent = required - found
    if absent:
        raise EngineUnusable(f"the engine cannot change {few(sorted(absent))}, which learning changes")
    strange = found - required if exact else set()
    if strange:
        raise EngineUnusable(f"the engine names weights that were not marked: {few(sorted(strange))}")
    unknown = required - ours
    if unknown:
        raise EngineUnusable(f"the version has no tensor {few(sorted(unknown))}")


def _typed(trt: Any, name: str, array: Array, prototype: Any) -> Array:
    """`array` in the type that the engine was built with, contiguous."""
    types: dict[Any, Any] = {trt.DataType.FLOAT: np.float32, trt.DataType.HALF: np.float16}
    dtype = types.get(prototype.dtype)
    if dtype is None or prototype.size != array.size:
        raise EngineUnusable(
            f"the engine holds {name} as {prototype.size} values of type {prototype.dtype}, the version has {array.size} of {array.dtype}"
        )
    limit = float(np.finfo(dtype).max)
    largest = float(np.abs(array).max(initial=0.0))
    # Written so that a NaN fails as well.
    if not largest <= limit:
        raise EngineUnusable(f"{name} holds {largest:.6g}, but the engine's type ends at {limit:.6g}")
    return np.ascontiguousarray(array, dtype=dtype)
