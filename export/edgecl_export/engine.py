"""`edgecl export --trt`: see that the store has an engine which serves a version, building only what is not there yet.

    plan there, of this graph, TensorRT and GPU   ->  give it the version's weights, test it: seconds
    no plan                                       ->  build, test, keep: minutes; the first time both kinds, to see what refitting costs

Nothing is kept that did not answer as the version does.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import numpy as np

from edgecl import __version__
from edgecl.errors import EngineUnusable, GpuFailed, UsageError
from edgecl.layout import to_deployment
from edgecl.runtime.cudart import Cuda
from edgecl.runtime.engines import EngineFacts, Kind, engines_folder, keep, listed, read_plan, remove
from edgecl.runtime.findings import failure, forget_failures, record_failure, record_timing, timing
from edgecl.runtime.selftest import SelfTest
from edgecl.runtime.session import INPUT, TrtSession
from edgecl.runtime.trt import network_name, open_session, prove
from edgecl.store import Store
from edgecl.store.locks import exclusive
from edgecl.store.reading import parse_arrays
from edgecl.store.versions import WEIGHTS_FILE
from edgecl_export.graph import Precision, graph_key
from edgecl_export.to_onnx import PRECISIONS
from edgecl_export.to_tensorrt import BATCH, build_plan, road_of, surrogate

Choice = Literal["refit", "frozen", "auto"]
Progress = Callable[[str, int, int], None]
"""(what, done, total)"""
REFIT_COST = 1.10  # `auto` takes an engine that can be refitted while it costs less than a tenth more
TIMED_RUNS, WARM_RUNS = 50, 10
TIMED_S = 10.0  # at most this long per kind


@dataclass(frozen=True)
class EngineExported:
    """An engine that serves the version, tested with it."""

    facts: EngineFacts
    version: int
    test: SelfTest
    built: bool  # False: it was there and took the version's weights
    ratio: float | None  # refit / frozen latency, where it was measured
    notes: tuple[str, ...]  # sentences for a person


class _Made(NamedTuple):
    """An engine on its way: perhaps not kept yet."""

    facts: EngineFacts
    plan: bytes | None  # None: it lies in the store already
    session: TrtSession
    test: SelfTest


def export_engine(
    store: Store,
    number: int,
    *,
    trt: Any,
    cuda: Cuda,
    precision: Precision = "fp16",
    kind: Choice = "auto",
    workspace_mib: int | None = None,
    progress: Progress = lambda what, done, total: None,
    measure: Callable[[TrtSession], float] | None = None,
) -> EngineExported:
    """See that version `number` has a tested engine on this machine; the caller holds the version by `Store.use`.

    Args:
        measure: milliseconds of one inference; `median_ms` where it is None.

    Raises:
        EngineUnusable: none can be built that answers as the version does; what was there stays.
        UsageError: an unknown kind or precision.
        StoreBusy: another process builds an engine for this store.
    """
    if kind not in ("refit", "frozen", "auto"):
        raise UsageError(f"an engine of kind {kind!r} is not built; choose refit, frozen or auto with --engine")
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is not written; choose one of {list(PRECISIONS)} with --precision")
    folder = engines_folder(store.root)
    with exclusive(folder / "build.lock", wait_s=0.0):
        work = _Work(store, number, trt, cuda, precision, workspace_mib, progress, measure or median_ms)
        try:
            made, built = work.chosen(kind)
            return EngineExported(made.facts, number, made.test, built, work.ratio(), tuple(work.notes))
        finally:
            work.close()


class _Work:
    """One call of `export_engine`: what it was asked, the sessions it opened, what it has to say."""

    def __init__(
        self,
        store: Store,
        number: int,
        trt: Any,
        cuda: Cuda,
        precision: Precision,
        workspace_mib: int | None,
        progress: Progress,
        measure: Callable[[TrtSession], float],
    ) -> None:
        self.store, self.number, self.trt, self.cuda, self.precision = store, number, trt, cuda, precision
        self.workspace_mib, self.progress, self.measure = workspace_mib, progress, measure
        self.road, self.gpu = road_of(trt), cuda.device()
        self.notes: list[str] = []
        self._sessions: list[TrtSession] = []

    def close(self) -> None:
        """Free every engine that was opened."""
        for session in self._sessions:
            session.close()

    def ratio(self) -> float | None:
        """What being refittable costs on this machine, where that is known."""
        found = timing(self.store, self.blank("refit").family)
        return None if found is None or found.get("ratio") is None else float(found["ratio"])

    def chosen(self, kind: Choice) -> tuple[_Made, bool]:
        """The engine of the kind asked for, kept; whether it was built."""
        if kind != "auto":
            made = self.make(kind)
        elif timing(self.store, self.blank("refit").family) is None:
            made = self.first()
        else:
            ratio = self.ratio()
            made = self.make("refit" if ratio is not None and ratio <= REFIT_COST else "frozen", spare=True)
        self._keep(made)
        return made, made.plan is not None

    def first(self) -> _Made:
        """Both kinds, timed: nobody knows yet what refitting costs here."""
        try:
            refit = self.make("refit")
        except GpuFailed:
            raise
        except EngineUnusable as error:
            self.notes.append(f"{error}. A frozen one is built for each version instead")
            frozen = self.make("frozen")
            record_timing(self.store, frozen.facts.family, refit_ms=None, frozen_ms=self.measure(frozen.session))
            return frozen
        frozen = self.make("frozen")
        refit_ms, frozen_ms = self.measure(refit.session), self.measure(frozen.session)
        record_timing(self.store, refit.facts.family, refit_ms=refit_ms, frozen_ms=frozen_ms)
        ratio = refit_ms / frozen_ms
        self.notes.append(f"an inference takes {refit_ms:.2f} ms refittable and {frozen_ms:.2f} ms frozen, a ratio of {ratio:.2f}")
        if ratio <= REFIT_COST:
            return refit
        self._keep(refit)  # serves a new version at once, until its frozen engine is built
        return frozen

    def make(self, kind: Kind, *, spare: bool = False) -> _Made:
        """The engine of one kind, with the version's weights and tested: the one that is there, or a new one.

        With `spare`, a refit engine that does not serve gives way to a frozen one.
        """
        there = self._there(kind)
        if there is not None:
            return there
        try:
            return self._build(kind)
        except GpuFailed:
            raise
        except EngineUnusable as error:
            if not (spare and kind == "refit"):
                raise
            self.notes.append(f"{error}. A frozen one is built instead")
            return self.make("frozen")

    def blank(self, kind: Kind) -> EngineFacts:
        """What an engine of this kind will be."""
        store, road = self.store, self.road
        manifest, architecture = store.manifest(self.number), store.facts.architecture
        graph_precision = road.graph_precision(self.precision)
        key = graph_key(architecture, capacity=manifest.capacity, opset=road.opset, precision=graph_precision)
        return EngineFacts(
            kind=kind,
            graph=key.removesuffix(f"-{graph_precision}"),
            architecture=architecture.key(),
            capacity=manifest.capacity,
            base=store.facts.base.sha256,
            weights=manifest.files[WEIGHTS_FILE].sha256 if kind == "frozen" else None,
            version=self.number,
            opset=road.opset,
            graph_precision=graph_precision,
            precision=self.precision,
            tensorrt=self.trt.__version__,
            gpu=self.gpu,
            batch=BATCH,
            refittable=road.refittable if kind == "refit" else None,
            built=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seconds=0.0,
            edgecl=__version__,
        )

    def _there(self, kind: Kind) -> _Made | None:
        """The engine of this kind that lies in the store, if it serves; else a note says why not."""
        blank = self.blank(kind)
        facts = next((found for found in listed(self.store.root) if found.name == blank.name and found.base == blank.base), None)
        if facts is None:
            return None
        try:
            earlier = failure(self.store, facts, self.number)
            if earlier is not None:
                raise EngineUnusable(earlier)
            return self._tested(facts, read_plan(self.store.root, facts), kept=True)
        except GpuFailed:
            raise
        except EngineUnusable as error:
            self.notes.append(f"{error}. It is built anew")
            return None

    def _build(self, kind: Kind) -> _Made:
        blank, store = self.blank(kind), self.store
        self.progress(f"building the {kind} engine", 0, 1)
        built = build_plan(
            self.trt,
            store.facts.architecture,
            self._arrays(kind, blank.capacity),
            name=network_name(blank),
            kind=kind,
            precision=self.precision,
            timing_cache=engines_folder(store.root) / f"trt{blank.tensorrt}-{self.gpu.key}.timing",
            workspace_mib=self.workspace_mib,
        )
        self.progress(f"building the {kind} engine", 1, 1)
        self.notes += built.notes
        facts = replace(blank, seconds=round(built.seconds, 3), sha256=sha256(built.plan).hexdigest(), bytes=len(built.plan))
        return self._tested(facts, built.plan, kept=False)

    def _arrays(self, kind: Kind, capacity: int) -> dict[str, Any]:
        """What the plan holds: the version's own tensors, or ones to stand in for them."""
        store, architecture = self.store, self.store.facts.architecture
        if kind == "frozen":
            return parse_arrays(store.file(self.number, WEIGHTS_FILE), f"weights of version {self.number}")
        empty = np.zeros((capacity, architecture.width), np.float32), np.zeros(capacity, np.float32)
        return surrogate(to_deployment(store.base(), *empty, architecture), architecture, self.road)

    def _tested(self, facts: EngineFacts, plan: bytes, *, kept: bool) -> _Made:
        try:
            session = open_session(self.trt, self.cuda, plan, facts, self.store, self.number)
            test = prove(session, facts, self.store, self.number)
        except GpuFailed:
            raise
        except EngineUnusable as error:
            record_failure(self.store, facts, self.number, str(error))
            remedy = "" if kept else ". Another --engine or --precision may serve; edgecl run --runtime ort always does"
            raise EngineUnusable(
                f"the {facts.kind} engine in {facts.precision} cannot serve version {self.number}: {error}{remedy}"
            ) from error
        self._sessions.append(session)
        return _Made(facts, None if kept else plan, session, test)

    def _keep(self, made: _Made) -> None:
        """Write a new plan; frozen ones of versions that nobody will serve soon go away."""
        if made.plan is None:
            return
        keep(self.store.root, made.facts, made.plan)
        forget_failures(self.store, made.facts)
        wanted = {self.number, self.store.current, self.store.good}
        for facts in listed(self.store.root):
            if facts.kind == "frozen" and facts.family == made.facts.family and facts.version not in wanted:
                remove(self.store.root, facts)


def median_ms(session: TrtSession) -> float:
    """Median time of one inference with everything loaded, copies included."""
    picture = np.zeros(session.shapes[INPUT], np.uint8)
    times: list[float] = []
    begun = time.perf_counter()
    for run in range(WARM_RUNS + TIMED_RUNS):
        start = time.perf_counter()
        session.infer(picture)
        times.append(time.perf_counter() - start)
        if run >= WARM_RUNS and time.perf_counter() - begun > TIMED_S:
            break
    return float(np.median(times[WARM_RUNS:])) * 1000
