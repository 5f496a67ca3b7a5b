"""What this board can do for edgecl, what is missing, and the lines that bring it. Looks only; changes nothing, imports nothing heavy."""

import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgecl.device import Board
from edgecl.install import (
    OLDEST_PYTHON,
    OPENCV_WHEELS,
    learn_lines,
    opencv_lines,
    runtime_lines,
    tensorrt_lines,
    torch_lines,
    trt_advice,
    venv_line,
)
from edgecl.installed import Probe, ask, installed
from edgecl.profile import version_tuple
from edgecl.store.filesystem import UNFIT, file_system_of

DOCTOR_FORMAT = "edgecl.doctor/1"
Level = Literal["ok", "note", "missing", "wrong"]
HOT_C = 80.0  # degrees Celsius; a choice, each board slows down at its own
LOW_DISK_MIB = 1024
DEAD_ZONES = ("PMIC-Die",)  # always answers the same


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    level: Level  # wrong: works against edgecl; missing: something cannot be done without it; note: worth knowing
    found: str
    remedy: tuple[str, ...] = ()  # lines to type, in order


@dataclass(frozen=True)
class Report:
    """Everything that was looked at, and what can be done here as it is."""

    board: Board
    python: str  # "" where it is not at hand
    packages: Mapping[str, str]
    findings: tuple[Finding, ...]
    ready: Mapping[str, bool]  # run, learn, trt

    def to_json(self) -> dict[str, Any]:
        """`edgecl.doctor/1`"""
        board = self.board
        return {
            "format": DOCTOR_FORMAT,
            "profile": board.profile.name,
            "exact": board.exact,
            "model": board.model,
            "part": board.part,
            "l4t": board.l4t,
            "jetpack": board.jetpack.jetpack if board.jetpack else None,
            "gpu": board.gpu,
            "trt_road": board.profile.trt_road,
            "system": dict(board.system),
            "memory": asdict(board.memory) if board.memory else None,
            "power": _power_json(board),
            "temperatures_c": dict(board.temperatures_c),
            "python": self.python,
            "packages": dict(self.packages),
            "ready": dict(self.ready),
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass(frozen=True)
class Surroundings:
    """What cannot be read from files: this Python and its packages. Tests and recordings hand in their own."""

    python: str = field(default_factory=platform.python_version)
    packages: Mapping[str, str] = field(default_factory=installed)
    probe: Probe = ask


NOTHING_INSTALLED = Surroundings(python="", packages={}, probe=lambda module: {})
"""A board that is known by its files alone."""


def examine(board: Board, store: Path | None, surroundings: Surroundings | None = None) -> Report:
    """Look at everything; `store` is where the model lies or would lie, None where that disk is not at hand."""
    here = surroundings or Surroundings()
    answers = {module: here.probe(module) for module in ("torch", "onnxruntime", "tensorrt", "cv2")}
    checks: tuple[Callable[[], Finding | None], ...] = (
        lambda: _board(board),
        lambda: _engines(board),
        lambda: _memory(board),
        lambda: _power(board),
        lambda: _temperature(board),
        lambda: _python(board, here.python),
        lambda: _torch(board, answers["torch"]),
        lambda: _learning(board, here.packages, answers["torch"]),
        lambda: _runtime(board, here.packages, answers["onnxruntime"]),
        lambda: _tensorrt(board, answers["tensorrt"]),
        lambda: _camera(board, here.packages, answers["cv2"]),
        lambda: None if store is None else _disk(store),
    )
    findings = tuple(finding for check in checks if (finding := check()) is not None)
    level = {finding.topic: finding.level for finding in findings}
    fine = ("ok", "note")
    ready = {
        "run": bool(answers["onnxruntime"]) and "error" not in answers["onnxruntime"],
        "learn": level["torch"] in fine and level.get("learning", "ok") in fine and board.profile.learns,
        "trt": level.get("tensorrt") == "ok",
    }
    return Report(board, here.python, here.packages, findings, ready)


def _board(board: Board) -> Finding:
    words = [board.profile.title]
    words += [f"part {board.part}"] if board.part else []
    words += [f"JetPack {board.jetpack.jetpack} (L4T {board.l4t})"] if board.jetpack else [f"L4T {board.l4t}"] if board.l4t else []
    words += [f"{part} {version}" for part, version in board.system.items() if part != "jetpack"]
    words += [board.gpu] if board.gpu and board.profile.kind == "desktop" else []
    return Finding("board", "note" if board.notes else "ok", "; ".join([", ".join(words), *board.notes]))


def _engines(board: Board) -> Finding | None:
    """Boards whose TensorRT is too old for edgecl."""
    if (advice := trt_advice(board)) is not None:
        return Finding("engines", "note", advice)
    if board.profile.kind == "jetson" and board.profile.trt_road == "none":
        return Finding("engines", "note", "this board's TensorRT cannot read edgecl's graphs; run uses ONNX Runtime on the CPU")
    return None


def _memory(board: Board) -> Finding:
    if board.memory is None:
        return Finding("memory", "note", "Linux does not say (no /proc/meminfo)")
    found = f"{board.memory.available_mib} of {board.memory.total_mib} MiB free"
    reserve = board.profile.memory_reserve_mib
    if board.memory.available_mib < reserve:
        return Finding("memory", "note", f"{found}; learning leaves {reserve} MiB to other programs and has none left", ("free -m",))
    return Finding("memory", "ok", found)


def _power(board: Board) -> Finding | None:
    power = board.power
    if power is None:
        return None
    names = ", ".join(f"{number} {name}" for number, name in power.modes.items())
    if power.current is None:
        return Finding("power", "note", f"the mode is not told; there are {names}", ("sudo nvpmodel -q",))
    name = power.modes.get(power.current, f"mode {power.current}")
    fastest = [number for number, other in power.modes.items() if other.startswith("MAXN")]
    if fastest and power.current not in fastest:
        slower = f"{name}; {power.modes[fastest[-1]]} is faster where cooling and supply allow it (edgecl never changes the mode)"
        return Finding("power", "note", f"{slower}. There are {names}", (f"sudo nvpmodel -m {fastest[-1]}",))
    return Finding("power", "ok", name)


def _temperature(board: Board) -> Finding | None:
    zones = {name: value for name, value in board.temperatures_c.items() if name not in DEAD_ZONES}
    if not zones:
        return None
    hottest = max(zones, key=lambda name: zones[name])
    found = f"{zones[hottest]:.0f} C at {hottest}"
    return Finding("temperature", "note" if zones[hottest] >= HOT_C else "ok", found)


def _python(board: Board, python: str) -> Finding | None:
    wanted = board.jetpack.python if board.jetpack else None
    if wanted and version_tuple(wanted) < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        found = f"JetPack brings {wanted} and edgecl needs {oldest} or newer, beside which JetPack's packages cannot be used"
        return Finding("python", "note", f"{python}; {found}" if python else found)
    if python and wanted and version_tuple(python)[:2] != version_tuple(wanted)[:2]:
        return Finding("python", "wrong", f"{python}; PyTorch and TensorRT for this JetPack are built for {wanted}", (venv_line(board),))
    return Finding("python", "ok", python) if python else None


def _torch(board: Board, torch: Mapping[str, Any]) -> Finding:
    if not torch:
        return Finding("torch", "missing", "not installed; learn, init and export need it, run does not", learn_lines(board))
    if "error" in torch:
        return Finding("torch", "wrong", f"cannot be imported: {torch['error']}", torch_lines(board) or learn_lines(board))
    built = f"{torch['version']} for {'CUDA ' + str(torch['cuda']) if torch['cuda'] else 'the CPU'}"
    if torch["sees_gpu"]:
        return Finding("torch", "ok", f"{built}, sees {torch['device']}")
    if board.gpu is None:
        return Finding("torch", "ok", built)
    problem = f" ({torch['problem']})" if torch.get("problem") else ""
    found = f"{built}, does not see the GPU ({board.gpu}){problem}; learn stops unless it is given --device cpu"
    return Finding("torch", "wrong", found, torch_lines(board))


def _learning(board: Board, packages: Mapping[str, str], torch: Mapping[str, Any]) -> Finding | None:
    """What `learn` needs beside PyTorch."""
    if not board.profile.learns:
        return Finding("learning", "note", f"{board.profile.title} is for running; learn on another machine and bring the export")
    lacking = [name for name in ("torchvision", "timm", "onnx") if name not in packages]
    if lacking and torch:
        return Finding("learning", "missing", f"{', '.join(lacking)} not installed", learn_lines(board)[1:] or learn_lines(board))
    return None


def _runtime(board: Board, packages: Mapping[str, str], runtime: Mapping[str, Any]) -> Finding:
    both = "onnxruntime" in packages and "onnxruntime-gpu" in packages
    if not runtime:
        return Finding("onnxruntime", "missing", "not installed; run, verify and learn need it", runtime_lines(board, packages))
    if "error" in runtime:
        return Finding("onnxruntime", "wrong", f"cannot be imported: {runtime['error']}", runtime_lines(board, packages))
    lacking = [name for name in board.profile.providers if name not in runtime["providers"]]
    if lacking:
        beside = ", for onnxruntime lies over onnxruntime-gpu" if both else ""
        found = f"{runtime['version']} has no {', '.join(lacking)}{beside}; run would use the CPU"
        return Finding("onnxruntime", "wrong", found, runtime_lines(board, packages))
    return Finding("onnxruntime", "ok", f"{runtime['version']} with {', '.join(board.profile.providers)}")


def _tensorrt(board: Board, tensorrt: Mapping[str, Any]) -> Finding | None:
    if board.profile.trt_road != "trt":
        return None
    if not tensorrt:
        return Finding("tensorrt", "missing", "its Python package is not installed; export --trt needs it", tensorrt_lines(board))
    if "error" in tensorrt:
        return Finding("tensorrt", "wrong", f"cannot be imported: {tensorrt['error']}", tensorrt_lines(board))
    return Finding("tensorrt", "ok", str(tensorrt["version"]))


def _camera(board: Board, packages: Mapping[str, str], opencv: Mapping[str, Any]) -> Finding:
    wheels = [name for name in OPENCV_WHEELS if name in packages]
    if not opencv:
        return Finding("opencv", "missing", "not installed; videos and cameras need it, pictures do not", opencv_lines(board, ()))
    if "error" in opencv:
        return Finding("opencv", "wrong", f"cannot be imported: {opencv['error']}", opencv_lines(board, wheels))
    if board.profile.kind == "jetson" and not opencv["gstreamer"]:
        cause = f"{', '.join(wheels)} from pip lies over JetPack's" if wheels else "it was built so"
        found = f"{opencv['version']} has no GStreamer ({cause}); csi:// cameras do not open"
        return Finding("opencv", "wrong", found, opencv_lines(board, wheels))
    return Finding("opencv", "ok", f"{opencv['version']} {'with' if opencv['gstreamer'] else 'without'} GStreamer")


def _disk(store: Path) -> Finding:
    folder = next(place for place in (store.absolute(), *store.absolute().parents) if place.exists())
    kind, free_mib = file_system_of(folder), shutil.disk_usage(folder).free // 2**20
    found = f"{folder}: {kind or 'unknown file system'}, {free_mib} MiB free"
    if kind in UNFIT:
        return Finding("store", "wrong", f"{found}; it cannot hold a store", ("edgecl init /path/on/ext4 ...",))
    if free_mib < LOW_DISK_MIB:
        return Finding("store", "note", f"{found}; a learn needs some hundred", ("edgecl gc",))
    return Finding("store", "ok", found)


def _power_json(board: Board) -> dict[str, Any] | None:
    power = board.power
    if power is None:
        return None
    return {"current": power.current, "default": power.default, "modes": {str(number): name for number, name in power.modes.items()}}
