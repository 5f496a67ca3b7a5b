"""Which runtime answers: TensorRT, or ONNX Runtime on one of its providers. What is taken, and why not the faster one, is always said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgecl.device import DeviceProfile
from edgecl.errors import EdgeclError, EngineUnusable, MissingExtra, UsageError
from edgecl.runtime.cudart import Cuda
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.selftest import Precision
from edgecl.runtime.trt import TrtPredictor
from edgecl.runtime.upgrade import Rebuilding, Upgrade
from edgecl.store import Store

Runtime = Literal["ort", "trt", "auto"]
RUNTIMES = ("ort", "trt", "auto")


class AnyPredictor:
    """`Predictor` on the fastest runtime that serves the version.

    Args:
        runtime: `trt` or nothing, `ort`, or `auto`: TensorRT where an engine serves, else ONNX Runtime.
        note: is told each sentence for a person, among them the runtime that was taken.
        rebuild: starts the child process that builds an engine (`runtime.rebuild.Rebuild`). With it `auto` builds the engine that
            is missing while ONNX Runtime answers, and goes over to it between two frames.
        trt, cuda: as of `TrtPredictor`.

    Raises:
        UsageError: an unknown runtime.
    """

    def __init__(
        self,
        store: Store,
        profile: DeviceProfile,
        *,
        runtime: Runtime = "auto",
        note: Callable[[str], None],
        rebuild: Callable[[Store, int], Rebuilding] | None = None,
        threads: int = 0,
        trt: Any = None,
        cuda: Cuda | None = None,
    ) -> None:
        if runtime not in RUNTIMES:
            raise UsageError(f"--runtime {runtime} is unknown; choose one of {', '.join(RUNTIMES)}")
        self._store, self._profile, self._note, self._rebuild, self._threads = store, profile, note, rebuild, threads
        self._only: Runtime | None = None if runtime == "auto" else runtime
        if runtime == "auto" and profile.trt_road != "trt":
            self._only = "ort"
        self._trt, self._cuda = trt, cuda
        self._now: TrtPredictor | OrtPredictor | None = None
        self._upgrade: Upgrade | None = None

    def load(self, folder: Path) -> None:
        """Load the version in `folder`, a folder of the store; what was loaded before is replaced only on success.

        Raises:
            MissingExtra, EngineUnusable: `trt` was asked for and cannot be had, or an engine serves already: a version on an engine is
                not exchanged for one that is slower.
        """
        fresh: TrtPredictor | OrtPredictor
        wanting = False
        if self._only == "ort":
            fresh = self._onnxruntime(folder)
        else:
            try:
                fresh = self._tensorrt(folder)
            except (MissingExtra, EngineUnusable) as error:
                if self._only == "trt" or isinstance(self._now, TrtPredictor):
                    raise
                self._note(f"not in TensorRT: {error}")
                wanting = isinstance(error, EngineUnusable)
                fresh = self._onnxruntime(folder)
        self.close()
        self._now = fresh
        self._note(f"running in {_words(fresh)}")
        if wanting and self._rebuild is not None:
            version = int(folder.resolve().name)
            self._upgrade = Upgrade(self._store, version, self._rebuild(self._store, version), self._empty, note=self._note)

    def infer(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As of the runtime that was taken; goes over to an engine that has become ready first."""
        ready = self._upgrade.ready() if self._upgrade is not None else None
        if ready is not None:
            if self._now is not None:
                self._now.close()
            self._now = ready
            self._note(f"running in {_words(ready)} from now on")
        return self._loaded().infer(pictures)

    def close(self) -> None:
        """Free what was loaded, and end what is being built; may be called twice."""
        if self._upgrade is not None:
            self._upgrade.close()
        if self._now is not None:
            self._now.close()
        self._now = self._upgrade = None

    @property
    def runtime(self) -> str:
        """`tensorrt` or `onnxruntime`"""
        return self._loaded().runtime

    @property
    def provider(self) -> str:
        """ONNX Runtime's provider, or the engine's file name."""
        return self._loaded().provider

    @property
    def upgrading(self) -> bool:
        """Whether an engine for what is loaded is being built or made ready."""
        return self._upgrade is not None and self._upgrade.pending

    @property
    def precision(self) -> Precision:
        """In which it computes, and by whose limits its self-test is judged."""
        return self._loaded().precision

    def _loaded(self) -> TrtPredictor | OrtPredictor:
        if self._now is None:
            raise EdgeclError("an AnyPredictor was asked before anything was loaded; call load(folder) first")
        return self._now

    def _empty(self) -> TrtPredictor:
        return TrtPredictor(self._store, trt=self._trt, cuda=self._cuda)

    def _tensorrt(self, folder: Path) -> TrtPredictor:
        predictor = self._empty()
        predictor.load(folder)
        return predictor

    def _onnxruntime(self, folder: Path) -> OrtPredictor:
        cache = self._store.root / "engines"
        predictor = OrtPredictor(self._threads, providers=self._profile.providers, cache=cache, on_skip=self._note)
        predictor.load(folder)
        return predictor


def _words(predictor: TrtPredictor | OrtPredictor) -> str:
    name = "TensorRT" if predictor.runtime == "tensorrt" else "ONNX Runtime"
    return f"{name} ({predictor.provider})"
