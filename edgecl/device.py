"""Which board is this? Read from the files that Linux and JetPack keep, never by running or changing anything.

Everything is read below `root`, so that files recorded on a board can be looked at anywhere.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecl.profile import DeviceProfile, JetPack, load_jetpacks, load_profile, profile_names, version_tuple

__all__ = ["Board", "DeviceProfile", "JetPack", "Memory", "PowerModes", "detect", "load_profile", "profile_names", "read_memory"]

ROOT = Path("/")


@dataclass(frozen=True)
class PowerModes:
    """The board's power modes as nvpmodel knows them; edgecl never changes one."""

    modes: Mapping[int, str]  # id -> name; ids differ between boards and releases
    current: int | None  # id, None where nobody says
    default: int | None  # id after a fresh boot


@dataclass(frozen=True)
class Memory:
    """Main memory; on a Jetson the GPU uses the same."""

    total_mib: int
    available_mib: int  # what the kernel would give away without swapping


@dataclass(frozen=True, kw_only=True)
class Board:
    """What was found. The profile is that of the board, with what its JetPack allows."""

    profile: DeviceProfile
    exact: bool  # the module is one that a profile names; False: the nearest one was taken
    model: str  # as the board calls itself, "" where it does not
    part: str | None  # the module, e.g. p3767-0005; None where no profile names it
    l4t: str | None  # release of Jetson Linux, e.g. 36.4.3
    jetpack: JetPack | None  # the release that this L4T belongs to
    gpu: str | None  # its name, None without an NVIDIA GPU
    memory: Memory | None
    power: PowerModes | None
    temperatures_c: Mapping[str, float]  # thermal zone -> degrees Celsius
    system: Mapping[str, str]  # tensorrt, cuda, cudnn, jetpack -> version of the system's own package
    notes: tuple[str, ...]  # what a person should know about how this was found


def detect(root: Path = ROOT) -> Board:
    """Look at the machine whose file system begins at `root`; whatever is missing there is unknown, never an error."""
    notes: list[str] = []
    memory = read_memory(root)
    compatible = _strings(root, "compatible")
    l4t = read_l4t(root)
    jetpack = jetpack_of(l4t, notes)
    gpu = _desktop_gpu(root)
    profile, exact = _profile(compatible, memory, gpu is not None, l4t, notes)
    if profile.kind == "jetson":
        gpu = profile.gpu
        profile = adapted(profile, jetpack, notes)
    return Board(
        profile=profile,
        exact=exact,
        model="".join(_strings(root, "model")[:1]),
        part=next((part for part in _parts(compatible) if part in profile.modules), None),
        l4t=l4t,
        jetpack=jetpack,
        gpu=gpu,
        memory=memory,
        power=read_power_modes(root),
        temperatures_c=read_temperatures(root),
        system=read_system_packages(root),
        notes=tuple(notes),
    )


def adapted(profile: DeviceProfile, jetpack: JetPack | None, notes: list[str]) -> DeviceProfile:
    """The profile under a JetPack release: the board says what it could run, the release what it does run."""
    if jetpack is None:
        notes.append(f"no L4T release was found (etc/nv_tegra_release); taken for JetPack {profile.last_jetpack}, the last for this board")
        return profile
    roads = ("trt", "onnx-only", "none")
    road = max(profile.trt_road, jetpack.trt_road, key=roads.index)
    providers = jetpack.providers if road != "none" else profile.providers
    precision = profile.precision if road != "none" else "fp32"
    return replace(profile, trt_road=road, opset=min(profile.opset, jetpack.opset), providers=providers, precision=precision)


def _profile(
    compatible: Sequence[str], memory: Memory | None, has_gpu: bool, l4t: str | None, notes: list[str]
) -> tuple[DeviceProfile, bool]:
    """The board's profile, and whether its module is named by one."""
    profiles = [load_profile(name) for name in profile_names()]
    named = [profile for profile in profiles if set(profile.modules) & set(_parts(compatible))]
    alike = [profile for profile in profiles if f"nvidia,{profile.soc}" in compatible]
    if named:
        return _nearest(named, memory), True
    if alike:
        profile = _nearest(alike, memory)
        notes.append(f"no profile names the module {', '.join(compatible)}; taken for {profile.name}, the nearest with the same chip")
        return profile, False
    if l4t is not None:
        notes.append(f"this is a Jetson (L4T {l4t}) that no profile describes: {', '.join(compatible) or 'no device tree'}. Used as a CPU")
    exact = l4t is None
    return load_profile("desktop-gpu" if has_gpu else "cpu"), exact


def _nearest(profiles: Sequence[DeviceProfile], memory: Memory | None) -> DeviceProfile:
    """Boards that share a part number or a chip differ in their memory."""
    if memory is None:
        return profiles[0]
    found_gb = memory.total_mib * 2**20 / 1e9
    return min(profiles, key=lambda profile: min(abs(size - found_gb) for size in profile.memory_gb))


