"""What the doctor says of three recorded boards and of machines with the wrong packages."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecl import doctor, installed
from edgecl.device import Board, Memory, detect
from edgecl.doctor import NOTHING_INSTALLED, Finding, Report, Surroundings, examine
from edgecl.install import blind_torch, learn_lines, opencv_lines, runs_only, runtime_lines

BOARDS = Path(__file__).parent / "boards"
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ORIN, XAVIER, THOR = (detect(BOARDS / name) for name in ("orin-nano-8-jetpack-6.2", "agx-xavier-jetpack-5.1", "thor-t5000-jetpack-7.0"))
ANSWERS: dict[str, Mapping[str, Any]] = {
    "torch": {"version": "2.8.0", "cuda": "12.6", "sees_gpu": True, "device": "Orin"},
    "onnxruntime": {"version": "1.23.0", "providers": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]},
    "tensorrt": {"version": "10.3.0"},
    "cv2": {"version": "4.8.0", "gstreamer": True},
}
PACKAGES = {"torch": "2.8.0", "torchvision": "0.23.0", "timm": "1.0.31", "onnx": "1.20.0", "onnxruntime-gpu": "1.23.0"}


def whole(python: str = "3.10.12", packages: Mapping[str, str] = PACKAGES, **answers: Mapping[str, Any]) -> Surroundings:
    """A Python that lacks nothing for an Orin, but for what is handed in."""
    return Surroundings(python=python, packages=packages, probe=lambda module: {**ANSWERS, **answers}[module])


def finding(report: Report, topic: str) -> Finding:
    """The one about a topic."""
    return next(found for found in report.findings if found.topic == topic)


@pytest.fixture
def pc(tmp_path: Path) -> Board:
    """A computer without a GPU."""
    return replace(detect(tmp_path), memory=Memory(16000, 12000))


def test_a_board_that_lacks_nothing_is_ready(tmp_path: Path) -> None:
    """It runs, learns and builds engines; the power mode is worth a note."""
    report = examine(ORIN, tmp_path, whole())
    assert report.ready == {"run": True, "learn": True, "trt": True}
    assert {found.topic: found.level for found in report.findings if found.level != "ok"} == {"power": "note"}
    assert finding(report, "power").remedy == ("sudo nvpmodel -m 2",)
    assert finding(report, "power").found.startswith("15W; MAXN_SUPER is faster where cooling and supply allow it (edgecl never changes")


def test_a_fresh_orin_gets_its_lines_from_nvidias_index() -> None:
    """PyTorch from the index of its JetPack, torchvision and timm without their requirements; nothing of TensorRT from pip."""
    report = examine(ORIN, None, NOTHING_INSTALLED)
    assert finding(report, "torch").level == "missing"
    assert finding(report, "torch").remedy == (
        "pip install --index-url https://pypi.jetson-ai-lab.io/jp6/cu126 torch onnxruntime-gpu",
        "pip install --no-deps --index-url https://pypi.jetson-ai-lab.io/jp6/cu126 torchvision",
        "pip install --no-deps timm",
        "pip install onnx jinja2 pyyaml huggingface_hub",
    )
    assert finding(report, "onnxruntime").remedy == (
        "pip install --index-url https://pypi.jetson-ai-lab.io/jp6/cu126 onnxruntime-gpu",
        "pip install jinja2",
    )
    assert finding(report, "tensorrt").remedy == (
        "sudo apt-get install tensorrt python3-libnvinfer",
        "python3.10 -m venv --system-site-packages .venv",
    )
    assert finding(report, "opencv").remedy[0] == "sudo apt-get install python3-opencv"
    assert report.ready == {"run": False, "learn": False, "trt": False}


@pytest.mark.parametrize("board", [ORIN, THOR], ids=["orin", "thor"])
def test_a_jetsons_lines_bring_what_the_extras_name(board: Board) -> None:
    """Each package of pyproject.toml's extras, or what stands for it there: a new one must not be forgotten."""
    extras = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    stands_for = {"onnxruntime": "onnxruntime-gpu", "opencv-python-headless": "python3-opencv"}
    for extra, lines in (
        ("learn", learn_lines(board)),
        ("run", runtime_lines(board, ())),
        ("camera", opencv_lines(board, ())),
    ):
        words = {word for line in lines for word in line.split()}
        names = {re.split("[<>=!]", requirement)[0] for requirement in extras[extra]}
        assert {stands_for.get(name, name) for name in names} - words == set(), extra


