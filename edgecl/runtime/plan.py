"""From what a person wrote, in settings.toml and on the command line, to the cameras of an app."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgecl.errors import UsageError
from edgecl.runtime.app import CameraPlan
from edgecl.runtime.sources import Opener, parse_source
from edgecl.settings import CameraSettings


def camera_plans(
    cameras: Mapping[str, CameraSettings],
    wanted: Sequence[str],
    *,
    schemes: Mapping[str, Opener],
    max_fps: float | None = None,
    smoothing: int | None = None,
    loop: bool | None = None,
) -> list[CameraPlan]:
    """The cameras that are `wanted`: each a name in `cameras` or a source; all of `cameras` when none is named.

    `max_fps`, `smoothing` and `loop` win over what `cameras` say; `schemes` is as for `parse_source`.

    Raises:
        UsageError: there is no camera, or a source of an unknown kind.
        BadInput: a source that is no file, folder, picture or video.
    """
    if not wanted and not cameras:
        raise UsageError("there is no camera. Give one with --source, or describe it in settings.toml: [cameras.bench], source = ...")
    given: dict[str, Any] = {
        name: value for name, value in (("max_fps", max_fps), ("smoothing", smoothing), ("loop", loop)) if value is not None
    }
    found = []
    for text in wanted or list(cameras):
        settings = cameras.get(text)
        settings, name = (CameraSettings(source=text), None) if settings is None else (settings, text)
        settings = replace(settings, **given)
        found.append(
            CameraPlan(
                source=parse_source(settings.source, schemes=schemes),
                name=name,
                region=settings.region,
                max_fps=settings.max_fps,
                smoothing=settings.smoothing,
                loop=settings.loop,
            )
        )
    return found
