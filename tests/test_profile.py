"""The files of devices/ are read strictly, and their numbers say where they come from."""

import dataclasses
from pathlib import Path

import pytest

from edgecl.errors import BadSettings
from edgecl.profile import (
    DeviceProfile,
    load_jetpacks,
    load_profile,
    load_sources,
    parse_jetpacks,
    parse_profile,
    profile_names,
    version_tuple,
)

SOURCES = {"book": "a book", "choice": "a choice"}
BOARD = """
format = "edgecl.device/1"
title = "A board"
kind = "cpu"
[run]
trt_road = { value = "none", source = "choice" }
opset = { value = 18, source = "choice" }
precision = { value = "fp32", source = "choice" }
providers = { value = ["CPUExecutionProvider"], source = "choice" }
[learn]
learns = { value = true, source = "choice" }
memory_reserve_mib = { value = 100, source = "book", verified = false }
"""
RELEASES = (Path(__file__).parents[1] / "devices" / "_jetpack.toml").read_text(encoding="utf-8")


def test_every_board_of_the_design_has_a_profile() -> None:
    """Every file is read, and the families are complete."""
    assert {load_profile(name).name for name in profile_names()} == {
        *("nano", "tx2", "xavier-nx", "agx-xavier", "orin-nano-4", "orin-nano-8", "orin-nx-8", "orin-nx-16", "agx-orin-32", "agx-orin-64"),
        *("thor-t4000", "thor-t5000", "desktop-gpu", "cpu"),
    }


@pytest.mark.parametrize("name", profile_names())
def test_every_number_has_a_source(name: str) -> None:
    """Each field with a value has one; what was only remembered is marked."""
    profile = load_profile(name)
    beside = {"name", "title", "kind", "soc", "modules", "sources", "unverified"}
    given = {
        field.name for field in dataclasses.fields(profile) if getattr(profile, field.name) not in (None, ()) and field.name not in beside
    }
    assert given == set(profile.sources) - {key for key in profile.sources if getattr(profile, key) in (None, ())}
    remembered = {key for key, source in profile.sources.items() if source.startswith("remembered")}
    assert remembered <= set(profile.unverified)


def test_old_boards_get_no_engines() -> None:
    """Xavier ends at TensorRT 8.5, Nano and TX2 below that and without a PyTorch of today; from Orin on edgecl builds."""
    roads = {name: load_profile(name).trt_road for name in profile_names()}
    assert {name for name, road in roads.items() if road == "onnx-only"} == {"xavier-nx", "agx-xavier"}
    assert {name for name, road in roads.items() if road == "none"} == {"nano", "tx2", "cpu"}
    assert {name for name in roads if not load_profile(name).learns} == {"nano", "tx2"}
    assert {release.jetpack for release in load_jetpacks() if release.trt_road == "trt"} == {"6.1", "6.2", "7.0", "7.1", "7.2"}


def test_a_small_board_builds_with_little_memory() -> None:
    """The workspace of TensorRT is below an eighth of the memory on every Jetson."""
    for name in profile_names():
        profile = load_profile(name)
        if profile.engine_workspace_mib is not None:
            assert profile.engine_workspace_mib <= min(profile.memory_gb) * 1e9 / 2**20 / 7, name


def test_modules_belong_to_one_board_unless_memory_tells_them_apart() -> None:
    """A part number that two profiles name is told by memory."""
    owners: dict[str, list[DeviceProfile]] = {}
    for profile in map(load_profile, profile_names()):
        for part in profile.modules:
            owners.setdefault(part, []).append(profile)
    for part, profiles in owners.items():
        assert len({profile.memory_gb for profile in profiles}) == len(profiles), part


def test_an_unknown_profile_is_refused_with_the_list() -> None:
    """A wrong name is answered with all names and the command that lists them."""
    with pytest.raises(BadSettings, match=r"no device profile 'orin', expected one of: agx-orin-32, .*List them with: edgecl devices"):
        load_profile("orin")