def _parts(compatible: Sequence[str]) -> tuple[str, ...]:
    """Part numbers of module and carrier: `nvidia,p3768-0000+p3767-0005` has both, and JetPack 5 and older say it in one word only."""
    return tuple(part for name in compatible for part in re.findall(r"p\d{4}-\d{4}", name))


def _strings(root: Path, name: str) -> tuple[str, ...]:
    """A property of the device tree: strings that end in a NUL each."""
    for folder in ("proc/device-tree", "sys/firmware/devicetree/base"):
        text = _read(root / folder / name)
        if text:
            return tuple(part.strip() for part in text.split("\0") if part.strip())
    return ()


def read_l4t(root: Path) -> str | None:
    """`36.4.3` from `# R36 (release), REVISION: 4.3, ...`; without that file from the package nvidia-l4t-core."""
    match = re.match(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*(\d+(?:\.\d+)*)", _read(root / "etc/nv_tegra_release"))
    if match:
        return f"{match[1]}.{match[2]}"
    version = _dpkg(root).get("nvidia-l4t-core", "")
    return version.split("-")[0] or None


def jetpack_of(l4t: str | None, notes: list[str] | None = None) -> JetPack | None:
    """The JetPack that an L4T release belongs to: the last one that begins at or below it, else the oldest. What was stretched is noted."""
    if l4t is None:
        return None
    releases = load_jetpacks()
    below = [release for release in releases if version_tuple(release.l4t_from) <= version_tuple(l4t)]
    found = below[-1] if below else releases[0]
    if notes is not None and not below:
        notes.append(f"L4T {l4t} is older than JetPack {found.jetpack}, the oldest that edgecl knows; taken for it. Upgrade the board")
    if notes is not None and version_tuple(l4t)[0] > version_tuple(releases[-1].l4t_from)[0]:
        notes.append(f"L4T {l4t} is newer than this edgecl knows; taken for JetPack {found.jetpack}. Upgrade edgecl")
    return found


def read_power_modes(root: Path) -> PowerModes | None:
    """The modes of /etc/nvpmodel.conf and the one that nvpmodel says is set; None where there is no nvpmodel."""
    text = _read(root / "etc/nvpmodel.conf")
    modes = {int(number): name for number, name in re.findall(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", text, re.MULTILINE)}
    if not modes:
        return None
    default = re.search(r"^<\s*PM_CONFIG\s+DEFAULT=(\d+)\s*>", text, re.MULTILINE)
    current = re.search(r"pmode:(\d+)", _read(root / "var/lib/nvpmodel/status"))
    return PowerModes(modes, int(current[1]) if current else None, int(default[1]) if default else None)


def read_memory(root: Path = ROOT) -> Memory | None:
    """Main memory from /proc/meminfo; None where Linux does not say."""
    found = {name: int(kib) // 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)}
    if "MemTotal" not in found:
        return None
    return Memory(found["MemTotal"], found.get("MemAvailable", found.get("MemFree", 0)))


def read_temperatures(root: Path) -> dict[str, float]:
    """Degrees Celsius of each thermal zone that answers; a zone that is asleep does not."""
    found: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        name, value = _read(zone / "type").strip(), _read(zone / "temp").strip()
        if name and re.fullmatch(r"-?\d+", value) and -100_000 < int(value) < 200_000:
            found[name] = int(value) / 1000
    return found


def read_system_packages(root: Path) -> dict[str, str]:
    """Versions of JetPack's own parts as the package manager and CUDA's own file tell them."""
    packages = _dpkg(root)
    found = {}
    for part, pattern in (("jetpack", r"nvidia-jetpack"), ("tensorrt", r"libnvinfer\d+"), ("cudnn", r"libcudnn\d+(-cuda-\d+)?")):
        versions = [version.split("-")[0] for name, version in packages.items() if re.fullmatch(pattern, name)]
        if versions:
            found[part] = max(versions, key=version_tuple)
    try:
        found["cuda"] = str(json.loads(_read(root / "usr/local/cuda/version.json"))["cuda"]["version"])
    except (ValueError, KeyError, TypeError):
        cudas = [match[1] for name in packages if (match := re.fullmatch(r"cuda-cudart-(\d+-\d+)", name))]
        if cudas:
            found["cuda"] = max((cuda.replace("-", ".") for cuda in cudas), key=version_tuple)
    return found


def _dpkg(root: Path) -> dict[str, str]:
    """Installed Debian packages and their versions."""
    found = {}
    for paragraph in _read(root / "var/lib/dpkg/status").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed") and "Package" in fields:
            found[fields["Package"]] = fields.get("Version", "")
    return found


def _desktop_gpu(root: Path) -> str | None:
    """Name of the first NVIDIA GPU that the driver of a PC knows; in a container or under WSL only that there is one."""
    for card in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(r"^Model:\s*(.+)$", _read(card), re.MULTILINE)
        return match[1].strip() if match else "NVIDIA GPU"
    signs = ("dev/nvidia0", "usr/lib/wsl/lib/libcuda.so.1")
    return "NVIDIA GPU" if any((root / sign).exists() for sign in signs) else None


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ""
