"""Learning in a process of its own: what is read from the child, what becomes of the pictures, how long it will take."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edgecl.errors import BadPictures, EdgeclError, StoreBusy
from edgecl.store import Store
from edgecl.store.formats import sealed
from edgecl.store.inbox import Inbox
from edgecl.web.child import NICENESS, apply_command, learn_command
from edgecl.web.estimate import SHARES, START_S, seconds_left, seconds_to_learn
from edgecl.web.learning import Learning, missing_for_learning
from tests.runtime.waiting import until

PROGRESS = """{"format": "edgecl.progress/1", "stage": "training", "done": 1, "total": 2, "seconds": 1.0}"""
RESULT = """{"format": "edgecl.learn/1", "version": 3, "state": "%s", "classes_added": ["tea"]}"""


@pytest.fixture
def inbox(store: Store) -> Inbox:
    """With two pictures of tea."""
    inbox = Inbox(store.root)
    for seed in range(2):
        rgb = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        inbox.add("tea", rgb, datetime.now(timezone.utc))
    return inbox


def child(script: str) -> Callable[..., Sequence[str]]:
    """A command that runs a piece of Python in the place of `edgecl learn`."""
    return lambda *_, **__: [
        sys.executable,
        "-c",
        f"import sys, time, json, os\nsay = lambda text: print(text, file=sys.stderr, flush=True)\n{script}",
    ]


def learning(store: Store, inbox: Inbox, script: str) -> Learning:
    """With such a child."""
    return Learning(store, inbox, latency_ms=lambda: 10.0, command=child(script))


def waiting(inbox: Inbox) -> int:
    """Pictures in the inbox."""
    return sum(len(each.pictures) for each in inbox.collected())


def test_a_learn_is_followed_to_its_end(store: Store, inbox: Inbox) -> None:
    """Progress while it runs, then the answer with each class before and after; what was learned is gone from the inbox."""
    found = learning(
        store, inbox, f"say('''{PROGRESS}'''); say('a warning'); sys.stdin.close(); time.sleep(0.5); print('''{RESULT % 'current'}''')"
    )
    assert found.status()["state"] == "idle"
    found.start(stage=False)
    until(lambda: (found.status()["progress"] or {}).get("stage") == "training")
    progress = found.status()["progress"]
    assert (progress["done"], progress["total"], progress["pictures"]) == (1, 2, 2)
    assert progress["part"] == pytest.approx(0.55)
    assert waiting(inbox) == 0
    until(lambda: found.status()["state"] == "done")
    result = found.status()["result"]
    assert (result["version"], result["parent"], result["classes"]["violet"]["before"]) == (3, 2, None)
    assert found.status()["progress"] is None
    assert not (store.root / "inbox" / "learning").exists()


@pytest.mark.parametrize(
    ("script", "state", "problem", "left"),
    [
        (f"print('''{RESULT % 'staged'}''')", "staged", "", 0),
        (f"print('''{RESULT % 'staged'}'''); say('error: it forgets red'); sys.exit(3)", "refused", "it forgets red", 2),
        ("say('error: the disk is full'); sys.exit(7)", "failed", "the disk is full", 2),
        ("say('some words'); sys.exit(1)", "failed", "the learner ended with 1: some words", 2),
        ("sys.exit(0)", "failed", "the learner ended with 0: it said nothing", 2),
        ("print(json.dumps({'version': 99, 'state': 'current'}))", "failed", "there is no version 99", 0),
        ("print('[1]'); sys.exit(0)", "failed", "the learner ended with 0: it said nothing", 2),
        ("os.kill(os.getpid(), 9)", "failed", "the learner ended with -9: it said nothing", 2),
        ("sys.exit(130)", "stopped", "", 2),
    ],
)
def test_how_a_learn_may_end(store: Store, inbox: Inbox, script: str, state: str, problem: str, left: int) -> None:
    """Served, waiting, refused, failed or stopped: the state, the reason, and whether the pictures wait again."""
    found = learning(store, inbox, script)
    found.start(stage=False)
    until(lambda: found.status()["state"] != "running")
    assert (found.status()["state"], found.status()["problem"].partition(";")[0], waiting(inbox)) == (state, problem, left)


def test_a_learn_is_stopped(store: Store, inbox: Inbox) -> None:
    """The child is asked to end, also where it ignores Ctrl-C; its pictures wait again, and the next learn may begin."""
    ignoring = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)"
    found = learning(store, inbox, f"{ignoring}\nsay('''{PROGRESS}''')\ntime.sleep(60)")
    found.start(stage=False)
    with pytest.raises(StoreBusy, match="the camera is learning already"):
        found.start(stage=False)
    until(lambda: (found.status()["progress"] or {}).get("stage"))
    found.stop()
    until(lambda: found.status()["state"] == "stopped")
    assert waiting(inbox) == 2
    found.start(stage=False)
    found.close()
    found.stop()  # nothing runs any more


def test_closing_ends_a_child_that_does_not_listen(store: Store, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the app ends, no learner is left behind."""
    monkeypatch.setattr("edgecl.web.learning.PATIENCE_S", 0.3)
    found = learning(store, inbox, f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay('''{PROGRESS}''')\ntime.sleep(60)")
    found.start(stage=False)
    until(lambda: (found.status()["progress"] or {}).get("stage"))
    began_s = time.monotonic()
    found.close()
    assert time.monotonic() - began_s < 10
    assert found.status()["state"] != "running"


def test_the_child_has_the_lowest_priority(store: Store, inbox: Inbox) -> None:
    """It is as nice as can be, the first that the kernel takes when memory runs out, and Ctrl-C at the app's terminal does not reach it."""
    script = (
        "time.sleep(0.5); print(json.dumps({'version': 3, 'state': 'current', 'nice': os.nice(0), 'leader': os.getsid(0) == os.getpid(), "
    )
    script += "'oom': open('/proc/self/oom_score_adj').read().strip()}))"
    found = learning(store, inbox, script)
    found.start(stage=False)
    until(lambda: found.status()["state"] == "done")
    result = found.status()["result"]
    assert (result["nice"], result["oom"], result["leader"]) == (NICENESS, "800", True)


@pytest.mark.parametrize(("script", "state", "problem"), [(f"print('''{RESULT % 'current'}''')", "done", ""),
                                                         ("say('error: not signed'); sys.exit(4)", "failed", "not signed")])  # fmt: skip
def test_a_bundle_is_applied_beside_the_inbox(store: Store, inbox: Inbox, script: str, state: str, problem: str) -> None:
    """The child gets the file that was sent, which is gone afterwards, whatever came of it; pictures that wait go on waiting."""
    seen: list[Path] = []

    def command(root: Path, bundle: Path, *, stage: bool) -> Sequence[str]:
        seen.append(bundle)
        assert bundle.read_bytes() == b"packed"
        return child(script)()

    found = Learning(store, inbox, latency_ms=lambda: 10.0, apply=command)
    found.apply(b"packed", stage=False)
    assert (found.status()["progress"] or {"what": "bundle"})["what"] == "bundle"
    until(lambda: found.status()["state"] != "running")
    assert (found.status()["state"], found.status()["problem"], waiting(inbox)) == (state, problem, 2)
    assert not seen[0].exists()


@pytest.mark.slow
def test_the_real_apply_brings_what_another_camera_learned(store: Store, inbox: Inbox, tmp_path: Path) -> None:
    """`edgecl apply` as a child adds the classes of a packed version to a camera that stands at an older one."""
    from edgecl.cli import main
    from edgecl.store.history import rollback

    assert main(["pack", "3", "--since", "2", "--out", str(tmp_path / "task.edgecl"), "--store", str(store.root), "--pictures"]) == 0
    rollback(store, 2)
    found = Learning(store, inbox, latency_ms=lambda: 1.0)
    found.apply((tmp_path / "task.edgecl").read_bytes(), stage=False)
    until(lambda: found.status()["state"] != "running", 180.0)
    status = found.status()
    assert (status["state"], status["problem"]) == ("done", "")
    assert set(status["result"]["classes_added"]) == {"violet", "white"}
    assert store.current == 4
    assert waiting(inbox) == 2


def test_nothing_is_begun_that_cannot_be(store: Store, inbox: Inbox) -> None:
    """While somebody learns at a terminal, with an empty inbox, or without a program to start, the pictures stay where they are."""
    found = learning(store, inbox, "")
    other = Store.open(store.root)
    with other.learning_lock(), pytest.raises(StoreBusy, match="is being changed by"):
        found.start(stage=False)
    assert waiting(inbox) == 2
    broken = Learning(store, inbox, latency_ms=lambda: None, command=lambda *_, **__: ["/nowhere/edgecl"])
    with pytest.raises(EdgeclError, match="the learner cannot be started"):
        broken.start(stage=False)
    assert waiting(inbox) == 2
    inbox.remove("tea")
    with pytest.raises(BadPictures):
        found.start(stage=False)
    assert found.status()["state"] == "idle"


def test_what_a_cut_off_app_left_waits_again(store: Store, inbox: Inbox) -> None:
    """Pictures that were handed to a learn whose app lost power are in the inbox after the next start."""
    inbox.hand_over()
    assert waiting(inbox) == 0
    learning(store, inbox, "")
    assert waiting(inbox) == 2


def test_the_command_names_everything_with_an_equals_sign(tmp_path: Path) -> None:
    """A class whose name begins with a dash is not taken for an option."""
    assert apply_command(tmp_path, tmp_path / "a.edgecl", stage=True)[-3:] == ["--stage", "--", str(tmp_path / "a.edgecl")]
    command = learn_command(tmp_path, tmp_path / "task", "-x", stage=True)
    assert command[1:4] == ["-m", "edgecl", "learn"]
    assert f"--task={tmp_path / 'task'}" in command
    assert {"--name=-x", "--stage", "--json", "--progress-json"} <= set(command)


def test_looking_for_the_learn_extra_loads_none_of_it() -> None:
    """The page asks whether torch is there without importing it."""
    import subprocess

    code = "import sys, edgecl.web.server, edgecl.web.learning as l; print(repr(l.missing_for_learning()), [m for m in ('torch', 'timm', 'onnxruntime') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "'' []"
    assert missing_for_learning() == ""


def test_an_estimate_follows_the_last_learn(store: Store) -> None:
    """As many pictures as last time take as long as last time and the start; more take longer."""
    path = store.folder(3) / "run.json"
    kept = len(store.memory(3))
    counts = {"new": 16, "validation": 4, "replay": kept, "holdout": 0}
    run = {**json.loads(path.read_text(encoding="utf-8")), "seconds": 100.0, "pictures": counts, "settings": {"epochs": 4}}
    path.write_text(json.dumps(sealed("run", run)), encoding="utf-8")
    assert seconds_to_learn(store, 20, 10.0) == pytest.approx(START_S + 100)
    assert START_S < seconds_to_learn(store, 5, 10.0) < START_S + 100 < seconds_to_learn(store, 40, 10.0)


def test_before_the_first_learn_an_estimate_follows_the_app_s_speed(store: Store) -> None:
    """Twice as slow an engine, twice as long a learn."""
    for number in store.numbers():
        (store.folder(number) / "run.json").unlink()
    assert seconds_to_learn(store, 20, 20.0) - START_S == pytest.approx(2 * (seconds_to_learn(store, 20, 10.0) - START_S))
    assert seconds_to_learn(store, 20, None) > START_S


@pytest.mark.parametrize(
    ("stage", "done", "total", "passed_s", "expected"),
    [
        ("", 0, 0, 5.0, (0.0, 60.0)),
        ("reading pictures", 1, 2, 1.0, (0.02, 60.0 - START_S - 1.0)),
        ("reading pictures", 1, 2, 90.0, (0.02, 0.0)),
        ("training", 0, 0, 20.0, (0.2, 80.0)),
        ("training", 1, 2, 55.0, (0.55, 45.0)),
        ("choosing the coefficient", 1, 1, 100.0, (1.0, 0.0)),
    ],
)
def test_what_is_left(stage: str, done: int, total: int, passed_s: float, expected: tuple[float, float]) -> None:
    """First the estimate less what has passed, then what the part that is done says."""
    assert seconds_left(stage, done, total, passed_s=passed_s, expected_s=60.0) == pytest.approx(expected)
    assert sum(SHARES.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("script", "told"), [(f"print('{RESULT % 'current'}')", [3]), ("sys.exit(4)", [])])
def test_whoever_wants_to_know_is_told_of_a_new_version(store: Store, inbox: Inbox, script: str, told: list[int]) -> None:
    """Its number, once it is written: the page then has its report made. A learn that failed made none."""
    numbers: list[int] = []
    found = Learning(store, inbox, latency_ms=lambda: 10.0, command=child(script), written=numbers.append)
    found.start(stage=False)
    until(lambda: found.status()["state"] != "running")
    found.close()
    assert numbers == told


@pytest.mark.slow
def test_the_real_learner_teaches_what_was_collected(store: Store) -> None:
    """`edgecl learn` as a child learns two classes of the inbox; its stages are those that progress is computed from."""
    from edgecl.preprocess import decode
    from tests.teaching import draw_task

    inbox = Inbox(store.root)
    folder = draw_task(store.root.parent / "task", "black", "grey", count=8)
    for path in sorted(folder.rglob("*.png")):
        inbox.add(path.parent.name, decode(path), datetime.now(timezone.utc), doubles=True)
    found, stages = Learning(store, inbox, latency_ms=lambda: 1.0), set()
    found.start(stage=False)

    def over() -> bool:
        status = found.status()
        stages.add((status["progress"] or {}).get("stage"))
        return status["state"] != "running"

    until(over, 180.0)
    status = found.status()
    assert (status["state"], status["problem"]) == ("done", "")
    assert status["result"]["classes_added"] == ["black", "grey"]
    assert status["result"]["task"] == "t0004-black-grey"
    assert {name for name in stages if name} - {"starting"} <= set(SHARES)
    assert "training" in stages
    assert store.current == 4
    assert waiting(inbox) == 0
