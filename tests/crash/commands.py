"""The commands whose power cuts are explored. One line each; what a command needs is in the place that `prepare` makes."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecl.bundle.pack import pack
from edgecl.cli import main
from edgecl.errors import Interrupted
from edgecl.forget import forget_task
from edgecl.guard import Guard
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from tests.crash.explore import Command, CommandFailed
from tests.store.builders import create
from tests.teaching import draw_task, new_store, teach


def cli(line: str) -> Command:
    """A command line of edgecl, in which `{}` is the place."""

    def run(place: Path) -> None:
        code = main([*line.replace("{}", str(place)).split(), "--store", str(place / "model")])
        if code != 0:
            raise CommandFailed(f"`edgecl {line}` ended with {code}")

    return run


def stopped(place: Path) -> None:
    """A learn that is asked to end after its first step, and answers that what it has learned is kept."""
    guard = Guard()
    look = guard.between_steps

    def stop(*arguments: Any) -> bool:
        guard.stop("asked to")
        return look(*arguments)

    guard.between_steps = stop  # type: ignore[method-assign]
    try:
        teach(Store.open(place / "model"), place / "more", guard=guard)
    except Interrupted:
        return
    raise CommandFailed("the learn was not stopped")


LEARN = "learn --task {}/more --epochs 1 --threads 1"
COMMANDS: Mapping[str, Command] = {
    "init": lambda place: new_store(place / "model"),
    "init, no version": lambda place: create(place / "model"),
    "learn": cli(LEARN),
    "learn --stage": cli(f"{LEARN} --stage"),
    "learn, stopped": stopped,
    "rollback": cli("rollback"),
    "promote": cli("promote 0"),  # whose weights gc has dropped
    "good": lambda place: Store.open(place / "model").mark_good(4),
    "rename": cli("rename red rot"),
    "grow": cli("grow --capacity 24"),
    "forget": cli("forget t0001-first"),
    "forget --purge": cli("forget t0001-first --purge"),
    "apply": cli("apply {}/task.edgecl"),
    "gc": cli("gc"),
    "gc --keep": cli("gc --keep 1"),
    "export": cli("export --onnx"),
    "export --out": cli("export --onnx --out {}/a/b/c/d/out"),
}


@dataclass(frozen=True)
class Pair:
    """A command that is killed, and the one that is run after it, during which the power is cut."""

    killed: str
    then: str


PAIRS = (
    Pair("learn", "learn"),
    Pair("learn --stage", "learn --stage"),
    Pair("learn --stage", "promote 5"),
    Pair("rollback", "gc --keep"),
    Pair("gc", "gc"),
    Pair("gc --keep", "gc --keep"),
    Pair("promote", "promote"),
    Pair("forget --purge", "gc --keep"),
    Pair("export", "export"),
    Pair("apply", "apply"),
)
AFTERWARDS: Mapping[str, Command] = {**COMMANDS, "promote 5": cli("promote 5")}


def prepare(place: Path) -> Path:
    """A store in which every command has something to do, a task `more`, and a bundle `task.edgecl`.

    Versions: 0 empty, its weights dropped; 1 red, green; 2 blue, yellow; 3 forgot those two again, good; 4 black, current.
    """
    store = new_store(place / "model")
    for name, colours in (("first", ("red", "green")), ("second", ("blue", "yellow"))):
        teach(store, draw_task(place / name, *colours, count=6))
    forget_task(store, "t0002-second", make_predictor=OrtPredictor)
    teach(store, draw_task(place / "third", "black", count=6))
    store.mark_good(3)
    (store.folder(0) / "weights.safetensors").unlink()
    draw_task(place / "more", "violet", count=4)
    _pack(store, place)
    for name in ("first", "second", "third"):
        shutil.rmtree(place / name)
    return place


def _pack(store: Store, place: Path) -> None:
    """What another board with the same store has learned."""
    other = Store.open(Path(shutil.copytree(store.root, place / "other", symlinks=True)))
    teach(other, draw_task(place / "fourth", "grey", count=4))
    pack(other, 5, place / "task.edgecl", make_predictor=OrtPredictor, pictures=True)
    for name in ("other", "fourth"):
        shutil.rmtree(place / name)


def fresh(template: Path, place: Path, name: str) -> Path:
    """A copy of the prepared place for one command; for `init` one without a store."""
    shutil.copytree(template, place, symlinks=True)
    if name.startswith("init"):
        shutil.rmtree(place / "model")
    return place
