"""Boards are told apart by the files that they keep; tests/boards/README.md says where the recordings come from."""

import shutil
from pathlib import Path

import pytest

from edgecl.device import Memory, PowerModes, detect, jetpack_of, read_l4t

BOARDS = Path(__file__).parent / "boards"


def test_an_orin_nano_on_jetpack_6() -> None:
    """Module, release, memory, power mode and temperatures come from its files; a zone that does not answer is left out."""
    board = detect(BOARDS / "orin-nano-8-jetpack-6.2")
    assert (board.profile.name, board.exact, board.part, board.l4t, board.gpu) == ("orin-nano-8", True, "p3767-0005", "36.4.3", "Ampere")
    assert board.model == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert board.jetpack is not None
    assert (board.jetpack.jetpack, board.jetpack.python, board.jetpack.tensorrt) == ("6.2", "3.10", "10.3.0")
    assert board.memory == Memory(total_mib=7619, available_mib=4800)
    assert board.power == PowerModes({0: "15W", 1: "25W", 2: "MAXN_SUPER"}, current=0, default=1)
    assert board.temperatures_c == {"cpu-thermal": 49.062, "gpu-thermal": 50.343, "soc0-thermal": 48.593, "tj-thermal": 50.343}
    assert board.system == {"jetpack": "6.2+b77", "tensorrt": "10.3.0.30", "cudnn": "9.3.0.75", "cuda": "12.6.11"}
    assert (board.profile.trt_road, board.profile.opset, board.profile.precision) == ("trt", 18, "fp16")
    assert board.notes == ()


def test_an_agx_xavier_on_jetpack_5() -> None:
    """It names its carrier only and has no CUDA file; its TensorRT gets ONNX of opset 16, not engines."""
    board = detect(BOARDS / "agx-xavier-jetpack-5.1")
    assert (board.profile.name, board.exact, board.part, board.l4t) == ("agx-xavier", True, "p2972-0000", "35.4.1")
    assert board.jetpack is not None
    assert board.jetpack.jetpack == "5.1"
    assert board.system == {"jetpack": "5.1.2", "tensorrt": "8.5.2", "cudnn": "8.6.0.166", "cuda": "11.4"}
    assert board.power is not None
    assert (board.power.current, board.power.default, board.power.modes[3]) == (3, 7, "MODE_30W_ALL")
    assert (board.profile.trt_road, board.profile.opset, board.profile.providers) == ("onnx-only", 16, ("CPUExecutionProvider",))


def test_a_thor_on_jetpack_7() -> None:
    """A strongly typed TensorRT, opset 20, and the memory of the larger module."""
    board = detect(BOARDS / "thor-t5000-jetpack-7.0")
    assert (board.profile.name, board.exact, board.part, board.l4t) == ("thor-t5000", True, "p3834-0008", "38.2.2")
    assert board.jetpack is not None
    assert board.jetpack.jetpack == "7.0"
    assert (board.profile.trt_road, board.profile.opset, board.profile.providers[0]) == ("trt", 20, "CUDAExecutionProvider")
    assert board.system["cuda"] == "13.0.0"


def test_an_empty_machine_is_a_cpu(tmp_path: Path) -> None:
    """Where no file says anything, the profile is that of a computer without a GPU, and nothing fails."""
    board = detect(tmp_path)
    assert (board.profile.name, board.memory, board.power, board.temperatures_c, board.system) == ("cpu", None, None, {}, {})
    assert (board.exact, board.gpu, board.jetpack, board.notes) == (True, None, None, ())


def test_a_pc_with_a_driver_is_a_desktop_gpu(tmp_path: Path) -> None:
    """The name of the card comes from the driver's own file."""
    card = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0/information"
    card.parent.mkdir(parents=True)
    card.write_text("Model: \t\t NVIDIA RTX A2000\nIRQ:   \t\t 120\n")
    board = detect(tmp_path)
    assert (board.profile.name, board.gpu, board.profile.trt_road) == ("desktop-gpu", "NVIDIA RTX A2000", "trt")


@pytest.mark.parametrize("sign", ["dev/nvidia0", "usr/lib/wsl/lib/libcuda.so.1"])
def test_a_gpu_without_a_name_is_one(sign: str, tmp_path: Path) -> None:
    """In a container, and under Windows' Linux, the driver's folder may be missing."""
    (tmp_path / sign).parent.mkdir(parents=True)
    (tmp_path / sign).touch()
    assert (detect(tmp_path).profile.name, detect(tmp_path).gpu) == ("desktop-gpu", "NVIDIA GPU")


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    """A copy of the Orin Nano's files to change."""
    return Path(shutil.copytree(BOARDS / "orin-nano-8-jetpack-6.2", tmp_path / "orin"))


def rename_module(root: Path, *names: str) -> None:
    """Give the board another device tree."""
    (root / "proc/device-tree/compatible").write_bytes(b"".join(name.encode() + b"\0" for name in names))


