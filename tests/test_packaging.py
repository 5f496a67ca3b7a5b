"""What an installation brings along, and how little starting the command line loads."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "torchvision", "timm", "onnx", "onnxruntime", "tensorrt", "cv2", "PIL", "numpy", "rich"}


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python on its own: nothing of the clone is on its path but what the installation under test puts there."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True)


def test_every_package_is_listed() -> None:
    """`packages` in pyproject.toml names each folder with Python files, under the name by which it is imported."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = {"edgecl.devices"}
    for base in (ROOT, ROOT / "export"):
        for top in ("edgecl", "edgecl_export"):
            found |= {".".join(path.parent.relative_to(base).parts) for path in (base / top).rglob("*.py")}
    assert listed == sorted(found)


def test_starting_the_command_line_loads_nothing_heavy() -> None:
    """`import edgecl.cli` imports typer and edgecl's own light files, and no package that computes."""
    code = "import sys, edgecl.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = python("-c", code, cwd=ROOT).stdout.split()
    assert "edgecl" in loaded
    assert HEAVY & set(loaded) == set()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, the wheel that was built from it, and in `editable/` an editable wheel of a copy of the tree."""
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    for name in ("edgecl", "export", "devices"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    code = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
    python("-c", code, "build_sdist", str(folder), cwd=tree)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder)
    python("-c", code, "build_wheel", str(folder), cwd=next(path for path in folder.glob("edgecl-*") if path.is_dir()))
    (folder / "editable").mkdir()
    python("-c", code, "build_editable", str(folder / "editable"), cwd=tree)
    return folder


def wheel_of(folder: Path) -> zipfile.ZipFile:
    """The wheel in `folder`, opened."""
    return zipfile.ZipFile(next(folder.glob("*.whl")))


@pytest.mark.slow
def test_the_wheel_holds_the_library_the_exporter_and_the_devices(built: Path) -> None:
    """A wheel built from the sdist has all packages, their type markers and the licence, and no tests."""
    with wheel_of(built) as wheel:
        names = set(wheel.namelist())
    wanted = {
        "edgecl/backbones/edgecl_vit_nano.md",
        "edgecl/backbones/edgecl_vit_nano.safetensors",
        "edgecl/cli/__init__.py",
        "edgecl/py.typed",
        "edgecl/devices/__init__.py",
        "edgecl/devices/_jetpack.toml",
        "edgecl/devices/_sources.toml",
        "edgecl/devices/orin-nano-8.toml",
        "edgecl/report/page.css",
        "edgecl/report/page.html.j2",
        "edgecl_export/__init__.py",
        "edgecl_export/py.typed",
    }
    assert wanted <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"edgecl", "edgecl_export"}
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "edgecl").rglob("*.py")}
    ours |= {str(path.relative_to(ROOT)) for path in (ROOT / "edgecl" / "web" / "static").iterdir()}
    assert ours <= names


@pytest.mark.slow
def test_a_plain_installation_requires_nothing_that_computes(built: Path) -> None:
    """Without an extra, neither torch nor ONNX Runtime nor TensorRT is required; each extra names what it brings."""
    with wheel_of(built) as wheel:
        metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("METADATA"))).decode()
    required = re.findall(r"^Requires-Dist: ([A-Za-z0-9-]+)(.*)$", metadata, re.MULTILINE)
    plain = {name for name, rest in required if "extra ==" not in rest}
    assert plain == {"numpy", "pillow", "rich", "safetensors", "tomli", "typer"}
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])
    assert (
        set(re.findall(r"^Provides-Extra: (.*)$", metadata, re.MULTILINE)) == extras >= {"learn", "run", "run-gpu", "trt", "camera", "dev"}
    )
    assert "onnxruntime" in {name for name, rest in required if '"learn"' in rest or "'learn'" in rest}


@pytest.mark.slow
def test_the_mapped_packages_can_be_imported_from_wheel_and_editable_install(built: Path, tmp_path: Path) -> None:
    """`edgecl.devices` and `edgecl_export`, which lie elsewhere in the tree, are found after either kind of installation."""
    for kind, folder in (("wheel", built), ("editable", built / "editable")):
        target = tmp_path / kind
        with wheel_of(folder) as wheel:
            wheel.extractall(target)
        # -S: an edgecl that is installed where the tests run must not be found; addsitedir reads the .pth file of an editable install.
        packages = [sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
        code = f"import site, sys; site.addsitedir({str(target)!r}); sys.path += {packages!r}; "
        code += "import edgecl.devices, edgecl_export, edgecl.cli; print(edgecl.cli.__file__)"
        place = Path(python("-S", "-c", code, cwd=tmp_path).stdout.strip())
        assert place.is_relative_to(target if kind == "wheel" else built / "tree")
