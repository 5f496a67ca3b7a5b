"""Building an engine in a process of its own: the real command line, over a package `tensorrt` that is the fake."""

import os
import sys
import textwrap
import time
from pathlib import Path

import pytest

from edgecl.runtime import rebuild
from edgecl.runtime.engines import listed
from edgecl.runtime.rebuild import Ended, Rebuild, rebuild_command
from edgecl.store import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on every child's path with a package `tensorrt`; the child finds the C stub as its libcudart."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT), str(ROOT / "export")]))
    monkeypatch.setenv("EDGECL_PROFILE", "desktop-gpu")
    return folder


def put_fake(folder: Path, **options: object) -> None:
    """`import tensorrt` gives the fake of 10.16 in the child."""
    (folder / "tensorrt.py").write_text(
        textwrap.dedent(f"""
        import sys
        from edgecl.runtime.cudart import Gpu
        from edgecl.runtime.fake_tensorrt import FakeCuda, fake_tensorrt
        sys.modules["tensorrt"] = fake_tensorrt("10.16", cuda=FakeCuda(Gpu("Stub GPU 3", (8, 7), 8)), **{options!r})
        """)
    )


def ended(child: Rebuild) -> Ended:
    """Wait by polling, as the app does."""
    deadline = time.monotonic() + 120
    while (found := child.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_a_child_builds_the_engine(store: Store, packages: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`edgecl export --trt` in a child leaves a tested engine in the store, through the real ctypes layer; poll says so."""
    put_fake(packages)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    monkeypatch.setenv("CUDART_STUB_FAIL", "cudaStreamBeginCapture")  # the stub cannot launch what it captured
    found = ended(Rebuild(store, 2, precision="fp32"))
    assert found.code == 0, found.said
    assert found.sentence == "the engine was built"
    assert {facts.precision for facts in listed(store.root)} == {"fp32"}
    assert {facts.gpu.name for facts in listed(store.root)} == {"Stub GPU 3"}


@pytest.mark.slow
def test_how_a_child_failed_is_a_sentence(store: Store, packages: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit code and its last line."""
    put_fake(packages, bugs=("never_builds",))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    found = ended(Rebuild(store, 2))
    assert found.code == 3
    assert found.sentence.startswith("building the engine ended with 3: error: TensorRT 10.16.1.11 could not build the frozen engine")
    assert listed(store.root) == []


def test_a_killed_child_is_a_sentence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's way of saying that the memory is short; and stopping a child that runs."""
    monkeypatch.setattr(rebuild, "rebuild_command", lambda *_, **__: [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert ended(Rebuild(store, 2)) == Ended(-9, "")
    assert Ended(-9, "").sentence == "building the engine was killed by signal 9, for its memory perhaps: it said nothing"
    monkeypatch.setattr(rebuild, "rebuild_command", lambda *_, **__: [sys.executable, "-c", "import time; time.sleep(60)"])
    child = Rebuild(store, 2)
    assert child.poll() is None
    child.stop()
    child.stop()
    assert ended(child).code == -15


def test_the_command_is_one_that_edgecl_has(store: Store) -> None:
    """Low priority, this Python, and options that `edgecl export` knows."""
    command = rebuild_command(store, 7, precision="fp16")
    assert command[command.index("-m") :] == [
        "-m", "edgecl", "export", "--trt", "--store", str(store.root), "--version", "7", "--precision", "fp16", "--json",
    ]  # fmt: skip
    assert command[0].endswith("nice")
