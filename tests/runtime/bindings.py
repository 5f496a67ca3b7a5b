"""NVIDIA's own Python bindings without TensorRT: imported over three stub libraries, so that their enums and signatures can be read.

The bindings need nine C symbols when they are imported and nothing else, no GPU and no driver. A network cannot be built this way, but
every name, every enum value and every signature is the real one. Nothing of NVIDIA's is kept in the repository: the wheels (1 to 2 MB)
are fetched into a temporary folder.

    python -m tests.runtime.bindings          writes edgecl/runtime/fake_tensorrt/versions/*.json anew
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

VERSIONS = {
    "10.3": "tensorrt_cu12_bindings==10.3.0",
    "10.16": "tensorrt_cu12_bindings==10.16.1.11",
    "11.4": "tensorrt_cu13_bindings==11.4.0.106",
}
"""Version of TensorRT -> the requirement that has its bindings."""

FOLDER = Path(__file__).parents[2] / "edgecl" / "runtime" / "fake_tensorrt" / "versions"
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
SYMBOLS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL", "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry", "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
)  # fmt: skip


class Unavailable(Exception):
    """The bindings cannot be had here; the text says why."""


def fetch(version: str, folder: Path) -> Path:
    """Install the bindings of `version` into `folder`, and nothing else.

    Raises:
        Unavailable: there is no wheel for this Python and machine, or no network.
    """
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "--target", str(folder)]
    if subprocess.run([*command, VERSIONS[version]], capture_output=True).returncode:
        raise Unavailable(f"{VERSIONS[version]} cannot be installed here")
    return folder


def compile_stubs(version: str, folder: Path) -> Path:
    """Three libraries in `folder` with the names and symbols that the bindings of `version` load; every function returns null.

    Raises:
        Unavailable: there is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise Unavailable("there is no C compiler (cc) here")
    source = folder / "stub.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS))
    for library in LIBRARIES:
        name = f"lib{library}.so.{version.partition('.')[0]}"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(folder / name), f"-Wl,-soname,{name}", str(source)], check=True)
    return folder


def run_over_stubs(version: str, folder: Path, script: Path, *paths: Path) -> str:
    """What a script prints that imports the real bindings of `version` as `tensorrt_bindings`, in a process of its own.

    Args:
        folder: empty; will hold wheel and stubs.
        paths: what the script imports from beside them.

    Raises:
        Unavailable: the bindings cannot be had here.
    """
    (folder / "stubs").mkdir()
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(compile_stubs(version, folder / "stubs")),
        "PYTHONPATH": os.pathsep.join(map(str, (fetch(version, folder / "wheel"), *paths))),
    }
    return subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True).stdout


def members(version: str, folder: Path) -> dict[str, Any]:
    """What the real bindings of `version` have; `folder` is empty.

    Raises:
        Unavailable: the bindings cannot be had here.
    """
    found = run_over_stubs(version, folder, Path(__file__).with_name("dump_members.py"))
    return {"source": VERSIONS[version], **json.loads(found)}


def written(found: dict[str, Any]) -> str:
    """The text of a version's JSON file."""
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write each version's JSON file anew."""
    for version in VERSIONS:
        with tempfile.TemporaryDirectory() as place:
            path = FOLDER / f"{version}.json"
            behaviours = json.loads(path.read_text(encoding="utf-8"))["behaviours"]  # written by hand, each with its source
            path.write_text(written({**members(version, Path(place)), "behaviours": behaviours}), encoding="utf-8")


if __name__ == "__main__":
    main()