def test_a_fresh_thor_gets_the_index_of_jetpack_7() -> None:
    """Another index, another Python."""
    report = examine(THOR, None, NOTHING_INSTALLED)
    assert finding(report, "torch").remedy[0] == "pip install --index-url https://pypi.jetson-ai-lab.io/sbsa/cu130 torch onnxruntime-gpu"
    assert finding(report, "tensorrt").remedy[1] == "python3.12 -m venv --system-site-packages .venv"


def test_a_xavier_is_told_the_onnx_road() -> None:
    """JetPack 5: no engines, its Python is too old to share packages with, and PyTorch comes for the CPU."""
    report = examine(XAVIER, None, NOTHING_INSTALLED)
    assert finding(report, "engines").found == (
        "edgecl builds engines from JetPack 6.1 on; on 5.1 run: edgecl export --onnx --opset 16 --precision fp16, then the trtexec line "
        "that it prints"
    )
    assert finding(report, "python").found.startswith("JetPack brings 3.8 and edgecl needs 3.10 or newer")
    assert finding(report, "torch").remedy[0].startswith("pip install 'edgecl[learn]'  # for the CPU: no PyTorch is built for this JetPack")
    assert "tensorrt" not in {found.topic for found in report.findings}
    assert "PMIC-Die" in XAVIER.temperatures_c
    assert finding(report, "temperature").found == "38 C at CPU-therm"


def test_a_torch_that_does_not_see_the_gpu_is_wrong(tmp_path: Path) -> None:
    """The classic: a wheel for the CPU over the board's own; the lines put the right one back."""
    report = examine(ORIN, tmp_path, whole(torch={"version": "2.14.1", "cuda": None, "sees_gpu": False, "device": None}))
    found = finding(report, "torch")
    assert (found.level, found.found) == (
        "wrong",
        "2.14.1 for the CPU, does not see the GPU (Ampere); learn stops unless it is given --device cpu",
    )
    assert found.remedy[:2] == (
        "pip uninstall -y torch torchvision",
        "pip install --index-url https://pypi.jetson-ai-lab.io/jp6/cu126 torch onnxruntime-gpu",
    )
    assert report.ready == {"run": True, "learn": False, "trt": True}


def test_a_torch_for_another_gpu_says_what_its_first_step_said(tmp_path: Path) -> None:
    """It finds the GPU and has no kernel for it."""
    torch = {"version": "2.9", "cuda": "12.8", "sees_gpu": False, "device": "Thor", "problem": "CUDA error: no kernel image is available"}
    report = examine(THOR, tmp_path, whole("3.12.3", torch=torch))
    assert "does not see the GPU (Blackwell) (CUDA error: no kernel image is available)" in finding(report, "torch").found


def test_a_torch_that_cannot_be_imported_is_a_sentence(tmp_path: Path) -> None:
    """The last line of its error, and the lines that replace it."""
    error = {"error": "ImportError: libcusparseLt.so.0: cannot open shared object file"}
    report = examine(ORIN, tmp_path, whole(torch=error))
    assert finding(report, "torch").found == "cannot be imported: ImportError: libcusparseLt.so.0: cannot open shared object file"
    assert report.ready["learn"] is False


