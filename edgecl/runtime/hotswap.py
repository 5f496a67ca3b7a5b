"""Serves what a store's `current` points at. A new version is loaded and self-tested beside the old one by a thread of its own, and takes over
between two frames; one that fails gives way to the last good one.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from edgecl.errors import EdgeclError, GpuFailed, Refused, StoreDamaged
from edgecl.runtime.loading import OpenPredictor, load_version, tested
from edgecl.runtime.serving import Served, Swaps
from edgecl.store import Store, health

POLL_S = 1.0  # between two looks at `current`
GOOD_AFTER = 100  # healthy frames until a version is `good`
SETTLED_AFTER_S = 60.0  # of serving until a start no longer counts, even when no camera shows anything
RETRY_S = 30.0  # between the first failure of a version and its second and last start
BREATH_S = 0.02  # between two canary pictures while another version serves on the same cores

FASTEST = "tensorrt"  # where a version serves in this runtime, none takes over in a slower one

Tell = Callable[[str], None]


class StoreServing:
    """Serves what `current` points at. Use it as a context: entering loads the first version, leaving ends the thread.

    A version that fails its self-test, or on a frame, is noted in `state.json` and not served; after its second failed start `current`
    goes back to `good`. After `good_after` frames a version becomes `good`.

    Args:
        open_predictor: called once per version; two versions are loaded at a time.
        follow: whether to do all this; without it the first version serves to the end, and the store stays as it is.
        version: to serve, which is then not followed; None: the current one.
        tell: gets a sentence whenever something happened to a version.

    Raises (on entering):
        StoreDamaged: nothing is current, or neither it nor `good` can be served.
        ParityFailed: it fails its self-test, and no other version is good.
    """

    def __init__(
        self,
        store: Store,
        open_predictor: OpenPredictor,
        *,
        follow: bool = True,
        version: int | None = None,
        poll_s: float = POLL_S,
        good_after: int = GOOD_AFTER,
        retry_s: float = RETRY_S,
        tell: Tell = lambda sentence: None,
    ) -> None:
        self._store, self._open_predictor, self._tell = store, open_predictor, tell
        self._follow, self._version = follow and version is None, version
        self._poll_s, self._good_after, self._retry_s = poll_s, good_after, retry_s
        self.now: Served
        self.swaps = Swaps()
        self._frames = 0  # that `now` has answered
        self._since_s = self._last_answer_s = time.monotonic()
        self._settled: int | None = None  # the version whose start no longer counts
        self._ready: Served | None = None
        self._held: Served | None = None  # loaded in a slower runtime than the one that serves, until its engine is there
        self._retired: list[Served] = []
        self._retry_at_s: dict[int, float] = {}
        self._lock = threading.Lock()  # for _ready and _retired
        self._stopping = threading.Event()
        self._broken = False  # the thread met a bug
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)

    def __enter__(self) -> "StoreServing":
        if self._follow:
            self.now = self._first()
            self._thread.start()
        else:
            self.now = load_version(self._store, self._version, self._open_predictor)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stopping.set()
        if self._follow:
            self._thread.join()
            if kind is None or issubclass(kind, KeyboardInterrupt):
                self._settle()
        for served in (self.now, self._ready, self._held, *self._retired):
            if served is not None:
                served.release.close()

    # The loop's side: quick, and nothing of it touches the disk

    def turn(self) -> bool:
        """Let a version that is ready take over.

        Raises:
            EdgeclError: the thread that watches was ended by a bug.
        """
        if self._broken:
            raise EdgeclError("the thread that watches for new versions was ended by a bug; the lines above say where")
        if self._ready is None:
            return False
        with self._lock:
            if self._ready is None:
                return False
            self._take_over(self._ready)
            self._ready = None
        self.swaps = Swaps(self.swaps.count + 1, self.swaps.last_gap_ms)
        return True

    def answered(self) -> None:
        """Count a healthy frame."""
        now_s = time.monotonic()
        if self._frames == 0 and self.swaps.count:
            self.swaps = replace(self.swaps, last_gap_ms=(now_s - self._last_answer_s) * 1000)
        self._last_answer_s = now_s
        self._frames += 1

    def broke(self, error: EdgeclError) -> None:
        """Serve the good version instead, at once."""
        broken = self.now
        good = self._store.good if self._follow else None
        if good in (None, broken.number) or not _its_fault(error):
            raise error
        self._failed(broken.number, f"it failed on a frame: {error}")
        other = load_version(self._store, good, self._open_predictor)
        with self._lock:
            self._take_over(other)

    def _take_over(self, served: Served) -> None:
        """Hold the lock. Its frames are counted from 0 before it is to be seen, so that the old one's never make it good."""
        self._retired.append(self.now)
        self._frames, self._since_s = 0, time.monotonic()
        self.now = served

    # The first version

    def _first(self) -> Served:
        """The current version, or the good one where the current one fails."""
        current = self._store.current
        if current is None:
            raise StoreDamaged("no version is current, so there is nothing to serve. Choose one with: edgecl promote NUMBER")
        good = self._store.good
        if current != good and health.exhausted(self._store.state(), current):
            if health.failure(self._store.state(), current) is None:
                health.fail(self._store, current, "it was started twice and ended both times before it had proved healthy", "app")
            if good is not None:
                self._back(current)
                return load_version(self._store, good, self._open_predictor)
        try:
            return self._start(current, breath_s=0.0)
        except EdgeclError as error:
            if good in (None, current) or not _its_fault(error):
                raise
            return load_version(self._store, good, self._open_predictor)

    def _start(self, number: int, *, breath_s: float) -> Served:
        """Count a start, load, test; a failure is noted, and after the last one `current` goes back."""
        health.begin(self._store, number)
        try:
            return load_version(self._store, number, self._open_predictor, breath_s=breath_s)
        except EdgeclError as error:
            if _its_fault(error):
                self._failed(number, str(error))
            else:
                health.settle(self._store, number)
            raise

    def _failed(self, number: int, reason: str) -> None:
        health.fail(self._store, number, reason, "app")
        self.swaps = replace(self.swaps, last_fault=reason)
        self._retry_at_s[number] = time.monotonic() + self._retry_s
        if health.exhausted(self._store.state(), number):
            self._tell(f"version {number} failed for the second time: {reason}")
            self._back(number)
        else:
            self._tell(f"version {number} failed, and is tried once more in {self._retry_s:g} s: {reason}")

    def _back(self, number: int) -> None:
        good = health.return_to_good(self._store, number)
        if good is None:
            self._tell(f"there is no good version to go back to from version {number}. Choose one with: edgecl promote NUMBER")
        else:
            self._tell(f"version {number} is not served: it had {health.MOST_STARTS} starts. Version {good} is current again")

    # The watching thread

    def _watch(self) -> None:
        clean = False
        try:
            while not self._stopping.wait(self._poll_s):
                try:
                    self._look()
                except EdgeclError as error:
                    self._fault(str(error))
            clean = True
        finally:
            self._broken = not clean

    def _look(self) -> None:
        """What there is to do, once per second."""
        self._free_retired()
        self._note_health()
        wanted = self._store.current
        with self._lock:
            ready = self._ready
            if ready is not None and ready.number != wanted:
                self._retired.append(ready)
                ready = self._ready = None
        if self._held is not None and self._held.number != wanted:
            self._let_go()
        if self._held is not None:
            self._look_at_held(self._held)
            return
        if wanted is None or wanted in (self.now.number, ready and ready.number) or not self._may_start(wanted):
            return
        try:
            served = self._start(wanted, breath_s=BREATH_S)
        except EdgeclError as error:
            if _its_fault(error):
                return  # noted and told
            self._retry_at_s[wanted] = time.monotonic() + self._retry_s
            raise
        if self.now.runtime == FASTEST != served.runtime:
            self._tell(f"version {wanted} has no engine that serves it; version {self.now.number} goes on serving on its own")
            self._held = served
            return
        with self._lock:
            self._ready = served

    def _look_at_held(self, held: Served) -> None:
        """Ask it one picture, for that is when it goes over to an engine that was built; without one it has failed."""
        passed = tested(self._store, held, BREATH_S).passed
        if held.runtime == FASTEST and passed:
            self._held = None
            with self._lock:
                self._ready = held
        elif not getattr(held.predictor, "upgrading", False):
            self._let_go()
            self._failed(held.number, "no engine serves it. Build one with: edgecl export --trt")

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.release.close()

    def _may_start(self, number: int) -> bool:
        state = self._store.state()
        if number != self._store.good and health.exhausted(state, number):
            self._fault(f"version {number} is current, but is not served, because it failed: {health.failure(state, number)}")
            return False
        return time.monotonic() >= self._retry_at_s.get(number, 0.0)

    def _note_health(self) -> None:
        now, frames = self.now, self._frames
        if frames >= self._good_after:
            if self._store.good != now.number:
                health.prove(self._store, now.number)
                self._tell(f"version {now.number} is good: it answered {frames} frames as it should")
        elif self._settled != now.number and time.monotonic() - self._since_s > SETTLED_AFTER_S:
            self._settle()

    def _settle(self) -> None:
        if self._settled != self.now.number:
            health.settle(self._store, self.now.number)
            self._settled = self.now.number

    def _free_retired(self) -> None:
        with self._lock:
            retired, self._retired = self._retired, []
        for served in retired:
            served.release.close()

    def _fault(self, sentence: str) -> None:
        """Told once, not every second."""
        if self.swaps.last_fault != sentence:
            self.swaps = replace(self.swaps, last_fault=sentence)
            self._tell(sentence)


def _its_fault(error: EdgeclError) -> bool:
    """Whether the version, or its engine, is to blame: not a busy store, a full disk, a missing package or a GPU short of memory."""
    return isinstance(error, StoreDamaged | Refused) and not isinstance(error, GpuFailed)
