"""Learning what was collected, or applying a bundle: a child process that is followed line by line."""

import json
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from edgecl.errors import EdgeclError, GateFailed, Interrupted, MissingExtra, StoreBusy
from edgecl.manifest import Manifest
from edgecl.store import Store
from edgecl.store.inbox import Inbox
from edgecl.web.child import apply_command, learn_command, start
from edgecl.web.estimate import seconds_left, seconds_to_learn

State = Literal["idle", "running", "done", "staged", "refused", "failed", "stopped"]
What = Literal["learn", "bundle"]
BUNDLE_S = 20.0  # about how long a bundle takes
PATIENCE_S = 15.0  # for a learner that was asked to stop
NEEDED = ("onnx", "onnxruntime", "timm", "torch", "torchvision")


def missing_for_learning() -> str:
    """Why this installation cannot learn, with the line that changes it, or nothing. Imports none of what it looks for."""
    absent = next((name for name in NEEDED if find_spec(name) is None), None)
    return "" if absent is None else str(MissingExtra.of(absent, "learn", "Teaching"))


@dataclass
class _Job:
    """One child and what it said so far."""

    what: What
    process: subprocess.Popen[str]
    settle: Callable[[bool], None]  # told whether what it was given is in the model now
    pictures: int
    began_s: float
    expected_s: float
    first_s: float | None = None  # when it first told of progress: from then on its libraries are loaded
    stage: str = ""
    done: int = 0
    total: int = 0
    said: deque[str] = field(default_factory=lambda: deque(maxlen=20))  # on stderr, apart from progress
    stopping: bool = False