def test_opencv_of_pip_over_jetpacks_is_wrong(tmp_path: Path) -> None:
    """It has no GStreamer, so CSI cameras do not open; the wheel is named and taken away."""
    packages = {**PACKAGES, "opencv-python": "4.10.0.84"}
    report = examine(ORIN, tmp_path, whole(packages=packages, cv2={"version": "4.10.0", "gstreamer": False}))
    found = finding(report, "opencv")
    assert found.level == "wrong"
    assert found.found == "4.10.0 has no GStreamer (opencv-python from pip lies over JetPack's); csi:// cameras do not open"
    assert found.remedy == (
        "pip uninstall -y opencv-python",
        "sudo apt-get install python3-opencv",
        "python3.10 -m venv --system-site-packages .venv",
        "pip install 'numpy<2' paho-mqtt prometheus-client starlette uvicorn",
    )


def test_onnxruntime_over_its_gpu_sister_is_wrong(tmp_path: Path) -> None:
    """Both installed: one module, the CPU's; both are taken away first."""
    packages = {**PACKAGES, "onnxruntime": "1.32.0"}
    runtime = {"version": "1.32.0", "providers": ["AzureExecutionProvider", "CPUExecutionProvider"]}
    found = finding(examine(ORIN, tmp_path, whole(packages=packages, onnxruntime=runtime)), "onnxruntime")
    assert found.level == "wrong"
    assert found.found == "1.32.0 has no CUDAExecutionProvider, for onnxruntime lies over onnxruntime-gpu; run would use the CPU"
    assert found.remedy[0] == "pip uninstall -y onnxruntime onnxruntime-gpu"


def test_another_python_than_jetpacks_is_wrong(tmp_path: Path) -> None:
    """Wheels of the index are for one Python."""
    found = finding(examine(ORIN, tmp_path, whole("3.12.1")), "python")
    assert (found.level, found.remedy) == ("wrong", ("python3.10 -m venv --system-site-packages .venv",))
    assert found.found == "3.12.1; PyTorch and TensorRT for this JetPack are built for 3.10"


def test_a_part_of_what_learn_needs_is_named(tmp_path: Path) -> None:
    """PyTorch is there, timm is not: the lines leave PyTorch alone."""
    packages = {name: version for name, version in PACKAGES.items() if name != "timm"}
    found = finding(examine(ORIN, tmp_path, whole(packages=packages)), "learning")
    assert (found.level, found.found) == ("missing", "timm not installed")
    assert found.remedy[1] == "pip install --no-deps timm"
    assert not any(" torch " in line for line in found.remedy)


def test_a_board_for_running_says_so(tmp_path: Path) -> None:
    """A Nano names pictures; it is taught elsewhere."""
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/compatible").write_bytes(b"nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,p3448-0000\0nvidia,tegra210\0")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R32 (release), REVISION: 7.4, GCID: 33514132, BOARD: t210ref\n")
    nano = detect(tmp_path)
    report = examine(nano, None, NOTHING_INSTALLED)
    assert finding(report, "learning").found == "Jetson Nano is for running; learn on another machine and bring the export"
    assert finding(report, "engines").found.startswith("this board's TensorRT cannot read edgecl's graphs")
    assert str(runs_only(nano)).startswith("Jetson Nano is for running only")
    assert runs_only(nano).exit_code == 8


def test_a_pc_needs_less(pc: Board, tmp_path: Path) -> None:
    """No TensorRT, no power mode, no GStreamer; the extras by name."""
    cpu = whole(
        "3.11.7", torch={"version": "2.14", "cuda": None, "sees_gpu": False, "device": None}, cv2={"version": "5.0", "gstreamer": False}
    )
    report = examine(pc, tmp_path, cpu)
    assert {found.level for found in report.findings} == {"ok"}
    assert report.ready == {"run": True, "learn": True, "trt": False}
    bare = examine(pc, tmp_path, NOTHING_INSTALLED)
    assert finding(bare, "torch").remedy == ("pip install 'edgecl[learn]'",)
    assert finding(bare, "onnxruntime").remedy == ("pip install 'edgecl[run]'",)


