"""`edgecl devices`: the boards that edgecl has a profile of."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecl.cli.options import JsonOption
from edgecl.cli.output import answer, table, tell

if TYPE_CHECKING:
    from edgecl.profile import DeviceProfile


def devices(
    name: Annotated[
        str | None, typer.Argument(help="One board: everything that is known of it, and from where.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the boards that edgecl knows, or say what it knows of one and where each number comes from."""
    from edgecl.device import detect
    from edgecl.profile import load_profile, profile_names

    here = detect().profile
    profiles = [load_profile(known) for known in (profile_names() if name is None else (name,))]
    if as_json:
        answer({"format": "edgecl.devices/1", "this": here.name, "devices": [_json(profile) for profile in profiles]})
    elif name is None:
        _list(profiles, here.name)
    else:
        _page(profiles[0])


def _list(profiles: "list[DeviceProfile]", here: str) -> None:
    rows = [
        (
            profile.name + (" (here)" if profile.name == here else ""),
            profile.title,
            _list_of(profile.memory_gb, "GB"),
            profile.compute_capability or "-",
            profile.last_jetpack or "-",
            profile.trt_road,
            profile.precision,
            "yes" if profile.learns else "no",
        )
        for profile in profiles
    ]
    table(("profile", "board", "memory", "compute", "last JetPack", "TensorRT", "precision", "learns"), rows)
    tell("TensorRT: trt = edgecl builds engines (from JetPack 6.1 on), onnx-only = it writes ONNX and prints the trtexec line.")
    tell("Everything about one board, with sources: edgecl devices NAME. What is missing on this one: edgecl doctor")


def _page(profile: "DeviceProfile") -> None:
    tell(f"{profile.name}: {profile.title}")
    if profile.modules:
        tell(f"modules: {', '.join(profile.modules)}")
    rows = [
        (key, _shown(value), "unverified" if key in profile.unverified else "", profile.sources[key])
        for key, value in asdict(profile).items()
        if key in profile.sources
    ]
    table(("key", "value", "", "source"), rows)


def _json(profile: "DeviceProfile") -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(profile).items()}


def _list_of(values: tuple[float, ...], unit: str) -> str:
    return f"{'/'.join(f'{value:g}' for value in values)} {unit}" if values else "-"


def _shown(value: object) -> str:
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)
