"""A version loaded into a predictor of its own and put through its self-test, beside the one that serves."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import ParityFailed
from edgecl.manifest import Manifest
from edgecl.runtime.base import Predictor
from edgecl.runtime.selftest import Precision, SelfTest, self_test
from edgecl.runtime.serving import Served
from edgecl.store import Store

OpenPredictor = Callable[[Path], Predictor]
"""Loads the version in a folder into a predictor of its own."""


def load_version(store: Store, number: int | None, open_predictor: OpenPredictor, *, breath_s: float = 0.0) -> Served:
    """A version that passed its self-test, and is in use until it is released.

    Args:
        number: None: the current one.
        breath_s: seconds between two canary pictures, while another version serves on the same cores.

    Raises:
        StoreDamaged: there is no such version, or it is not whole.
        ParityFailed: it does not give the answers that it was made with.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(store.use(number))
        number = int(folder.name)
        predictor = open_predictor(folder)
        stack.callback(predictor.close)
        manifest = store.manifest(number)
        result = _test(predictor, folder, manifest, breath_s)
        if not result.passed:
            raise ParityFailed(
                f"version {number} does not answer as it was made to: {result.reason}. It is not served. Run: edgecl verify --deep"
            )
        return Served(manifest, predictor, stack.pop_all())


def tested(store: Store, served: Served, breath_s: float) -> SelfTest:
    """The self-test of a version that is loaded already."""
    with store.use(served.number) as folder:
        return _test(served.predictor, folder, served.manifest, breath_s)


def _test(predictor: Predictor, folder: Path, manifest: Manifest, breath_s: float) -> SelfTest:
    precision: Precision = getattr(predictor, "precision", "fp32")
    return self_test(_OneByOne(predictor, breath_s), folder, manifest.rows(), precision=precision)


class _OneByOne:
    """Asks a predictor for one picture at a time, with a pause between, so that the version that serves keeps its pace."""

    def __init__(self, predictor: Predictor, breath_s: float) -> None:
        self._predictor, self._breath_s = predictor, breath_s

    def infer(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As the predictor's own, but slower, and with the memory of one picture."""
        answers = []
        for picture in pictures:
            answers.append(self._predictor.infer(picture[np.newaxis]))
            time.sleep(self._breath_s)
        return np.concatenate([logits for logits, _ in answers]), np.concatenate([features for _, features in answers])
