"""Store, cameras and outputs together."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgecl.demo.scene import SceneCamera
from edgecl.errors import BadInput, UsageError
from edgecl.runtime.app import CameraPlan
from edgecl.runtime.base import Prediction
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.service import Log, Service
from edgecl.runtime.sources import parse_source
from edgecl.runtime.systemd import Systemd
from edgecl.settings import AnnounceSettings
from edgecl.store import Store, health
from edgecl.store.history import promote
from tests.runtime.waiting import until

NEWEST = 3


class Manager(Systemd):
    """Keeps what systemd would hear, the watchdog apart."""

    def __init__(self) -> None:
        super().__init__({})
        self.heard: list[str] = []
        self.petted = 0

    def alive(self) -> None:
        self.petted += 1

    def _send(self, message: str) -> None:
        self.heard.append(message)


def loaded(folder: Path) -> OrtPredictor:
    """On one thread."""
    predictor = OrtPredictor(threads=1)
    predictor.load(folder)
    return predictor


def scene(**plan: Any) -> CameraPlan:
    """A drawn camera."""
    return CameraPlan(source=parse_source("test://gear?size=40&fps=100", schemes={"test": SceneCamera}), **plan)


@pytest.fixture
def pictures(tmp_path: Path) -> CameraPlan:
    """A folder of three pictures."""
    (tmp_path / "pictures").mkdir()
    for number, colour in enumerate(((210, 40, 40), (40, 200, 60), (210, 40, 40))):
        Image.new("RGB", (40, 40), colour).save(tmp_path / "pictures" / f"{number}.png")
    return CameraPlan(source=parse_source(str(tmp_path / "pictures")))


def test_a_folder_leaves_the_store_as_it_is(store: Store, pictures: CameraPlan) -> None:
    """It is answered by the current version, and neither starts nor good are noted."""
    before, answers = store.state(), list[Prediction]()
    manager = Manager()
    with Service(store, [pictures], loaded, systemd=manager, on_prediction=answers.append) as service:
        summary = service.run()
    assert [(answer.index, answer.version) for answer in answers] == [(0, NEWEST), (1, NEWEST), (2, NEWEST)]
    assert (summary.answered, store.state(), store.good) == (3, before, None)
    assert manager.heard == [f"READY=1\nSTATUS=version {NEWEST} answers", "STOPPING=1"]


def test_a_version_can_be_chosen(store: Store) -> None:
    """A camera then stays with it."""
    answers: list[Prediction] = []
    with Service(store, [scene()], loaded, version=1, on_prediction=answers.append) as service:
        service.run(lambda: len(answers) >= 3)
    assert {answer.version for answer in answers} == {1}
    assert health.starts(store.state(), 1) == 0


def test_a_camera_follows_the_store(store: Store) -> None:
    """From one version to the next while it runs; systemd hears of it, and the loop shows that it is alive."""
    promote(store, 2)
    answers, told, manager = list[Prediction](), list[str](), Manager()
    with Service(store, [scene()], loaded, systemd=manager, tell=told.append, on_prediction=answers.append) as service:
        service._serving._poll_s = 0.02
        done = threading.Event()
        loop = threading.Thread(target=service.run, args=(done.is_set,))
        loop.start()
        until(lambda: len(answers) > 3)
        promote(store, NEWEST)
        until(lambda: answers[-1].version == NEWEST)
        assert service.view.status().swaps == 1
        done.set()
        loop.join()
    assert [answer.version for answer in answers] == sorted(answer.version for answer in answers)
    assert manager.heard == [
        "READY=1\nSTATUS=version 2 answers",
        f"READY=1\nSTATUS=version {NEWEST} answers",
        "STOPPING=1",
    ]
    assert manager.petted >= len(answers)
    assert f"version {NEWEST} answers" in told


@pytest.mark.parametrize("every_answer", [True, False])
def test_the_log_holds_answers_or_changes(store: Store, pictures: CameraPlan, tmp_path: Path, every_answer: bool) -> None:
    """One kind of line per log."""
    log = Log(path=tmp_path / "a.log", limit_bytes=10**6, every_answer=every_answer)
    changes: list[str | None] = []
    announce = AnnounceSettings(hold_s=0.0)
    with Service(store, [pictures], loaded, announce=announce, log=log, on_change=lambda change: changes.append(change.label)) as service:
        service.run()
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert {line["format"] for line in lines} == {"edgecl.prediction/1" if every_answer else "edgecl.change/1"}
    assert len(lines) == (3 if every_answer else len(changes))
    assert changes


def test_what_cannot_work_is_told_before_a_start_is_counted(store: Store, tmp_path: Path) -> None:
    """A wrong address is not the version's fault."""
    before = store.state()
    threads = threading.active_count()
    for options, error in (
        ({"announce": AnnounceSettings(webhook="ftp://x")}, UsageError),
        ({"log": Log(path=tmp_path, limit_bytes=10**6, every_answer=False)}, BadInput),
    ):
        with pytest.raises(error), Service(store, [scene()], loaded, **options):
            pass
    assert store.state() == before
    assert threading.active_count() == threads


def test_a_crash_is_a_start_that_counts(store: Store) -> None:
    """An orderly end is none."""
    with pytest.raises(ZeroDivisionError), Service(store, [scene()], loaded, on_prediction=lambda prediction: 1 / 0) as service:
        service.run()
    assert health.starts(store.state(), NEWEST) == 1
    answers: list[Prediction] = []
    with Service(store, [scene()], loaded, on_prediction=answers.append) as service:
        service.run(lambda: len(answers) > 1)
    assert health.starts(store.state(), NEWEST) == 1
