"""ONNX Runtime on a GPU: which provider is taken, what it is told, and that none is taken silently.

onnxruntime itself is replaced where it would need a GPU; what the real one does there is not shown here.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecl.errors import GpuFailed, MissingExtra
from edgecl.runtime import ort
from edgecl.runtime.ort import CPU, CUDA, TENSORRT, OrtPredictor
from edgecl.store.reading import file_sha256
from tests.runtime.tiny import plain, write_version


class Runtime:
    """onnxruntime with other providers; sessions are real ones on the CPU that say they are something else."""

    def __init__(self, real: Any, *available: str, taken: list[str] | None = None) -> None:
        self._real, self._available, self._taken = real, list(available), taken
        self.asked: list[Any] = []
        self.SessionOptions = real.SessionOptions

    def get_available_providers(self) -> list[str]:
        return self._available

    def InferenceSession(self, path: str, options: Any, *, providers: list[Any]) -> Any:
        self.asked.append(providers)
        session = self._real.InferenceSession(path, options, providers=[CPU])
        taken = self._taken or [providers[0][0], CPU]
        session.get_providers = lambda: taken
        return session


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`runtime(*available, taken=...)` puts a replaced onnxruntime in place."""
    real = ort._import_onnxruntime()

    def put(*available: str, taken: list[str] | None = None) -> Runtime:
        made = Runtime(real, *available, taken=taken)
        monkeypatch.setattr(ort, "_import_onnxruntime", lambda: made)
        return made

    return put


def test_the_first_that_is_there_is_taken_and_known(runtime: Any, version: Path) -> None:
    """CUDA before the CPU, told to compute without TF32; `provider` says so, and it answers."""
    fake = runtime(CUDA, CPU)
    predictor = OrtPredictor(providers=(CUDA, CPU))
    predictor.load(version)
    assert predictor.provider == CUDA
    assert fake.asked == [[(CUDA, {"use_tf32": "0"})]]
    assert predictor.infer(plain("red"))[0].shape == (1, 16)


def test_one_that_is_passed_over_is_told() -> None:
    """On this machine there is only the CPU: the sentence says what is missing and what there is."""
    said: list[str] = []
    predictor = OrtPredictor(providers=(CUDA, CPU), on_skip=said.append)
    assert predictor.provider == CPU
    assert len(said) == 1
    assert said[0].startswith(f"the installed onnxruntime has no {CUDA}, only ")
    assert said[0].endswith("Run: edgecl doctor")


def test_none_that_is_there_is_an_error() -> None:
    """Who asks for CUDA alone does not get the CPU."""
    with pytest.raises(MissingExtra, match=rf"onnxruntime has none of the providers {CUDA}; it has .*{CPU}"):
        OrtPredictor(providers=(CUDA,))


def test_a_silent_fall_back_to_the_cpu_is_an_error(runtime: Any, version: Path) -> None:
    """onnxruntime opens a session on the CPU when CUDA does not start; here that is exit code 3, and what was loaded stays."""
    runtime(CUDA, CPU)
    predictor = OrtPredictor(providers=(CUDA, CPU))
    predictor.load(version)
    before = predictor.infer(plain("red"))[0]
    fake = runtime(CUDA, CPU, taken=[CPU])
    predictor._runtime = fake
    with pytest.raises(GpuFailed, match=rf"could not start its {CUDA} and took {CPU} instead"):
        predictor.load(version)
    np.testing.assert_array_equal(predictor.infer(plain("red"))[0], before)


def test_the_tensorrt_provider_has_a_folder_per_weights(runtime: Any, tmp_path: Path) -> None:
    """Two versions of one graph have two engine folders, named by the hash of their weights; the same version has the same."""
    fake = runtime(TENSORRT, CUDA, CPU)
    first, second = write_version(tmp_path / "000001"), write_version(tmp_path / "000002", gain=21.0)
    assert (first / "model.onnx").read_bytes() == (second / "model.onnx").read_bytes()
    for folder in (first, second, first):
        predictor = OrtPredictor(providers=(TENSORRT, CUDA), cache=tmp_path / "engines")
        predictor.load(folder)
        assert predictor.provider == TENSORRT
    places = [providers[0][1]["trt_engine_cache_path"] for providers in fake.asked]
    assert places[0] == places[2] != places[1]
    assert places[0] == str(tmp_path / "engines" / f"ort-{file_sha256(first / 'weights.safetensors')[:16]}")
    assert Path(places[1]).is_dir()
    assert all(providers[0][1]["trt_engine_cache_enable"] == "1" for providers in fake.asked)


def test_without_a_folder_the_tensorrt_provider_is_passed_over(runtime: Any) -> None:
    """An engine that is not kept would be built at every start; the next provider is taken and the reason told."""
    runtime(TENSORRT, CUDA, CPU)
    said: list[str] = []
    assert OrtPredictor(providers=(TENSORRT, CUDA), on_skip=said.append).provider == CUDA
    assert said == [f"{TENSORRT} needs a folder for its engines, which belong to one weights file each"]


@pytest.mark.gpu
def test_on_a_real_gpu(version: Path) -> None:
    """onnxruntime-gpu answers on CUDA as the CPU does. Has run nowhere yet."""
    try:
        predictor = OrtPredictor(providers=(CUDA,))
    except MissingExtra as reason:
        pytest.skip(str(reason))
    predictor.load(version)
    reference = OrtPredictor(threads=1)
    reference.load(version)
    np.testing.assert_allclose(predictor.infer(plain("red", 3))[0], reference.infer(plain("red", 3))[0], rtol=1e-4, atol=1e-3)
