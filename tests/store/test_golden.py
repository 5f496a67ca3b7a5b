"""One store of each format, made once and committed: every later edgecl must read, serve, rebuild and continue it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgecl.manifest import manifest_to_json
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.selftest import self_test
from edgecl.settings import AdapterShape, GateSettings, MemorySettings
from edgecl.store import Settings, Store
from edgecl.store.formats import FORMATS, newest
from edgecl.store.history import log, log_json, promote, rollback
from edgecl.store.verify import verify
from tests.store.builders import snapshot

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(params=["1", "2"])
def number(request: pytest.FixtureRequest) -> str:
    """The format's."""
    return str(request.param)


@pytest.fixture
def golden(number: str, tmp_path: Path) -> Store:
    """A copy of the golden store of that format."""
    shutil.copytree(GOLDEN / f"store-{number}", tmp_path / "model", symlinks=True)
    return Store.open(tmp_path / "model")


@pytest.fixture
def expected(number: str) -> dict[str, object]:
    """What that store said when it was made."""
    fields: dict[str, object] = json.loads((GOLDEN / f"expected-{number}.json").read_text(encoding="utf-8"))
    return fields


def test_there_is_one_of_every_format(number: str) -> None:
    """A format that is written has its golden store, and the store is of it."""
    facts = json.loads((GOLDEN / f"store-{number}" / "edgecl.json").read_text(encoding="utf-8"))
    assert facts["format"] == f"edgecl.store/{number}"
    assert f"store-{len(FORMATS['store'])}" in {path.name for path in GOLDEN.iterdir()}


def test_it_opens_and_is_whole(golden: Store) -> None:
    """Facts, settings, state, pointers, and every byte; reading changes nothing."""
    before = snapshot(golden.root)
    assert golden.facts.architecture.backbone == "vit_golden"
    assert (golden.facts.capacity, golden.facts.source) == (16, "golden.safetensors")
    assert golden.facts.adapter == AdapterShape(rank=2, alpha=4.0, first_block=1)
    assert golden.settings() == Settings(memory=MemorySettings(per_class=2, budget_mib=1.0), gate=GateSettings(max_drop=0.05))
    assert (golden.numbers(), golden.current, golden.good) == ([0, 1, 2, 3], 2, 1)
    assert golden.state() == {"format": newest("state"), "next_version": 4, "promoted": [0, 1, 2], "failed": {"3": "made up"}}
    assert verify(golden, deep=True) == []
    assert snapshot(golden.root) == before


def test_its_history_reads_as_it_was_written(golden: Store, expected: dict[str, object]) -> None:
    """The log and the deterministic hashes are those of the day it was made."""
    assert json.loads(json.dumps(log_json(log(golden)))) == expected["log"]
    assert {str(number): golden.manifest(number).deterministic for number in golden.numbers()} == expected["deterministic"]
    for number in golden.numbers():
        written = json.loads((golden.folder(number) / "manifest.json").read_text(encoding="utf-8"))
        assert json.loads(json.dumps(manifest_to_json(golden.manifest(number)))) == written


def test_every_version_is_rebuilt_bit_equal(golden: Store) -> None:
    """From backbone, adapters and head alone, on whatever machine this runs."""
    for number in golden.numbers():
        path = golden.folder(number) / "weights.safetensors"
        path.unlink(missing_ok=True)
        assert golden.rebuild(number)
        assert path.stat().st_size == golden.manifest(number).files["weights.safetensors"].bytes
    assert verify(golden, deep=True) == []


def test_its_canaries_pass(golden: Store) -> None:
    """ONNX Runtime answers with the graphs and weights of then what it answered then."""
    pytest.importorskip("onnxruntime")
    promote(golden, 3)
    predictor = OrtPredictor(threads=1)
    for number in golden.numbers():
        predictor.load(golden.folder(number))
        result = self_test(predictor, golden.folder(number), golden.manifest(number).rows())
        assert result.passed, result.reason
    predictor.close()


def test_it_goes_on(golden: Store) -> None:
    """Rolling back works, and the next number is the one after all that ever were."""
    assert rollback(golden) == 1
    assert golden.next_number() == 4
    assert [entry.name for entry in golden.manifest(1).classes] == ["cola", "müsli"]
    assert all(golden.picture(picture.hash).startswith(b"\xff\xd8") for picture in golden.memory(3))
    [(adapter, coefficients)] = golden.adapters(golden.manifest(1).recipe)
    assert coefficients == {"*": 0.75, "blocks.1.attn.proj": 0.5}
    changed = golden.merged_state(golden.manifest(1).recipe)["blocks.1.attn.proj.weight"] - golden.base()["blocks.1.attn.proj.weight"]
    vector = 2.0 * adapter.b["blocks.1.attn.proj"].astype(np.float64) @ adapter.a["blocks.1.attn.proj"].astype(np.float64)
    np.testing.assert_allclose(changed, 0.5 * vector, atol=1e-6)
