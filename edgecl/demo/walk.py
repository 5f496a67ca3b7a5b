"""The whole road on drawn pictures: init, three tasks, what is still known, export, run, take back. For `edgecl demo`.

The backbone is a small ViT with random numbers. It has never seen a picture, so its figures say that the road works and nothing about
how well a trained backbone learns.
"""

from collections.abc import Callable
from pathlib import Path

from edgecl.architecture import Architecture
from edgecl.backbone import random_state
from edgecl.demo.render import THINGS, render, write_task
from edgecl.evaluate import evaluate
from edgecl.learner import learn
from edgecl.outcome import GraphWriter
from edgecl.pictures import find
from edgecl.preprocess import geometry_of
from edgecl.runtime.app import App, CameraPlan
from edgecl.runtime.base import Prediction, Predictor
from edgecl.runtime.serving import FixedServing
from edgecl.runtime.sources import parse_source
from edgecl.settings import AdapterShape, LearnSettings, MemorySettings
from edgecl.start import create_store
from edgecl.store import Store
from edgecl.store.history import rollback

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]
TASKS = tuple(tuple(THINGS[start : start + 3]) for start in (0, 3, 6))
PICTURES, NEW_PICTURES = 30, 12  # per class: learned from, and drawn anew to see what is known
SETTINGS = LearnSettings(epochs=12, learning_rate=3e-3)
UNTRAINED = Architecture(
    backbone="edgecl_demo_untrained",
    image_size=64,
    patch_size=8,
    width=96,
    depth=4,
    heads=3,
    mlp_width=192,
    norm_eps=1e-6,
    layer_scale=False,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    interpolation="bicubic",
    crop_pct=0.9,
)


def walk(
    folder: Path,
    *,
    say: Say,
    progress: Progress,
    write_graph: GraphWriter,
    make_predictor: Callable[[], Predictor],
    export: Callable[[Store, int], str],
) -> None:
    """Walk the road in the empty `folder`; `export` writes a version for deployment and answers with a sentence."""
    say("init: a small ViT with random numbers. It is UNTRAINED: the figures below show that the road works, not how well a camera learns.")
    store = untrained_store(folder / "model", write_graph, make_predictor)
    for number, things in enumerate(TASKS, start=1):
        _teach(store, folder, number, things, say, progress, write_graph, make_predictor)
    say(export(store, int(store.current or 0)))
    _run(store, folder, say, make_predictor)
    back = rollback(store)
    say(f"rollback: version {back} serves again, without {', '.join(TASKS[-1])}")


def untrained_store(root: Path, write_graph: GraphWriter, make_predictor: Callable[[], Predictor]) -> Store:
    """A small model of random numbers that knows nothing yet: enough to show every command, and made in a second."""
    return create_store(
        root,
        architecture=UNTRAINED,
        state=random_state(UNTRAINED, seed=0),
        source="random numbers",
        capacity=16,
        adapter=AdapterShape(first_block=0),
        memory=MemorySettings(per_class=20),  # random features forget more than trained ones
        write_graph=write_graph,
        make_predictor=make_predictor,
    )


def _teach(
    store: Store,
    folder: Path,
    number: int,
    things: tuple[str, ...],
    say: Say,
    progress: Progress,
    write_graph: GraphWriter,
    make_predictor: Callable[[], Predictor],
) -> None:
    """Learn one task, then ask for everything that was taught so far."""
    task = folder / f"task{number}"
    write_task(task, things, count=PICTURES, seed=number)
    result = learn(store, task, write_graph=write_graph, make_predictor=make_predictor, settings=SETTINGS, progress=progress)
    say(f"learn: {', '.join(things)} in {result.seconds:.0f} s; version {result.version} is {result.state}")
    known = []
    for earlier in range(1, number + 1):
        accuracy = _accuracy(store, folder / f"new{earlier}", TASKS[earlier - 1], make_predictor)
        known.append(f"task {earlier} {accuracy:.0%}")
    chance = 1 / (3 * number)
    say(f"  right on new pictures, among all {3 * number} classes: {', '.join(known)} (guessing: {chance:.0%})")


def _accuracy(store: Store, folder: Path, things: tuple[str, ...], make_predictor: Callable[[], Predictor]) -> float:
    """Of the current version on pictures that no task held."""
    if not folder.exists():
        write_task(folder, things, count=NEW_PICTURES, seed=1000)
    predictor = make_predictor()
    with store.use() as version:
        predictor.load(version)
        pictures = find(folder, geometry_of(store.facts.architecture)).pictures
        return evaluate(predictor, [(p.class_name, p.input) for p in pictures], store.manifest(int(version.name))).accuracy


def _run(store: Store, folder: Path, say: Say, make_predictor: Callable[[], Predictor]) -> None:
    """The camera's loop on a folder of drawn frames."""
    from PIL import Image

    frames = folder / "frames"
    frames.mkdir()
    for index, thing in enumerate(THINGS):
        Image.fromarray(render(thing, seed=2000)).save(frames / f"{index}-{thing}.png")
    predictor = make_predictor()
    answers: list[Prediction] = []
    with store.use() as version:
        predictor.load(version)
        serving = FixedServing(predictor, store.manifest(int(version.name)))
        app = App([CameraPlan(source=parse_source(str(frames)))], serving, geometry_of(store.facts.architecture))
        app.run(lambda _, prediction: answers.append(prediction))
    for answer in answers:
        say(
            f"run: {Path(answer.source).name}: {answer.label} {answer.score:.0%}{' (unknown)' if answer.unknown else ''}, {answer.latency_ms:.1f} ms"
        )
