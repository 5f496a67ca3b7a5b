"""From `staged` to `current`: a version serves once its canary came through the graph as it should."""

from collections.abc import Callable

from edgecl.errors import ParityFailed
from edgecl.manifest import Manifest
from edgecl.runtime.base import Predictor
from edgecl.runtime.selftest import self_test
from edgecl.store import Store


def serve(store: Store, manifest: Manifest, make_predictor: Callable[[], Predictor], *, stage: bool = False) -> str:
    """Check the version's canary and, unless `stage`, make it `current` if its parent still is; returns `current` or `staged`.

    Raises:
        ParityFailed: the graph does not answer as it was made to; the version stays staged.
    """
    predictor = make_predictor()
    folder = store.folder(manifest.number)
    try:
        predictor.load(folder)
        result = self_test(predictor, folder, manifest.rows())
    finally:
        predictor.close()
    if not result.passed:
        raise ParityFailed(
            f"version {manifest.number} does not answer as it was made to: {result.reason}. It stays staged, version {store.current} "
            "still serves. Run: edgecl verify --deep"
        )
    promoted = not stage and store.promote(manifest.number, expected=manifest.parent)
    return "current" if promoted else "staged"
