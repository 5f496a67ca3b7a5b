"""A version in TensorRT: the predictor of a board with a GPU.

Loading a version deserialises a copy of its engine, gives it the version's weights, and puts the canary through it; only then does it
take the place of what served before. Whatever goes wrong on the way is a sentence, and what served before goes on serving.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.errors import BadInput, EdgeclError, EngineUnusable, GpuFailed, MissingExtra
from edgecl.layout import refittable_names
from edgecl.runtime.cudart import Cuda, Cudart
from edgecl.runtime.engines import BUILD, EngineFacts, Wanted, fitting, read_plan
from edgecl.runtime.findings import failure, record_failure
from edgecl.runtime.refit import refit
from edgecl.runtime.selftest import Precision, SelfTest, self_test
from edgecl.runtime.session import INPUT, TrtSession, deserialize, make_logger
from edgecl.store import Store
from edgecl.store.names import version_number
from edgecl.store.reading import parse_arrays
from edgecl.store.versions import WEIGHTS_FILE


@dataclass(frozen=True)
class Prepared:
    """An engine that passed its self-test with a version and may serve it."""

    session: TrtSession
    facts: EngineFacts
    version: int
    test: SelfTest


class TrtPredictor:
    """`Predictor` on TensorRT, with the engines of one store.

    Args:
        precision: of the engine; None takes what is there.
        trt, cuda: the package tensorrt and the GPU; fakes of both are in `runtime.fake_tensorrt`.

    Raises:
        MissingExtra: TensorRT or a GPU is not there.
    """

    runtime = "tensorrt"

    def __init__(self, store: Store, *, precision: Precision | None = None, trt: Any = None, cuda: Cuda | None = None) -> None:
        self._store, self._precision = store, precision
        self._trt = import_tensorrt() if trt is None else trt
        self._cuda = Cudart() if cuda is None else cuda
        self._serving: Prepared | None = None

    @property
    def serving(self) -> Prepared | None:
        """What answers now."""
        return self._serving

    @property
    def provider(self) -> str:
        """File name of the engine that answers.

        Raises:
            EdgeclError: nothing is loaded.
        """
        return self._loaded().facts.name

    @property
    def precision(self) -> Precision:
        """Of the engine that answers.

        Raises:
            EdgeclError: nothing is loaded.
        """
        return self._loaded().facts.precision

    def _loaded(self) -> Prepared:
        if self._serving is None:
            raise EdgeclError("a TrtPredictor was asked before anything was loaded; call load(folder) first")
        return self._serving

    def load(self, folder: Path) -> None:
        """Serve the version in `folder`, which lies in the store and is held by `Store.use`.

        Raises:
            EngineUnusable: no engine fits or passes; the reason is kept in state.json, and what was loaded before goes on serving.
        """
        self.adopt(self.prepare(folder))

    def prepare(self, folder: Path) -> Prepared:
        """A copy of the engine with this version's weights, tested; may run in another thread while `infer` goes on.

        Raises:
            EngineUnusable: as `load`.
        """
        version = version_number(folder.resolve().name)
        if version is None or folder.resolve() != self._store.folder(version):
            raise EngineUnusable(f"{folder} is no version of the store {self._store.root}; TensorRT engines belong to a store")
        try:
            candidates = fitting(self._store.root, wanted(self._store, version, self._trt, self._cuda, self._precision))
        except EngineUnusable as error:
            raise EngineUnusable(f"{error}{self._goes_on()}") from error
        faults = []
        for facts in candidates:
            try:
                return self._tested(facts, version)
            except GpuFailed:
                raise
            except EngineUnusable as error:
                faults.append(str(error))
        raise EngineUnusable(f"{'; '.join(faults)}. Build it anew with: {BUILD}{self._goes_on()}")

    def _tested(self, facts: EngineFacts, version: int) -> Prepared:
        """One engine with the version's weights, when it passes; a failure is recorded, and one that was recorded is not tried."""
        earlier = failure(self._store, facts, version)
        if earlier is not None:
            raise EngineUnusable(f"the engine {facts.name} failed with version {version} before: {earlier}")
        try:
            plan = read_plan(self._store.root, facts)
            session = open_session(self._trt, self._cuda, plan, facts, self._store, version)
            test = prove(session, facts, self._store, version)
        except GpuFailed as error:  # memory that is short now says nothing about the engine
            raise GpuFailed(f"version {version} cannot be served now: {error}{self._goes_on()}") from error
        except EngineUnusable as error:
            record_failure(self._store, facts, version, str(error))
            raise EngineUnusable(f"the engine {facts.name} cannot serve version {version}: {error}") from error
        return Prepared(session, facts, version, test)

    def adopt(self, prepared: Prepared) -> None:
        """Let a prepared engine answer from now on, between two calls of `infer`; the one before is closed."""
        before, self._serving = self._serving, prepared
        if before is not None:
            before.session.close()

    def infer(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`[b, h, w, 3]` rgb at the model's input size -> (logits `[b, capacity]`, features `[b, d]`).

        Raises:
            BadInput: another dtype, rank or picture size.
            EdgeclError: nothing is loaded.
            EngineUnusable: the GPU reports an error.
        """
        session = self._loaded().session
        expected = session.shapes[INPUT][1:]
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] != expected:
            raise BadInput(
                f"the model was handed {pictures.dtype} {list(pictures.shape)}, but it takes uint8 [b, {expected[0]}, {expected[1]}, 3] "
                "rgb. Bring pictures to that size with edgecl.preprocess.to_input"
            )
        return session.infer(pictures)

    def close(self) -> None:
        """Free the engine; may be called twice."""
        if self._serving is not None:
            self._serving.session.close()
        self._serving = None

    def _goes_on(self) -> str:
        return f". Version {self._serving.version} goes on serving" if self._serving is not None else ""


def import_tensorrt() -> Any:
    """The package tensorrt.

    Raises:
        MissingExtra: it is not installed, or its libraries are not.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise MissingExtra(
            f"TensorRT is not installed here ({error}). On a Jetson it comes with JetPack; elsewhere: pip install 'edgecl[trt]'. "
            "Without it use: edgecl run --runtime ort"
        ) from error
    return tensorrt


def wanted(store: Store, version: int, trt: Any, cuda: Cuda, precision: Precision | None) -> Wanted:
    """What `version` needs on this machine."""
    manifest = store.manifest(version)
    return Wanted(
        version=version,
        architecture=store.facts.architecture.key(),
        capacity=manifest.capacity,
        base=store.facts.base.sha256,
        weights=manifest.files[WEIGHTS_FILE].sha256,
        tensorrt=trt.__version__,
        gpu=cuda.device(),
        precision=precision,
    )


def open_session(trt: Any, cuda: Cuda, plan: bytes, facts: EngineFacts, store: Store, version: int) -> TrtSession:
    """A plan with the weights of a version, ready to answer but not tested yet.

    Raises:
        EngineUnusable: any doubt.
    """
    logger = make_logger(trt)
    engine = deserialize(trt, plan, logger)
    if engine.name and engine.name != network_name(facts):
        raise EngineUnusable(f"the plan calls itself {engine.name!r}, expected {network_name(facts)!r}")
    if facts.kind == "refit":
        arrays = parse_arrays(store.file(version, WEIGHTS_FILE), f"weights of version {version}")  # the full merged state
        required = refittable_names(store.facts.architecture)
        refit(trt, engine, arrays, required=required, exact=facts.refittable == "individual", logger=logger)
    return TrtSession(trt, engine, cuda)


def network_name(facts: EngineFacts) -> str:
    """What the plan itself says it is; `engine.name` gives it back."""
    return f"edgecl/1 {facts.graph} {facts.precision}"


def prove(session: TrtSession, facts: EngineFacts, store: Store, version: int) -> SelfTest:
    """Put the version's canary through the engine.

    Raises:
        EngineUnusable: it answers otherwise than the version does; the session is closed.
    """
    try:
        test = self_test(session, store.folder(version), store.manifest(version).rows(), precision=facts.precision)
    except BaseException:
        session.close()
        raise
    if not test.passed:
        session.close()
        raise EngineUnusable(f"its self-test failed: {test.reason}")
    return test
