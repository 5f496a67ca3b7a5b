"""Which Python packages are here and what they can do, found without importing one into this process.

Versions come from their metadata. What a package can do is asked in a child process: an import may take seconds, much memory, or crash.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

PACKAGES = (
    *("numpy", "pillow", "safetensors", "typer", "torch", "torchvision", "timm", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt"),
    *("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
)
TIMEOUT_S = 120.0  # importing torch on a small board takes most of a minute

Probe = Callable[[str], Mapping[str, Any]]
"""Module -> what it says of itself; `{"error": ...}` where it cannot be imported, `{}` where it is not there."""

# Each prints one JSON object as its last line.
_QUESTIONS = {
    # A kernel is run: a PyTorch that was built for other GPUs finds this one and fails at its first step.
    "torch": """
import torch
found = {"version": torch.__version__, "cuda": torch.version.cuda, "sees_gpu": False, "device": None}
if torch.cuda.is_available():
    found["device"] = torch.cuda.get_device_name(0)
    try:
        found["sees_gpu"] = float((torch.ones(2, device="cuda") * 2).sum()) == 4.0
    except RuntimeError as error:
        found["problem"] = str(error).splitlines()[0]
""",
    "onnxruntime": """
import onnxruntime
found = {"version": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}
""",
    "tensorrt": """
import tensorrt
found = {"version": tensorrt.__version__}
""",
    "cv2": """
import cv2
lines = [line.split() for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GStreamer:")]
found = {"version": cv2.__version__, "gstreamer": any("YES" in line for line in lines)}
""",
}


def installed() -> dict[str, str]:
    """Package -> version of every package in `PACKAGES` that this Python has."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def ask(module: str) -> Mapping[str, Any]:
    """A `Probe` on this Python."""
    code = f"import importlib.util, json\nfound = {{}}\nif importlib.util.find_spec({module!r}):\n{_indented(_QUESTIONS[module])}\nprint(json.dumps(found))"
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"did not answer within {TIMEOUT_S:.0f} s"}
    except OSError as error:
        return {"error": f"{sys.executable} cannot be started ({error.strerror})"}
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        last = done.stderr.strip().splitlines()
        return {"error": last[-1] if last else f"ended with {done.returncode}"}
    return dict(json.loads(lines[-1]))


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.strip().splitlines())