class Learning:
    """At most one child at a time: a learn of the store's inbox, or a bundle.

    Args:
        latency_ms: what one answer of the app takes now; the estimate of a store that has never learned begins with it.
        command, apply: make the children's command lines, as `learn_command` and `apply_command` do.
        written: is told the number of each version that came of it.
    """

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        *,
        latency_ms: Callable[[], float | None],
        command: Callable[..., Sequence[str]] = learn_command,
        apply: Callable[..., Sequence[str]] = apply_command,
        written: Callable[[int], None] = lambda number: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._inbox = store, inbox
        self._latency_ms = latency_ms
        self._command, self._apply, self._written = command, apply, written
        self._clock = clock
        self._lock = threading.Lock()
        self._job: _Job | None = None
        self._follower: threading.Thread | None = None
        self._state: State = "idle"
        self._problem = ""
        self._result: dict[str, Any] | None = None
        with suppress(StoreBusy), store.learning_lock():  # a learn that outlived its app still reads what was handed over to it
            inbox.give_back()

    def estimate_s(self) -> float:
        """About how long learning what waits now would take."""
        pictures = sum(len(each.pictures) for each in self._inbox.collected())
        return seconds_to_learn(self._store, pictures, self._latency_ms())

    def start(self, *, stage: bool) -> None:
        """Hand the inbox to a new child; with `stage` its version waits for `promote` even when the gate passes it.

        Raises:
            StoreBusy: a learn is going on, here or elsewhere.
            BadPictures: the inbox is empty.
        """
        with self._lock:
            self._check_free()
            collected, expected_s = self._inbox.collected(), self.estimate_s()
            task = self._inbox.hand_over()
            name = "-".join(each.name for each in collected)
            pictures = sum(len(each.pictures) for each in collected)
            command = self._command(self._store.root, task, name, stage=stage)
            self._begin("learn", command, self._settle_inbox, pictures=pictures, expected_s=expected_s)

    def apply(self, bundle: bytes, *, stage: bool) -> None:
        """Have a new child apply a bundle; with `stage` its version waits for `promote`.

        Raises:
            StoreBusy: as for `start`.
            NoSpace: the disk is full.
        """
        with self._lock:
            self._check_free()
            path = self._inbox.keep_bundle(bundle)
            command = self._apply(self._store.root, path, stage=stage)
            self._begin("bundle", command, lambda _: path.unlink(missing_ok=True), pictures=0, expected_s=BUNDLE_S)

    def _check_free(self) -> None:
        if self._job is not None:
            raise StoreBusy("the camera is learning already. Wait for it, or stop it first.")
        with self._store.learning_lock():
            pass  # somebody at a terminal may be learning: say so now, not in a minute

    def _settle_inbox(self, learned: bool) -> None:
        if learned:
            self._inbox.learned()
        else:
            self._inbox.give_back()  # more pictures will be added to these

    def _begin(self, what: What, command: Sequence[str], settle: Callable[[bool], None], *, pictures: int, expected_s: float) -> None:
        """Start the child and the thread that follows it; what it was given is settled when it cannot be started."""
        try:
            process = start(command)
        except OSError as error:
            settle(False)
            raise EdgeclError(f"the learner cannot be started ({error.strerror}). Is the disk full, or the memory?") from error
        self._job = _Job(what, process, settle, pictures, self._clock(), expected_s)
        self._state, self._problem, self._result = "running", "", None
        self._follower = threading.Thread(target=self._follow, args=(self._job,), name="edgecl-learning", daemon=True)
        self._follower.start()

    def stop(self) -> None:
        """Ask the learner to stop; the store stays as it was, and the pictures go back to the inbox."""
        with self._lock:
            if self._job is not None:
                self._job.stopping = True
                # Not SIGINT: a child of an app that was started in the background of a script ignores that one.
                self._job.process.terminate()

    def close(self) -> None:
        """Stop, and wait until nothing of it runs any more."""
        self.stop()
        follower = self._follower
        if follower is None:
            return
        follower.join(PATIENCE_S)
        if follower.is_alive() and self._job is not None:
            self._job.process.kill()
            follower.join()

    def status(self) -> dict[str, Any]:
        """How it stands: state, progress while it runs, what came out once it is over."""
        with self._lock:
            job = self._job
            found: dict[str, Any] = {"state": self._state, "problem": self._problem, "result": self._result, "progress": None}
            if job is not None:
                now_s = self._clock()
                passed_s = now_s - (now_s if job.first_s is None else job.first_s)
                part, left_s = seconds_left(job.stage, job.done, job.total, passed_s=passed_s, expected_s=job.expected_s)
                found["progress"] = {
                    "what": job.what,
                    "stage": job.stage or "starting",
                    "done": job.done,
                    "total": job.total,
                    "part": round(part, 4),
                    "seconds": round(now_s - job.began_s, 1),
                    "seconds_left": round(left_s, 1),
                    "pictures": job.pictures,
                }
            return found

    def _follow(self, job: _Job) -> None:
        """Read what the child says until it ends, then draw the conclusion. Runs in a thread."""
        answers: list[str] = []
        with job.process:  # which closes its pipes and waits for it
            reader = threading.Thread(target=lambda: answers.extend(job.process.stdout or ()), daemon=True)
            reader.start()
            for line in job.process.stderr or ():
                self._hear(job, line.strip())
            reader.join()
        try:
            state, problem, result = self._conclusion(job, job.process.returncode, answers)
        except EdgeclError as error:  # the disk is full, or somebody removed the version at this moment
            state, problem, result = "failed", str(error), None
        with self._lock:
            self._state, self._problem, self._result, self._job = state, problem, result, None
        if result is not None:
            self._written(int(result["version"]))

    def _hear(self, job: _Job, line: str) -> None:
        try:
            said = json.loads(line)
            if said["format"] != "edgecl.progress/1":
                raise ValueError
            with self._lock:
                job.stage, job.done, job.total = str(said["stage"]), int(said["done"]), int(said["total"])
                job.first_s = self._clock() if job.first_s is None else job.first_s
        except (ValueError, KeyError, TypeError):
            if line:
                job.said.append(line)

    def _conclusion(self, job: _Job, code: int, answers: list[str]) -> tuple[State, str, dict[str, Any] | None]:
        result = _object(answers)
        job.settle(code == 0 and result is not None)
        if code == 0 and result is not None:
            return ("done" if result.get("state") == "current" else "staged"), "", self._with_classes(result)
        problem = next((line.removeprefix("error: ") for line in reversed(job.said) if line.startswith("error: ")), "")
        if code == GateFailed.exit_code and result is not None:
            return "refused", problem, self._with_classes(result)
        if job.stopping or code in (Interrupted.exit_code, -signal.SIGINT, -signal.SIGTERM):
            return "stopped", "", None
        return "failed", problem or f"the learner ended with {code}: {' '.join(job.said)[-300:] or 'it said nothing'}", None

    def _with_classes(self, result: dict[str, Any]) -> dict[str, Any]:
        """What the child said, and each class before and after."""
        manifest: Manifest = self._store.manifest(int(result["version"]))
        return {**result, "classes": manifest.checks.get("classes", {}), "parent": manifest.parent}


def _object(lines: list[str]) -> dict[str, Any] | None:
    """The JSON object on the last line of a child's stdout."""
    with suppress(ValueError, IndexError):
        found = json.loads(lines[-1])
        return found if isinstance(found, dict) else None
    return None