def test_an_older_release_takes_the_engines_away(orin: Path) -> None:
    """The same module on JetPack 6.0 is ONNX only, opset 17; on 5.1 it has no GPU in ONNX Runtime either."""
    (orin / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 3.0, GCID: 36923193, BOARD: generic\n")
    profile = detect(orin).profile
    assert (profile.trt_road, profile.opset, profile.providers[0]) == ("onnx-only", 17, "CUDAExecutionProvider")
    (orin / "etc/nv_tegra_release").write_text("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref\n")
    profile = detect(orin).profile
    assert (profile.trt_road, profile.opset, profile.providers) == ("onnx-only", 16, ("CPUExecutionProvider",))


def test_a_newer_release_than_known_is_said(orin: Path) -> None:
    """It is taken for the newest known one, with advice."""
    (orin / "etc/nv_tegra_release").write_text("# R41 (release), REVISION: 1.0\n")
    board = detect(orin)
    assert board.jetpack is not None
    assert board.jetpack.jetpack == "7.2"
    assert board.notes == ("L4T 41.1.0 is newer than this edgecl knows; taken for JetPack 7.2. Upgrade edgecl",)


def test_without_a_release_file_the_package_tells_it(orin: Path) -> None:
    """nvidia-l4t-core has the release in its version; without either a note says what was assumed."""
    (orin / "etc/nv_tegra_release").unlink()
    assert read_l4t(orin) == "36.4.3"
    (orin / "var/lib/dpkg/status").unlink()
    board = detect(orin)
    assert board.l4t is None
    assert board.notes == ("no L4T release was found (etc/nv_tegra_release); taken for JetPack 7.2, the last for this board",)
    assert board.profile.opset == 20


def test_a_module_without_a_profile_is_taken_for_the_nearest_with_its_chip(orin: Path) -> None:
    """By memory: 8 GB and Orin's chip are an 8 GB board; the board says that it is a guess."""
    rename_module(orin, "vendor,carrier", "nvidia,p3767-0099", "nvidia,tegra234")
    board = detect(orin)
    assert (board.exact, board.part) == (False, None)
    assert board.profile.memory_gb == (8,)
    assert board.notes[0].startswith("no profile names the module vendor,carrier, nvidia,p3767-0099, nvidia,tegra234; taken for orin-n")


def test_modules_of_one_number_differ_by_memory(orin: Path) -> None:
    """p3701-0000 was sold with 32 and with 64 GB."""
    rename_module(orin, "nvidia,p3737-0000+p3701-0000", "nvidia,p3701-0000", "nvidia,tegra234")
    for total_kib, name in ((31_300_000, "agx-orin-32"), (64_300_000, "agx-orin-64")):
        (orin / "proc/meminfo").write_text(f"MemTotal: {total_kib} kB\nMemAvailable: 1024 kB\n")
        assert detect(orin).profile.name == name


def test_a_jetson_of_an_unknown_chip_is_a_cpu_with_a_note(orin: Path) -> None:
    """What comes after Thor still runs, and says why it runs so."""
    rename_module(orin, "nvidia,p9999-0000", "nvidia,tegra999")
    board = detect(orin)
    assert (board.profile.name, board.exact) == ("cpu", False)
    assert board.notes == ("this is a Jetson (L4T 36.4.3) that no profile describes: nvidia,p9999-0000, nvidia,tegra999. Used as a CPU",)


def test_damaged_files_are_unknown_not_errors(orin: Path) -> None:
    """Garbage, empty files and folders where files belong."""
    for path in list(orin.rglob("*")):
        if path.is_file():
            path.write_bytes(b"\xff\x00garbage ID= DEFAULT=\n")
    (orin / "etc/nvpmodel.conf").unlink()
    (orin / "etc/nvpmodel.conf").mkdir()
    board = detect(orin)
    assert (board.profile.name, board.memory, board.power, board.temperatures_c, board.l4t) == ("cpu", None, None, {}, None)


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("32.7.4", "4.6"),
        ("35.2.1", "5.1"),
        ("35.6.4", "5.1"),
        ("36.3.0", "6.0"),
        ("36.4.0", "6.1"),
        ("36.4.3", "6.2"),
        ("36.5.0", "6.2"),
        ("38.4.0", "7.1"),
        ("39.2.0", "7.2"),
    ],
)
def test_releases_of_l4t_belong_to_a_jetpack(l4t: str, jetpack: str) -> None:
    """The last JetPack that begins at or below the release; numbers are compared as numbers."""
    found = jetpack_of(l4t)
    assert found is not None
    assert found.jetpack == jetpack


def test_a_release_older_than_all_is_taken_for_the_oldest(orin: Path) -> None:
    """With a note; no release has no JetPack."""
    (orin / "etc/nv_tegra_release").write_text("# R28 (release), REVISION: 2.1\n")
    board = detect(orin)
    assert board.jetpack is not None
    assert (board.jetpack.jetpack, board.profile.trt_road) == ("4.6", "none")
    assert board.notes == ("L4T 28.2.1 is older than JetPack 4.6, the oldest that edgecl knows; taken for it. Upgrade the board",)
    assert jetpack_of(None) is None


@pytest.mark.parametrize(
    ("compatible", "total_kib", "name"),
    [
        ("nvidia,p3509-0000+p3668-0001 nvidia,tegra194", 7_900_000, "xavier-nx"),
        ("nvidia,p3449-0000-b00+p3448-0000-b00 nvidia,jetson-nano nvidia,tegra210", 4_000_000, "nano"),
        ("nvidia,quill nvidia,p2597-0000+p3310-1000 nvidia,tegra186", 8_000_000, "tx2"),
        ("nvidia,p3737-0000+p3701-0005 nvidia,p3701-0005 nvidia,tegra234", 64_300_000, "agx-orin-64"),
        ("nvidia,p3768-0000+p3767-0004 nvidia,p3767-0004 nvidia,tegra234", 3_600_000, "orin-nano-4"),
        ("nvidia,p3768-0000+p3767-0001 nvidia,p3767-0001 nvidia,tegra234", 7_600_000, "orin-nx-8"),
    ],
)
def test_modules_are_found_in_every_spelling(compatible: str, total_kib: int, name: str, orin: Path) -> None:
    """In a word of their own, or behind the carrier as JetPack 5 and older write them."""
    rename_module(orin, *compatible.split())
    (orin / "proc/meminfo").write_text(f"MemTotal: {total_kib} kB\nMemAvailable: 1024 kB\n")
    board = detect(orin)
    assert (board.profile.name, board.exact) == (name, True)
    assert board.part in board.profile.modules