def test_a_profile_is_read_with_its_sources() -> None:
    """Values, sources in words, and the mark."""
    profile = parse_profile(BOARD, name="mine", sources=SOURCES)
    assert (profile.name, profile.memory_reserve_mib, profile.threads, profile.memory_gb) == ("mine", 100, None, ())
    assert profile.sources["memory_reserve_mib"] == "a book"
    assert profile.unverified == ("memory_reserve_mib",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[run]", "[run", "mine.toml is not TOML: "),
        ("edgecl.device/1", "edgecl.device/2", "has the format 'edgecl.device/2', expected 'edgecl.device/1'"),
        ('title = "A board"\n', "", "title is missing"),
        ('"cpu"', '"phone"', "kind = 'phone', expected one of jetson, desktop, cpu"),
        ("opset", "opsets", "[run] opsets is unknown, expected one of: last_jetpack, trt_road, opset"),
        ("opset = { value = 18", 'opset = { value = "18"', "[run] opset = '18', expected a whole number from 0 up"),
        ("opset = { value = 18", "opset = { value = true", "[run] opset = True, expected a whole number from 0 up"),
        ('{ value = 18, source = "choice" }', "18", "[run] opset = 18, expected { value = ..., source = ... }"),
        ('18, source = "choice"', '18, source = "hearsay"', "[run] opset names the source 'hearsay', which _sources.toml does not have"),
        ("verified = false", 'verified = "no"', "memory_reserve_mib: verified = 'no', expected true or false"),
        ('["CPUExecutionProvider"]', "[]", "[run] providers = [], expected a list of texts"),
        ('"cpu"', '"jetson"', "soc is missing, a jetson is told by it; modules is missing"),
        ("[learn]", "[teach]", "[teach] is unknown, expected one of: hardware, run, learn; [learn] learns is missing"),
    ],
)
def test_a_faulty_profile_is_refused(old: str, new: str, message: str) -> None:
    """Each with the value that was met, what was expected, and what to do."""
    assert old in BOARD
    with pytest.raises(BadSettings) as caught:
        parse_profile(BOARD.replace(old, new, 1), name="mine", sources=SOURCES)
    assert message in str(caught.value)
    assert str(caught.value).endswith(("Correct the file; docs/formats.md lists the keys.", "install edgecl again."))


def test_all_faults_come_at_once() -> None:
    """Not one per attempt."""
    faulty = BOARD.replace('"A board"', "7").replace("trt_road", "road").replace("[learn]", "[teach]")
    with pytest.raises(BadSettings, match=r"title = 7, .*\[teach\] is unknown.*road is unknown.*learns is missing"):
        parse_profile(faulty, name="mine", sources=SOURCES)


def test_a_faulty_release_is_named() -> None:
    """By its JetPack."""
    faulty = RELEASES.replace('cuda = { value = "12.2"', 'cuda = { value = "twelve"')
    with pytest.raises(BadSettings, match=r"_jetpack\.toml: release 6\.0: cuda = 'twelve', expected a version such as '10\.3'"):
        parse_jetpacks(faulty, sources=load_sources())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('format = "edgecl.jetpack/1"\nrelease = 6', "release = 6, expected tables"),
        ('format = "edgecl.jetpack/1"', "release = None, expected tables"),
        ('format = "edgecl.jetpack/1"\nx = 1\n[[release]]', "x is unknown, expected [[release]]"),
        ('format = "edgecl.jetpack/1"\n[[release]]\njetpack = "6"', "release 6: l4t_from is missing; release 6: python is missing"),
    ],
)
def test_other_faults_of_releases_are_sentences(text: str, message: str) -> None:
    """Not a traceback."""
    with pytest.raises(BadSettings) as caught:
        parse_jetpacks(text, sources=SOURCES)
    assert message in str(caught.value)


def test_no_source_is_left_over() -> None:
    """Each source is named by some value."""
    named = {source for name in profile_names() for source in load_profile(name).sources.values()}
    named |= {source for release in load_jetpacks() for source in release.sources.values()}
    assert {key for key, words in load_sources().items() if words not in named} == set()


def test_versions_compare_as_numbers() -> None:
    """10.3 comes after 9.20."""
    assert version_tuple("10.3.0.30-1+cuda12.5") == (10, 3, 0, 30)
    assert version_tuple("9.20") < version_tuple("10.3")
    assert version_tuple("unknown") == ()
