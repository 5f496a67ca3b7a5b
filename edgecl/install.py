"""The lines that bring what is missing, for the board at hand. Text only; nothing is run.

On a Jetson PyTorch and ONNX Runtime come from an index that was built for its JetPack. What depends on PyTorch goes in with `--no-deps`
there: its requirements would replace the board's PyTorch by one that does not see the GPU.
"""

from collections.abc import Collection, Sequence

from edgecl.device import Board
from edgecl.errors import MissingExtra
from edgecl.profile import version_tuple

OLDEST_PYTHON = (3, 10)
OPENCV_WHEELS = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def learn_lines(board: Board) -> tuple[str, ...]:
    """What installs everything that `learn` needs, PyTorch first."""
    if board.profile.kind != "jetson":
        return ("pip install 'edgecl[learn]'",)
    if (index := _index(board)) is None:
        return ("pip install 'edgecl[learn]'  # for the CPU: no PyTorch is built for this JetPack and a Python that edgecl runs on",)
    return (
        f"pip install --index-url {index} torch onnxruntime-gpu",
        f"pip install --no-deps --index-url {index} torchvision",
        "pip install --no-deps timm",
        "pip install onnx jinja2 pyyaml huggingface_hub",
    )


def torch_lines(board: Board) -> tuple[str, ...]:
    """What replaces a PyTorch that does not see the GPU; on a PC the driver has to answer first."""
    if board.profile.kind != "jetson":
        return ("nvidia-smi", "pip uninstall -y torch torchvision", "pip install torch torchvision")
    if _index(board) is None:
        return ()
    return ("pip uninstall -y torch torchvision", *learn_lines(board))


def runtime_lines(board: Board, packages: Collection[str]) -> tuple[str, ...]:
    """What installs the ONNX Runtime that the board's profile wants, beside the installed `packages`."""
    if "CUDAExecutionProvider" not in board.profile.providers:
        return ("pip install 'edgecl[run]'",)
    index = _index(board)
    lines = (f"pip install --index-url {index} onnxruntime-gpu", "pip install jinja2") if index else ("pip install 'edgecl[run-gpu]'",)
    if "onnxruntime" not in packages:
        return lines
    # Both packages bring the same module, and each leaves a part of itself behind when it goes.
    both = "pip uninstall -y onnxruntime onnxruntime-gpu" if "onnxruntime-gpu" in packages else "pip uninstall -y onnxruntime"
    return (both, *lines)


def tensorrt_lines(board: Board) -> tuple[str, ...]:
    """What brings TensorRT's Python package; empty where edgecl builds no engines."""
    if board.profile.trt_road != "trt":
        return ()
    if board.profile.kind != "jetson":
        return ("pip install 'edgecl[trt]'",)
    return ("sudo apt-get install tensorrt python3-libnvinfer", venv_line(board))


def opencv_lines(board: Board, wheels: Sequence[str]) -> tuple[str, ...]:
    """What brings an OpenCV that opens cameras; on a Jetson the system's own, for those from pip have no GStreamer."""
    if board.profile.kind != "jetson" or not _python_fits(board):
        return ("pip install 'edgecl[camera]'",)
    away = (f"pip uninstall -y {' '.join(wheels)}",) if wheels else ()
    # The system's OpenCV was built for numpy 1; the rest is what the extra `camera` brings beside OpenCV.
    return (
        *away,
        "sudo apt-get install python3-opencv",
        venv_line(board),
        "pip install 'numpy<2' paho-mqtt prometheus-client starlette uvicorn",
    )


def venv_line(board: Board) -> str:
    """A virtual environment that sees what JetPack installs for its own Python."""
    python = f"python{board.jetpack.python}" if board.jetpack is not None else "python3"
    return f"{python} -m venv --system-site-packages .venv"


def blind_torch(board: Board) -> MissingExtra:
    """The refusal of `learn` where the board has a GPU that its PyTorch does not see."""
    lines = torch_lines(board)
    remedy = f"Install the one for it: {' && '.join(lines)}. " if lines else "There is none for this JetPack. "
    return MissingExtra(
        f"{board.profile.title} has a GPU ({board.gpu}) that the installed PyTorch does not see, so learning would take hours on the CPU. "
        f"{remedy}Or learn on the CPU all the same: --device cpu"
    )


def runs_only(board: Board) -> MissingExtra:
    """The refusal of `learn` on a board that is too old for it."""
    return MissingExtra(
        f"{board.profile.title} is for running only: no PyTorch for its GPU has run on Python 3.10 or newer. Learn on another machine and "
        "bring the export (edgecl export --onnx), or learn on its CPU all the same: --device cpu"
    )


def trt_advice(board: Board) -> str | None:
    """How this board comes to an engine where edgecl does not build one; None where it does, or where there is no TensorRT to use."""
    if board.profile.trt_road != "onnx-only":
        return None
    release = board.jetpack.jetpack if board.jetpack is not None else board.profile.last_jetpack
    return (
        f"edgecl builds engines from JetPack 6.1 on; on {release} run: edgecl export --onnx --opset {board.profile.opset} "
        f"--precision {board.profile.precision}, then the trtexec line that it prints"
    )


def _python_fits(board: Board) -> bool:
    """Whether edgecl runs on the Python for which JetPack brings its packages."""
    return board.jetpack is None or version_tuple(board.jetpack.python) >= OLDEST_PYTHON


def _index(board: Board) -> str | None:
    return board.jetpack.index if board.jetpack is not None else None
