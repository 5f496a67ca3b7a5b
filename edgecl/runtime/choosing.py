"""Which runtime answers: TensorRT, or ONNX Runtime on one of its providers. What is taken, and why not the faster one, is always said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from edgecl.device import DeviceProfile
from edgecl.errors import EngineUnusable, MissingExtra, UsageError
from edgecl.runtime.base import Predictor
from edgecl.runtime.cudart import Cuda
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.selftest import Precision
from edgecl.store import Store

Runtime = Literal["ort", "trt", "auto"]
RUNTIMES = ("ort", "trt", "auto")


def load_predictor(
    store: Store,
    folder: Path,
    profile: DeviceProfile,
    *,
    runtime: Runtime = "auto",
    note: Callable[[str], None],
    threads: int = 0,
    precision: Precision | None = None,
    trt: Any = None,
    cuda: Cuda | None = None,
) -> Predictor:
    """A predictor with the version in `folder` loaded.

    Args:
        runtime: `trt` or nothing, `ort`, or `auto`: TensorRT where an engine serves, else ONNX Runtime.
        threads: CPU threads of ONNX Runtime, 0 = as many as it takes by itself.
        note: is told each sentence for a person, among them the runtime that was taken.
        trt, cuda: as of `TrtPredictor`.

    Raises:
        UsageError: an unknown runtime.
        MissingExtra, EngineUnusable: `trt` was asked for and cannot be had.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"--runtime {runtime} is unknown; choose one of {', '.join(RUNTIMES)}")
    if runtime == "trt" or (runtime == "auto" and profile.trt_road == "trt"):
        try:
            return _tensorrt(store, folder, note, precision, trt, cuda)
        except (MissingExtra, EngineUnusable) as error:
            if runtime == "trt":
                raise
            note(f"not in TensorRT: {error}")
    return _onnxruntime(store, folder, profile, note, threads)


def _tensorrt(
    store: Store, folder: Path, note: Callable[[str], None], precision: Precision | None, trt: Any, cuda: Cuda | None
) -> Predictor:
    from edgecl.runtime.trt import TrtPredictor

    predictor = TrtPredictor(store, precision=precision, trt=trt, cuda=cuda)
    predictor.load(folder)
    assert predictor.serving is not None
    note(f"running in TensorRT ({predictor.serving.facts.name})")
    return predictor


def _onnxruntime(store: Store, folder: Path, profile: DeviceProfile, note: Callable[[str], None], threads: int) -> Predictor:
    predictor = OrtPredictor(threads, providers=profile.providers, cache=store.root / "engines", on_skip=note)
    predictor.load(folder)
    note(f"running in ONNX Runtime ({predictor.provider})")
    return predictor
