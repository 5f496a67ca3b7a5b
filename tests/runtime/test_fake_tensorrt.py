"""The fake TensorRT has what the real one has, and nothing else."""

import json
import re
import tempfile
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from edgecl.runtime.fake_tensorrt import FakeCuda, fake_tensorrt
from edgecl.runtime.fake_tensorrt.library import takes
from edgecl.runtime.session import make_logger
from edgecl.store import Store
from edgecl_export.engine import export_engine
from edgecl_export.to_tensorrt import road_of
from tests.runtime.bindings import FOLDER, VERSIONS, Unavailable, members, run_over_stubs, written

pytestmark = pytest.mark.usefixtures("no_waiting")
every_version = pytest.mark.parametrize("version", sorted(VERSIONS))
PRODUCTION = ("edgecl/runtime/refit.py", "edgecl/runtime/session.py", "edgecl/runtime/trt.py", "export/edgecl_export/to_tensorrt.py")
ROOT = Path(__file__).parents[2]


def used(store: Store, version: str, **options: Any) -> Any:
    """A fake after a whole life: both kinds built in both precisions, refitted, tested and run."""
    cuda = FakeCuda()
    trt = fake_tensorrt(version, cuda=cuda, **options)
    for precision in ("fp16", "fp32"):
        for kind in ("refit", "frozen"):
            for number in (1, 2):
                export_engine(store, number, trt=trt, cuda=cuda, precision=precision, kind=kind, workspace_mib=256)  # type: ignore[arg-type]
    return trt


@pytest.mark.slow
@every_version
def test_the_members_are_nvidias_own(version: str, tmp_path: Path) -> None:
    """Enums with their values, classes, properties and signatures in the JSON equal what NVIDIA's bindings of that version have."""
    try:
        found = members(version, tmp_path)
    except Unavailable as reason:
        pytest.skip(str(reason))
    path = FOLDER / f"{version}.json"
    behaviours = fake_tensorrt(version).behaviours
    assert path.read_text(encoding="utf-8") == written({**found, "behaviours": behaviours})


@pytest.mark.slow
@every_version
def test_our_code_on_nvidias_own_bindings(version: str, tmp_path: Path) -> None:
    """What needs no GPU runs on the real enums and classes: the logger, the road, weights in both types, and a builder that cannot start."""
    try:
        found = json.loads(run_over_stubs(version, tmp_path, Path(__file__).with_name("on_real_bindings.py"), ROOT, ROOT / "export"))
    except Unavailable as reason:
        pytest.skip(str(reason))
    fake: Any = fake_tensorrt(version)
    assert found["road"] == list(astuple(road_of(fake)))
    assert found["errors"] == ["kept", "kept, too"]
    assert found["weights"] == [["FLOAT", 6, "float32"], ["HALF", 6, "float16"]]
    assert found["refused"] == "the engine holds w as 6 values of type DataType.INT8, the version has 6 of float32"
    assert found["start"].startswith(f"TensorRT {fake.__version__} cannot start (")


@every_version
def test_the_code_touches_only_what_exists(store: Store, version: str) -> None:
    """A whole life uses more than thirty members, each of them real, each called as one of its signatures allows."""
    trt = used(store, version)
    assert len(trt.touched) > 30
    for method, positional, keywords in trt.calls:
        kind, _, name = method.partition(".")
        signatures = trt._fields["classes"][kind]["methods"][name]
        assert any(takes(signature, positional, keywords) for signature in signatures), (method, positional, signatures)


def test_every_name_in_the_sources_was_touched_or_probed(store: Store) -> None:
    """What the four files write as `trt.Something.MEMBER` or call on TensorRT's objects is a member of 10.3 or of 11.4, read or probed."""
    sources = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in PRODUCTION)
    old, new = used(store, "10.3"), used(store, "11.4")
    for fake, name in ((fake, name) for fake in (old, new) for name in re.findall(r"\btrt\.([A-Z]\w+)", sources)):
        assert hasattr(fake, name), name
    for kind, member in re.findall(r"\btrt\.([A-Z]\w+)\.([A-Z][A-Z0-9_]+)\b", sources):
        assert hasattr(getattr(old, kind), member) or hasattr(getattr(new, kind), member), f"{kind}.{member}"
    holders = {
        "builder": "Builder", "network": "INetworkDefinition", "config": "IBuilderConfig", "parser": "OnnxParser", "layer": "ILayer",
        "profile": "IOptimizationProfile", "engine": "ICudaEngine", "_engine": "ICudaEngine", "_context": "IExecutionContext",
        "refitter": "Refitter", "cache": "ITimingCache", "prototype": "Weights",
    }  # fmt: skip
    called = {f"{holders[holder]}.{name}" for holder, name in re.findall(rf"\b({'|'.join(holders)})\.([a-z]\w+)", sources)}
    failing = {"OnnxParser.num_errors", "OnnxParser.get_error"}  # asked when a graph cannot be parsed, below
    assert len(called) > 25
    assert called - failing <= old.touched