def test_scarce_memory_disk_and_heat_are_noted(pc: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its figure and the limit."""
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100 * 2**20})())
    hot = replace(pc, memory=Memory(4000, 500), temperatures_c={"cpu-thermal": 84.6, "PMIC-Die": 100.0})
    report = examine(hot, tmp_path, NOTHING_INSTALLED)
    assert finding(report, "memory").found == "500 of 4000 MiB free; learning leaves 512 MiB to other programs and has none left"
    assert (finding(report, "temperature").level, finding(report, "temperature").found) == ("note", "85 C at cpu-thermal")
    assert "100 MiB free; a learn needs some hundred" in finding(report, "store").found


def test_a_memory_stick_cannot_hold_a_store(pc: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file system is named before anybody tries; a store that does not exist yet is judged by the folder above it."""
    monkeypatch.setattr(doctor, "file_system_of", lambda folder: "exfat" if folder == tmp_path else "ext4")
    found = finding(examine(pc, tmp_path / "not" / "there", NOTHING_INSTALLED), "store")
    assert found.level == "wrong"
    assert "exfat" in found.found


def test_the_refusal_of_a_blind_torch_holds_the_lines() -> None:
    """What `learn` says, exit code 8: value, lines, and the way out."""
    refusal = blind_torch(ORIN)
    assert refusal.exit_code == 8
    assert str(refusal).startswith("Jetson Orin Nano 8 GB has a GPU (Ampere) that the installed PyTorch does not see")
    assert "pip install --index-url https://pypi.jetson-ai-lab.io/jp6/cu126 torch onnxruntime-gpu && " in str(refusal)
    assert str(refusal).endswith("Or learn on the CPU all the same: --device cpu")
    assert "There is none for this JetPack. " in str(blind_torch(XAVIER))


def test_the_report_is_json(tmp_path: Path) -> None:
    """One object with board, packages, findings and what is ready."""
    fields = json.loads(json.dumps(examine(ORIN, tmp_path, whole()).to_json()))
    assert fields["format"] == "edgecl.doctor/1"
    assert (fields["profile"], fields["jetpack"], fields["l4t"], fields["trt_road"]) == ("orin-nano-8", "6.2", "36.4.3", "trt")
    assert fields["power"] == {"current": 0, "default": 1, "modes": {"0": "15W", "1": "25W", "2": "MAXN_SUPER"}}
    assert fields["findings"][0]["topic"] == "board"


def test_probes_answer_for_what_is_installed() -> None:
    """A package that is here tells its version; one that is not says nothing; this process imports neither."""
    assert installed.ask("onnxruntime")["providers"]
    assert installed.ask("tensorrt") == {}
    assert {"numpy", "torch"} <= set(installed.installed())


def test_a_probe_that_crashes_or_hangs_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of what it said; or that it said nothing in time."""
    monkeypatch.setitem(installed._QUESTIONS, "onnxruntime", "raise OSError('libfoo.so: cannot open')")
    assert installed.ask("onnxruntime") == {"error": "OSError: libfoo.so: cannot open"}
    monkeypatch.setitem(installed._QUESTIONS, "onnxruntime", "import os; os._exit(139)")
    assert installed.ask("onnxruntime") == {"error": "ended with 139"}
    monkeypatch.setitem(installed._QUESTIONS, "onnxruntime", "import time; time.sleep(60)")
    monkeypatch.setattr(installed, "TIMEOUT_S", 0.3)
    assert installed.ask("onnxruntime") == {"error": "did not answer within 0 s"}


def test_looking_does_not_import_what_computes() -> None:
    """The doctor's own process stays free of torch, timm and ONNX Runtime."""
    code = "import sys, edgecl.doctor, edgecl.device; edgecl.device.detect(); edgecl.installed.installed(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "onnxruntime", "timm"} & set(loaded) == set()
