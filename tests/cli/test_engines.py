"""`edgecl export --trt`, `edgecl export --deepstream` and `edgecl run --runtime` as a person types them, with TensorRT faked."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecl.cli import main
from edgecl.errors import MissingExtra
from edgecl.runtime import choosing, cudart, trt
from edgecl.runtime.fake_tensorrt import FakeCuda, fake_tensorrt
from edgecl.runtime.fake_tensorrt.library import FakeTensorrt
from edgecl.runtime.rebuild import Rebuild
from edgecl.store import Store


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> FakeTensorrt:
    """TensorRT 10.16 and a GPU where the commands look for them; the board is a desktop GPU."""
    cuda = FakeCuda()
    library = fake_tensorrt("10.16", cuda=cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", library)  # type: ignore[arg-type]
    monkeypatch.setattr(cudart, "Cudart", lambda: cuda)
    monkeypatch.setattr(trt, "Cudart", lambda: cuda)
    monkeypatch.setenv("EDGECL_PROFILE", "desktop-gpu")
    return library


@pytest.mark.usefixtures("place", "tensorrt")
def test_export_then_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The engine is built and told with its self-test; a run with --runtime trt says on stderr what it runs in, and answers as ONNX Runtime."""
    assert main(["export", "--trt", "--engine", "refit"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("version 1 in TensorRT 10.16.1.11, fp16, refit: built in ")
    assert out[1].startswith("self-test: probabilities differ by ")
    assert out[2].startswith("engines/") and "edgecl run --runtime trt" in out[2]  # noqa: PT018 - one line, two halves
    answers = {}
    for runtime in ("trt", "ort"):
        assert main(["run", "--source", "colours/red/0.jpg", "--runtime", runtime, "--json"]) == 0
        found, err = capsys.readouterr()
        answers[runtime] = json.loads(found)
        assert f"running in {'TensorRT' if runtime == 'trt' else 'ONNX Runtime'} (" in err
    assert answers["trt"]["label"] == answers["ort"]["label"]
    assert answers["trt"]["score"] == pytest.approx(answers["ort"]["score"], abs=5e-3)
    assert main(["export", "--trt", "--engine", "refit"]) == 0
    assert "was there and took the version's weights" in capsys.readouterr().out


@pytest.mark.usefixtures("place", "tensorrt")
def test_json_has_the_engine(capsys: pytest.CaptureFixture[str]) -> None:
    """One object: the engine as its JSON describes it, the self-test's figures, what refitting costs; a frozen engine on request."""
    assert main(["export", "--trt", "--engine", "frozen", "--precision", "fp32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["built"], found["ratio"]) == ("edgecl.built/1", True, None)
    assert (found["engine"]["kind"], found["engine"]["precision"]) == ("frozen", "fp32")
    assert found["selftest"]["relative"] < 1e-3
    path = Store.open(Path("model")).root / "engines" / found["engine"]["name"]
    assert path.is_file()
    assert json.loads(path.with_suffix(".json").read_text()) == found["engine"]
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    assert [
        key for part in (found, found["engine"], found["engine"]["gpu"], found["selftest"]) for key in part if f'"{key}"' not in page
    ] == []


@pytest.mark.usefixtures("place")
def test_an_engine_that_answers_otherwise_is_3(tensorrt: FakeTensorrt, capsys: pytest.CaptureFixture[str]) -> None:
    """With --engine refit nothing else is tried; the message says what to do."""
    tensorrt.bugs = frozenset({"swaps_weights"})
    assert main(["export", "--trt", "--engine", "refit"]) == 3
    err = capsys.readouterr().err
    assert "the refit engine in fp16 cannot serve version 1: its self-test failed" in err
    assert "edgecl run --runtime ort always does" in err


@pytest.mark.usefixtures("place")
def test_an_old_board_gets_onnx_and_the_trtexec_line(capsys: pytest.CaptureFixture[str]) -> None:
    """--device xavier-nx: the profile's opset and precision, and on stderr why no engine is built."""
    assert main(["export", "--trt", "--device", "xavier-nx"]) == 0
    out, err = capsys.readouterr()
    assert "as ONNX opset 16, fp16" in out
    assert "trtexec --onnx=" in out
    assert "--fp16" in out
    assert "builds engines by trtexec from an ONNX export" in err


@pytest.mark.usefixtures("place")
def test_deepstream_is_one_command(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its folder has nvinfer's configuration and labels; the comparison is printed."""
    assert main(["export", "--deepstream", "--precision", "fp16", "--out", "out"]) == 0
    out = capsys.readouterr().out
    assert {path.name for path in (place / "out").iterdir()} == {
        "model.onnx", "weights.safetensors", "labels.txt", "export.json", "nvinfer.txt", "nvinfer-labels.txt",
    }  # fmt: skip
    assert "merged weights -> ONNX Runtime: differs by" in out


@pytest.mark.usefixtures("place", "tensorrt")
def test_the_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--device and --runtime beat EDGECL_PROFILE and EDGECL_RUNTIME."""
    monkeypatch.setenv("EDGECL_RUNTIME", "trt")
    assert main(["run", "--source", "colours/red/0.jpg"]) == 3
    assert "has no TensorRT engine yet" in capsys.readouterr().err
    assert main(["run", "--source", "colours/red/0.jpg", "--runtime", "ort"]) == 0
    capsys.readouterr()
    assert main(["export", "--trt", "--device", "cpu"]) == 8
    assert "has no TensorRT, so there is nothing to build for it. Use: edgecl export --onnx" in capsys.readouterr().err


@pytest.mark.usefixtures("place", "tensorrt")
@pytest.mark.parametrize(("more", "builds"), [([], False), (["--loop"], True)])
def test_only_a_run_without_an_end_has_engines_built(more: list[str], builds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that ends is answered in what is there; a camera, or --loop, is worth a child process that builds for minutes."""
    asked = []

    class Asked(choosing.AnyPredictor):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            asked.append(options["rebuild"])
            raise MissingExtra("enough")

    monkeypatch.setattr(choosing, "AnyPredictor", Asked)
    assert main(["run", "--source", "colours/red", *more]) == 8
    assert asked == [Rebuild if builds else None]
