"""Imports run one way, and heavy packages stay where they belong."""

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).parents[1]

# A file may import its own rung and those above it in this list. A name is a module or a whole package of edgecl; `edgecl` is the root.
LADDER = (
    "edgecl errors settings architecture manifest typed tensors",
    "backbones preprocess profile device merge head lora layout adapter gaussians spread sensors economy",
    "pictures split backbone memory store runtime install installed doctor hardware",
    # The learners' own parts stand on its rung: start, begin, lesson, augment, training, search, outcome, canary, serve, sight, guard, resume.
    "learner paper start begin lesson augment training search outcome canary serve sight guard resume "
    "gate calibrate evaluate forget report bundle web demo",
    "edgecl_export",
    "cli __main__",
)

# Who may import a package that is heavy or has its own place.
FENCED = {
    "torch": "edgecl.lora edgecl.backbone edgecl.learner edgecl.paper edgecl.training edgecl.runtime.eager",
    "timm": "edgecl.backbone",
    "onnx": "edgecl_export edgecl.runtime.fake_tensorrt.building",
    "onnxruntime": "edgecl.runtime edgecl_export",
    "cv2": "edgecl.runtime",
    "paho": "edgecl.runtime.outputs",
    "starlette": "edgecl.web",
    "uvicorn": "edgecl.web",
    "anyio": "edgecl.web",
    "prometheus_client": "edgecl.web",
    "tensorrt": "edgecl.runtime edgecl_export",
    "typer": "edgecl.cli",
    "jinja2": "edgecl.report",
    "rich": "edgecl.cli",
    "cryptography": "edgecl.bundle",
}
RUNGS = {name: rung for rung, names in enumerate(LADDER) for name in names.split()}


def tree() -> dict[str, str]:
    """Dotted module name -> source of everything that is installed."""
    found = {}
    for base, package in ((ROOT, "edgecl"), (ROOT / "export", "edgecl_export")):
        for path in sorted((base / package).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def imports(source: str) -> set[str]:
    """What a file imports, at its top or inside a function; `from a import b` is both `a` and `a.b`, a relative import is `.`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." if node.level else str(node.module)
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def box(module: str) -> str:
    """`edgecl.runtime.ort` -> `runtime`, `edgecl` -> `edgecl`, `edgecl_export.graph` -> `edgecl_export`."""
    top, *rest = module.split(".")
    return rest[0] if top == "edgecl" and rest else top


def faults(modules: dict[str, str]) -> list[str]:
    """Each import that runs the wrong way, leaves its fence, or closes a circle, in words."""
    found = [f"{module} is on no rung" for module in modules if box(module) not in RUNGS]
    knots: dict[str, set[str]] = {}
    for module, source in modules.items():
        wanted = imports(source)
        ours = {name for name in wanted if name.split(".")[0] in ("edgecl", "edgecl_export")}
        found += [f"{module} imports relatively" for name in wanted if name == "."]
        for name in sorted(ours):
            if box(module) in RUNGS and RUNGS.get(box(name), -1) > RUNGS[box(module)]:
                found.append(f"{module} imports {name}, which stands above it")
        for name in sorted({name.split(".")[0] for name in wanted} & set(FENCED)):
            if not any(f"{module}.".startswith(f"{place}.") for place in FENCED[name].split()):
                found.append(f"{module} imports {name}")
        knots[module] = (ours & set(modules)) - {module}
    try:
        graphlib.TopologicalSorter(knots).prepare()
    except graphlib.CycleError as error:
        found.append(f"a circle: {' <- '.join(error.args[1])}")
    return found


def test_imports_run_one_way() -> None:
    """Every module stands on a rung and imports only its own rung and lower ones; heavy packages stay inside their fences."""
    assert faults(tree()) == []


def test_each_kind_of_fault_is_found() -> None:
    """The check sees an upward import (also inside a function), a fenced package, a circle, a relative import and an unknown module."""
    assert faults({"edgecl.merge": "def f():\n    from edgecl.store import Store\n"}) == [
        "edgecl.merge imports edgecl.store, which stands above it",
        "edgecl.merge imports edgecl.store.Store, which stands above it",
    ]
    assert faults({"edgecl.store.writing": "import torch.nn"}) == ["edgecl.store.writing imports torch"]
    assert faults({"edgecl.head": "from edgecl.merge import merge", "edgecl.merge": "from edgecl import head"})[0].startswith("a circle: ")
    assert faults({"edgecl.head": "from .merge import merge"}) == ["edgecl.head imports relatively"]
    assert faults({"edgecl.extras": ""}) == ["edgecl.extras is on no rung"]


def test_no_file_is_a_drawer() -> None:
    """No module is called utils, helpers, common or misc."""
    assert [m for m in tree() if m.rpartition(".")[2].strip("_") in ("utils", "util", "helpers", "helper", "common", "misc")] == []


def test_the_root_imports_nothing() -> None:
    """`import edgecl` runs no other module."""
    assert imports(tree()["edgecl"]) == set()
