"""A version in ONNX Runtime: on the CPU the predictor that every board has and the reference of all others, on a GPU the second fastest.

ONNX Runtime falls back to the CPU by itself and without a word; here the provider that was taken is known, and another one is an error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from edgecl.errors import BadInput, EdgeclError, GpuFailed, MissingExtra, StoreDamaged
from edgecl.store.atomic import os_errors
from edgecl.store.reading import file_sha256

GRAPH_FILE, WEIGHTS_FILE = "model.onnx", "weights.safetensors"
BATCH_LIMIT = 32  # pictures per run; bounds the memory of the activations, whatever the caller hands in


@dataclass(frozen=True)
class _Loaded:
    """One open session and the shapes that its graph declares."""

    session: Any
    input_name: str
    height: int  # pixels
    width: int  # pixels
    capacity: int  # rows of the head
    features: int  # d


CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


class OrtPredictor:
    """`Predictor` on the first of `providers` that the installed ONNX Runtime has.

    Args:
        providers: ONNX Runtime's names, in the order in which they are tried.
        cache: folder for the engines that the TensorRT provider builds; it is skipped without one. Each weights file has a folder of its
            own in it, for the provider itself names engines by the graph alone and would serve old weights (onnxruntime issue 6455).
        on_skip: is told, as a sentence, each provider that is passed over.
        threads: CPU threads of one inference, 0 = as many as ONNX Runtime takes by itself. With the same number, the same version
            gives the same bytes for the same batch.

    Raises:
        MissingExtra: onnxruntime is not installed, or has none of `providers`.
    """

    runtime = "onnxruntime"
    precision: Literal["fp32"] = "fp32"  # a version's own graph

    def __init__(
        self,
        threads: int = 0,
        *,
        providers: Sequence[str] = (CPU,),
        cache: Path | None = None,
        on_skip: Callable[[str], None] | None = None,
    ) -> None:
        self._runtime = _import_onnxruntime()
        self._threads, self._cache = threads, cache
        self.provider = _choose_provider(self._runtime.get_available_providers(), providers, cache, on_skip)
        self._loaded: _Loaded | None = None

    def load(self, folder: Path) -> None:
        """Open `model.onnx` of the version in `folder`; a symlink to the folder will do. After a failure the old version still answers.

        Raises:
            StoreDamaged: a file is missing or cut short, or the graph is not one that edgecl writes.
        """
        _check_files(folder)
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Threads that spin between two frames cost a whole core, which a learner on the same board could use.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.use_deterministic_compute = True
        options.log_severity_level = 4  # fatal only: what goes wrong arrives as an exception
        try:
            session = self._runtime.InferenceSession(str(folder / GRAPH_FILE), options, providers=[self._with_options(folder)])
        except _session_errors() as error:
            raise StoreDamaged(
                f"ONNX Runtime cannot open {folder / GRAPH_FILE} with its {WEIGHTS_FILE} ({_first_line(error)}). Run: edgecl verify --deep"
            ) from error
        taken = session.get_providers()
        if taken[:1] != [self.provider]:
            raise GpuFailed(
                f"ONNX Runtime could not start its {self.provider} and took {', '.join(taken)} instead, which is not what was asked for. "
                "Run: edgecl doctor"
            )
        self._loaded = _describe(session, folder)

    def _with_options(self, folder: Path) -> tuple[str, dict[str, str]]:
        """The provider and how it computes: in the graph's own types, without TF32, with engines that belong to these very weights."""
        if self.provider == CUDA:
            return CUDA, {"use_tf32": "0"}
        if self.provider == TENSORRT and self._cache is not None:
            place = self._cache / f"ort-{file_sha256(folder / WEIGHTS_FILE)[:16]}"
            with os_errors(f"making the folder {place.name}"):
                place.mkdir(parents=True, exist_ok=True)
            return TENSORRT, {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(place)}
        return self.provider, {}

    def infer(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`[b, h, w, 3]` rgb at the model's input size -> (logits `[b, capacity]`, features `[b, d]`); b may be 0 or large.

        Raises:
            BadInput: another dtype, rank or picture size.
            EdgeclError: nothing is loaded.
            StoreDamaged: the loaded graph cannot be run.
        """
        if self._loaded is None:
            raise EdgeclError("infer was called on an OrtPredictor that has nothing loaded; call load(folder) first")
        loaded = self._loaded
        _check_pictures(pictures, loaded)
        logits = np.empty((len(pictures), loaded.capacity), np.float32)
        features = np.empty((len(pictures), loaded.features), np.float32)
        for start in range(0, len(pictures), BATCH_LIMIT):
            part = slice(start, start + BATCH_LIMIT)
            try:
                answer = loaded.session.run(["logits", "features"], {loaded.input_name: np.ascontiguousarray(pictures[part])})
            except _session_errors() as error:
                raise StoreDamaged(f"the loaded graph cannot be run ({_first_line(error)}). Run: edgecl verify --deep") from error
            logits[part], features[part] = answer
        return logits, features

    def close(self) -> None:
        """Free the session; may be called twice."""
        self._loaded = None


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra.of("onnxruntime", "run", "Running a model") from error
    return onnxruntime


def _choose_provider(available: Sequence[str], wanted: Sequence[str], cache: Path | None, on_skip: Callable[[str], None] | None) -> str:
    """The first wanted provider that can be used; each one before it is told to `on_skip`."""
    for provider in wanted:
        if provider not in available:
            reason = f"the installed onnxruntime has no {provider}, only {', '.join(available)}. Run: edgecl doctor"
        elif provider == TENSORRT and cache is None:
            reason = f"{TENSORRT} needs a folder for its engines, which belong to one weights file each"
        else:
            return str(provider)
        if on_skip is not None:
            on_skip(reason)
    raise MissingExtra(f"onnxruntime has none of the providers {', '.join(wanted)}; it has {', '.join(available)}. Run: edgecl doctor")


def _session_errors() -> tuple[type[Exception], ...]:
    """ONNX Runtime's exceptions; they share no base class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented", "RuntimeException", "NoModel")
    return tuple(getattr(state, name) for name in names)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _check_files(folder: Path) -> None:
    """ONNX Runtime reads the weights by offset and would not notice a damaged safetensors header."""
    for name in (GRAPH_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise StoreDamaged(
                f"{folder} has no {name}; a version that can be run has {GRAPH_FILE} and {WEIGHTS_FILE}. Run: edgecl verify --deep"
            )
    try:
        with safe_open(folder / WEIGHTS_FILE, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise StoreDamaged(f"{folder / WEIGHTS_FILE} is not a whole safetensors file ({error}). Run: edgecl verify --deep") from error


def _describe(session: Any, folder: Path) -> _Loaded:
    inputs, outputs = session.get_inputs(), {output.name: output for output in session.get_outputs()}
    shapes = {name: list(output.shape) for name, output in outputs.items()}
    picture = list(inputs[0].shape) if len(inputs) == 1 and inputs[0].type == "tensor(uint8)" else []
    fixed = [*picture[1:], *shapes.get("logits", [])[1:], *shapes.get("features", [])[1:]]
    if len(picture) != 4 or picture[3] != 3 or len(fixed) != 5 or not all(isinstance(axis, int) for axis in fixed):
        found = [(item.name, item.type, item.shape) for item in [*inputs, *outputs.values()]]
        raise StoreDamaged(
            f"{folder / GRAPH_FILE} is not a graph of edgecl: it has {found}, expected one uint8 input [b, h, w, 3] and the outputs "
            "logits [b, capacity] and features [b, d]. Run: edgecl verify --deep"
        )
    return _Loaded(session, inputs[0].name, picture[1], picture[2], shapes["logits"][1], shapes["features"][1])


def _check_pictures(pictures: NDArray[Any], loaded: _Loaded) -> None:
    expected = (loaded.height, loaded.width, 3)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] != expected:
        raise BadInput(
            f"the model was handed {pictures.dtype} {list(pictures.shape)}, but it takes uint8 [b, {loaded.height}, {loaded.width}, 3] "
            "rgb. Bring pictures to that size with edgecl.preprocess.to_input"
        )