def test_an_attribute_that_a_version_lacks_is_an_error() -> None:
    """11.4 has no FP16 flag, no EXPLICIT_BATCH and no platform_has_fast_fp16; 10.3 has all three."""
    for version, there in (("10.3", True), ("11.4", False)):
        trt = fake_tensorrt(version)
        builder = trt.Builder(make_logger(trt))  # type: ignore[attr-defined]
        assert hasattr(trt.BuilderFlag, "FP16") is there  # type: ignore[attr-defined]
        assert hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH") is there  # type: ignore[attr-defined]
        if there:
            with pytest.raises(NotImplementedError, match=r"does not act out Builder\.platform_has_fast_fp16"):
                builder.platform_has_fast_fp16  # noqa: B018 - the access is the point
        else:
            with pytest.raises(AttributeError, match=r"'tensorrt\.Builder' object has no attribute 'platform_has_fast_fp16'"):
                builder.platform_has_fast_fp16  # noqa: B018 - the access is the point


@every_version
def test_a_call_that_no_signature_takes_is_an_error(version: str) -> None:
    """One argument too few, one too many, a keyword that is not there, a property that cannot be set, a class that cannot be made."""
    trt: Any = fake_tensorrt(version)
    builder = trt.Builder(make_logger(trt))
    with pytest.raises(TypeError, match=r"create_network\(\): incompatible function arguments"):
        builder.create_network(0, 0)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        builder.build_serialized_network(builder.create_network(0))
    with pytest.raises(TypeError, match="incompatible function arguments"):
        builder.create_network(flag=0)
    with pytest.raises(AttributeError, match="can't set attribute 'num_DLA_cores'"):
        builder.num_DLA_cores = 1
    with pytest.raises(TypeError, match="incompatible function arguments"):
        trt.ICudaEngine()


@pytest.mark.parametrize(
    ("signature", "positional", "keywords", "fits"),
    [
        ("() -> int", 0, (), True),
        ("() -> int", 1, (), False),
        ("(model: buffer, path: str = None) -> bool", 1, (), True),
        ("(model: buffer, path: str = None) -> bool", 1, ("path",), True),
        ("(model: buffer, path: str = None) -> bool", 0, ("path",), False),
        ("(model: buffer, path: str = None) -> bool", 3, (), False),
        ("(a: Dict[str, int], b: Tuple[int, int]) -> List[str]", 2, (), True),
        ("(a: Dict[str, int], b: Tuple[int, int]) -> List[str]", 3, (), False),
        ("(a: int) -> bool", 1, ("a",), False),
    ],
)
def test_signatures_are_read(signature: str, positional: int, keywords: tuple[str, ...], fits: bool) -> None:
    """Commas within brackets do not separate, defaults need not be given, nothing may be given twice."""
    assert takes(signature, positional, keywords) is fits


def test_a_graph_that_cannot_be_parsed_has_its_errors() -> None:
    """The parser says false and tells why."""
    trt: Any = fake_tensorrt("10.16")
    logger = make_logger(trt)
    parser = trt.OnnxParser(trt.Builder(logger).create_network(0), logger)
    with tempfile.TemporaryDirectory() as place:
        assert not parser.parse_from_file(f"{place}/model.onnx")
    assert "No such file" in parser.get_error(parser.num_errors - 1).desc()


def test_every_bug_names_its_source() -> None:
    """The JSON of each version has, for each bug, the place where it was reported; unknown bugs are refused."""
    for version in VERSIONS:
        bugs = fake_tensorrt(version).behaviours["bugs"]
        assert len(bugs) >= 7
        assert all(re.search(r"(issues?|request) \d+|I\w+\.\w+|documentation|\w+\.\w+_\w+", source) for source in bugs.values())
    with pytest.raises(ValueError, match=r"is not said to have the bugs \['eats_pictures'\]"):
        fake_tensorrt("10.3", bugs={"eats_pictures"})
