"""The whole road on drawn pictures: init, three tasks, what is still known, export, a video, the report, one step back. For `edgecl demo`.

It is walked with the backbone that edgecl brings, and with the settings that a user gets. The pictures are drawn by `edgecl.demo.render`: its
figures say that the road works and what forgetting looks like, not how well a camera learns real things.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecl.backbones import NANO
from edgecl.demo.render import THINGS, write_task
from edgecl.demo.scene import SceneCamera
from edgecl.errors import MissingExtra
from edgecl.evaluate import evaluate
from edgecl.learner import learn
from edgecl.outcome import GraphWriter
from edgecl.pictures import find
from edgecl.preprocess import encode_jpeg, geometry_of
from edgecl.report.writing import write_report
from edgecl.runtime.app import App, CameraPlan
from edgecl.runtime.base import Prediction, Predictor
from edgecl.runtime.serving import FixedServing
from edgecl.runtime.sources import Source, parse_source
from edgecl.settings import DEFAULT_CAPACITY, AdapterShape, LearnSettings, MemorySettings
from edgecl.start import init_store
from edgecl.store import Store
from edgecl.store.history import rollback

Say = Callable[[str], None]
TASKS = tuple(tuple(THINGS[start : start + 3]) for start in (0, 3, 6))
PICTURES, NEW_PICTURES = 30, 20  # per class: learned from, and drawn anew to see what is known
SETTINGS = LearnSettings()
FPS, SECONDS = 8, 2  # of the video, and how long each thing is in it
NEXT = """next, with your own pictures and camera:
  edgecl init                              # makes ./model with the built-in backbone
  edgecl learn --task pictures/            # pictures/<class>/*.jpg, some 20 of each
  edgecl run --source /dev/video0 --page   # names what the camera sees; teach it more at http://127.0.0.1:8080"""


@dataclass(frozen=True, kw_only=True)
class Road:
    """What the walk is handed from above: who writes a graph, who computes it, who exports, and whom to tell."""

    say: Say
    progress: Callable[[str, int, int], None]
    write_graph: GraphWriter
    make_predictor: Callable[[], Predictor]
    export: Callable[[Store, int], str]  # writes a version for deployment and answers with a sentence


def walk(folder: Path, page: Path, road: Road) -> None:
    """Walk the road in the empty `folder`; the report goes to the file `page`."""
    store = _init(folder / "model", road)
    first: list[float] = []  # how well the first task is known after each
    for number, things in enumerate(TASKS, start=1):
        first.append(_teach(store, folder, number, things, road))
    road.say(f"the first task, after each of the three: {', '.join(f'{part:.0%}' for part in first)}. {_verdict(first)}")
    road.say(road.export(store, int(store.current or 0)))
    _run(store, folder, road)
    write_report(store, int(store.current or 0), page, road.make_predictor, progress=road.progress)
    road.say(f"report: {page}, to be opened in a browser")
    road.say(f"rollback: version {rollback(store)} serves again, without {', '.join(TASKS[-1])}")
    road.say(NEXT)


def _init(root: Path, road: Road) -> Store:
    store = init_store(
        root,
        backbone=NANO.backbone,
        weights=None,
        labels=None,
        capacity=DEFAULT_CAPACITY,
        adapter=AdapterShape(),
        memory=MemorySettings(),
        write_graph=road.write_graph,
        make_predictor=road.make_predictor,
    )
    road.say(f"init: a store with the built-in backbone {NANO.backbone}; no class is known yet, {DEFAULT_CAPACITY} have room")
    return store


def _teach(store: Store, folder: Path, number: int, things: tuple[str, ...], road: Road) -> float:
    """Learn one task, then ask for everything that was taught so far; returns how well the first task is known."""
    task = folder / f"task{number}"
    write_task(task, things, count=PICTURES, seed=number)
    result = learn(store, task, write_graph=road.write_graph, make_predictor=road.make_predictor, settings=SETTINGS, progress=road.progress)
    road.say(
        f"learn: {', '.join(things)} from {PICTURES} pictures each in {result.seconds:.0f} s; version {result.version} is {result.state}"
    )
    known = [_accuracy(store, folder / f"new{earlier}", TASKS[earlier - 1], road) for earlier in range(1, number + 1)]
    shown = ", ".join(f"task {earlier} {accuracy:.0%}" for earlier, accuracy in enumerate(known, start=1))
    road.say(f"  right on new pictures, among all {3 * number} classes: {shown} (guessing: {1 / (3 * number):.0%})")
    return known[0]


def _accuracy(store: Store, folder: Path, things: tuple[str, ...], road: Road) -> float:
    """Of the current version on pictures that no task held."""
    if not folder.exists():
        write_task(folder, things, count=NEW_PICTURES, seed=1000)
    predictor = road.make_predictor()
    with store.use() as version:
        predictor.load(version)
        pictures = find(folder, geometry_of(store.facts.architecture)).pictures
        return evaluate(predictor, [(p.class_name, p.input) for p in pictures], store.manifest(int(version.name))).accuracy


def _verdict(first: list[float]) -> str:
    """One sentence on what two more tasks did to the first."""
    lost = first[0] - first[-1]
    return "It was not forgotten." if lost <= 0.05 else f"It lost {100 * lost:.0f} points."


def _run(store: Store, folder: Path, road: Road) -> None:
    """The camera's loop on a drawn video; says what it called each thing, and how fast."""
    source, shown = _video(folder, road.say)
    predictor = road.make_predictor()
    answers: list[Prediction] = []
    with store.use() as version:
        predictor.load(version)
        app = App(
            [CameraPlan(source=source)], FixedServing(predictor, store.manifest(int(version.name))), geometry_of(store.facts.architecture)
        )
        app.run(lambda _, prediction: answers.append(prediction))
    for thing in THINGS:
        called = [answer.label for answer, name in zip(answers, shown, strict=True) if name == thing]
        wrong = sorted({label for label in called if label != thing})
        road.say(f"  {thing}: {called.count(thing)} of {len(called)} frames right{', else ' + ', '.join(wrong) if wrong else ''}")
    right = np.mean([answer.label == name for answer, name in zip(answers, shown, strict=True)])
    latency_ms = np.median([answer.latency_ms for answer in answers])
    unknown = sum(answer.unknown for answer in answers)
    road.say(f"  in all {right:.0%} of {len(answers)} frames, {unknown} of them called unknown all the same, {latency_ms:.1f} ms each")


def _video(folder: Path, say: Say) -> tuple[Source, list[str]]:
    """A drawn video in which every thing lies under a moving camera in its turn, and what each frame shows; frames as files without OpenCV."""
    camera = SceneCamera(f"{','.join(THINGS)}?size=224&fps={FPS}&seconds={SECONDS}")
    frames = [encode_jpeg(camera.picture(index)) for index in range(len(THINGS) * FPS * SECONDS)]
    video = folder / "things.mjpeg"
    video.write_bytes(b"".join(frames))
    source = parse_source(str(video))
    try:
        source.open().close()
        say(f"run: {video}, {len(frames)} frames")
    except MissingExtra as missing:
        still = folder / "frames"
        still.mkdir()
        for index, frame in enumerate(frames):
            (still / f"{index:03}.jpg").write_bytes(frame)
        source = parse_source(str(still))
        say(f"run: {len(frames)} frames, as pictures in {still}. {missing}")
    return source, [thing for thing in THINGS for _ in range(FPS * SECONDS)]
