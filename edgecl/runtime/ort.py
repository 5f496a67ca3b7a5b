"""A version in ONNX Runtime on the CPU: the predictor that every board has, and the reference that engines are compared with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from edgecl.errors import BadInput, EdgeclError, MissingExtra, StoreDamaged

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


class OrtPredictor:
    """`Predictor` on ONNX Runtime's CPU provider.

    Args:
        threads: CPU threads of one inference, 0 = as many as ONNX Runtime takes by itself. With the same number, the same version
            gives the same bytes for the same batch.

    Raises:
        MissingExtra: onnxruntime is not installed.
    """

    def __init__(self, threads: int = 0) -> None:
        self._runtime = _import_onnxruntime()
        self._threads = threads
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
            session = self._runtime.InferenceSession(str(folder / GRAPH_FILE), options, providers=["CPUExecutionProvider"])
        except _session_errors() as error:
            raise StoreDamaged(
                f"ONNX Runtime cannot open {folder / GRAPH_FILE} with its {WEIGHTS_FILE} ({_first_line(error)}). Run: edgecl verify --deep"
            ) from error
        self._loaded = _describe(session, folder)

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
