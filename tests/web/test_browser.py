"""The page in a real browser, in front of the real app: look, teach something new, see it recognised, take it back.

Pictures of each step are written where EDGECL_SCREENSHOTS points, at a phone's and a desk's width.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecl.preprocess import decode
from edgecl.settings import LearnSettings
from edgecl.store import Store
from tests.runtime.servers import installed
from tests.web.turning import TurnedCamera, running_app
from tests.web.webdriver import Browser, browser, missing_browser

WIDTHS = {"phone": (390, 844), "desk": (1280, 800)}
LEARN_S = 400.0  # a busy machine is slow, and the learner has the lowest priority


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Browser]:
    """A browser; Debian's packages are installed where root may, else the test is skipped by name."""
    installed(lambda: not missing_browser(), ("chromium", "chromium-driver"))
    with browser(tmp_path / "profile") as window:
        yield window


class Album:
    """Takes a picture of each step at both widths; the walk itself happens at the phone's."""

    def __init__(self, window: Browser, name: str, tmp_path: Path) -> None:
        self._window, self._name = window, name
        self._folder = Path(os.environ.get("EDGECL_SCREENSHOTS") or tmp_path / "screenshots")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._taken = 0

    def take(self, step: str, *, at: str | None = None) -> None:
        """`<n>-<step>-phone.png` and `-desk.png`; `at` is scrolled to the middle first."""
        self._taken += 1
        for width, size in WIDTHS.items():
            self._window.resize(*size)
            self._window.run("arguments[0] ? document.querySelector(arguments[0])?.scrollIntoView({block: 'center'}) : scrollTo(0, 0)", at)
            time.sleep(0.4)
            path = self._folder / f"{self._name}-{self._taken}-{step}-{width}.png"
            self._window.picture(path)
            assert path.stat().st_size > 5000
        self._window.resize(*WIDTHS["phone"])


def label_is(window: Browser, name: str, *, limit_s: float = 60.0) -> None:
    """The live answer is this, twice within a second: not by chance of a single frame."""
    for _ in range(2):
        window.wait(f"document.querySelector('#label').innerText === '{name}'", limit_s=limit_s)
        time.sleep(0.5)


def walk(window: Browser, page: str, camera: TurnedCamera, album: Album, *, known: str, new: str) -> None:
    """Everything that a person does who teaches `new` to a camera that knows `known`."""
    window.resize(*WIDTHS["phone"])
    window.go(page)
    label_is(window, known)
    window.run("window.button = document.querySelector('#something-else')")
    frame = window.run("return document.querySelector('#frame').src")
    window.wait(f"document.querySelector('#frame').src !== '{frame}'")
    assert window.run("return document.querySelector('#frame').naturalWidth") == 640
    album.take("live")

    camera.at = new
    window.wait(f"document.querySelector('#label').innerText !== '{known}'", limit_s=30)
    assert window.run("return window.button.isConnected")  # nothing that one may be about to tap is exchanged meanwhile
    window.click("#something-else")
    window.type("#class-filter", new)
    album.take("correct")
    window.click_text("#class-list", f"New: {new}")
    window.wait(f"document.querySelector('#toast').innerText.includes('Kept for “{new}”: 1 waiting')")

    window.click("nav [data-tab=teach]")
    window.type("#name", new)
    for _ in range(4):
        window.hold("#shutter", 3.0)
        if int(window.text("#count")) >= 14:
            break
    assert int(window.text("#count")) >= 8, window.text("#verdict")
    album.take("collect")
    thumbs = window.run("return document.querySelectorAll('.thumb').length")
    window.click(".thumb button")
    window.wait(f"document.querySelectorAll('.thumb').length === {thumbs - 1}")
    assert "about" in window.text("#inbox .card:last-child")
    album.take("ready", at="#learn")

    window.click("#learn")
    window.wait("document.querySelector('#progress')?.value > 0.02", limit_s=LEARN_S)
    before = window.run("return document.querySelector('#frame').src")
    album.take("learning", at="#progress")
    window.wait(f"document.querySelector('#result') || document.querySelector('#frame').src !== {before!r}")  # the app goes on meanwhile
    window.wait("document.querySelector('#result')", limit_s=LEARN_S)
    assert f"It learned {new}" in window.text("#result")
    rows = window.run("return [...document.querySelectorAll('#result tbody tr')].map((row) => row.innerText.split('\\t'))")
    assert [row[1] for row in rows if row[0].startswith(new)] == ["–"]
    assert any(row[0] == known and " of " in row[1] for row in rows)
    album.take("result", at="#result")

    label_is(window, new)
    album.take("recognised")
    camera.at = known
    label_is(window, known)
    camera.at = new
    label_is(window, new)

    window.click("#take-back")
    window.wait("document.querySelector('#serving').innerText === 'version 1'", limit_s=30)
    window.wait(f"document.querySelector('#label').innerText !== '{new}'")
    album.take("rolled-back")
    window.click("nav [data-tab=history]")
    window.wait("document.querySelector('#version-1.serving') && document.querySelector('#version-2')")
    window.click("#version-2 summary")
    window.wait("document.querySelector('#version-2 tbody tr')")
    album.take("history")
    window.click_text("#version-2", "Serve it")
    window.click("#ask-yes")
    window.wait("document.querySelector('#serving').innerText === 'version 2'", limit_s=30)
    window.click("nav [data-tab=health]")
    window.wait("document.querySelector('#health .chart rect')")
    album.take("health")
    window.dark(True)
    window.click("nav [data-tab=live]")
    album.take("dark")
    assert window.complaints() == []


@pytest.mark.browser
@pytest.mark.slow
def test_teaching_a_colour(learned_colours: Store, window: Browser, tmp_path: Path) -> None:
    """On drawn pictures and a tiny model: a colour that it does not know is taught from the page, recognised, and taken back."""
    with (
        TurnedCamera({name: plain(name) for name in ("red", "grey")}, at="red") as camera,
        running_app(learned_colours.root, camera.url) as page,
    ):
        walk(window, page, camera, Album(window, "drawn", tmp_path), known="red", new="grey")
    assert learned_colours.current == 2


@pytest.mark.browser
@pytest.mark.shared
@pytest.mark.slow
def test_teaching_a_fruit(shared: Path, window: Browser, tmp_path: Path) -> None:
    """On photos from shops and the real ViT-Tiny: a fruit that it does not know is taught from the page, recognised, and taken back."""
    store = fruit_store(shared, tmp_path)
    pictures = {name: photos(shared, "val", name) + photos(shared, "train", name)[20:36] for name in ("Banana", "Pineapple")}
    with TurnedCamera(pictures, at="Banana") as camera, running_app(store.root, camera.url, "--smoothing", "5") as page:
        walk(window, page, camera, Album(window, "grocery", tmp_path), known="Banana", new="Pineapple")
    assert store.current == 2


@pytest.fixture
def learned_colours(tmp_path: Path) -> Store:
    """Version 1 knows red, green and blue."""
    from tests.teaching import draw_task, new_store, teach

    store = new_store(tmp_path / "model")
    teach(store, draw_task(tmp_path / "colours", "red", "green", "blue"))
    return store


def plain(name: str) -> list[NDArray[np.uint8]]:
    """Pictures of a colour with noise, as the tests' tasks have them."""
    from tests.teaching import COLOURS

    random = np.random.default_rng(7)
    return [np.clip(random.normal(COLOURS[name], 25, (40, 48, 3)), 0, 255).astype(np.uint8) for _ in range(40)]


def photos(shared: Path, part: str, name: str) -> list[NDArray[np.uint8]]:
    """All photos of a product."""
    return [decode(path) for path in sorted((shared / "data" / "grocery" / part / name).glob("*.jpg"))]


def fruit_store(shared: Path, tmp_path: Path) -> Store:
    """Version 1 of a ViT-Tiny knows bananas, kiwis and lemons, sixteen photos each."""
    from edgecl.cli import main
    from edgecl.learner import learn
    from edgecl.runtime.ort import OrtPredictor
    from edgecl_export.graph import write_graph

    weights = next((shared / "weights").glob("vit_tiny*.safetensors"))
    assert main(["init", str(tmp_path / "model"), "--backbone", "vit_tiny_patch16_224", "--weights", str(weights)]) == 0
    task = tmp_path / "fruit"
    for name in ("Banana", "Kiwi", "Lemon"):
        (task / name).mkdir(parents=True)
        for path in sorted((shared / "data" / "grocery" / "train" / name).glob("*.jpg"))[:16]:
            (task / name / path.name).symlink_to(path)
    store = Store.open(tmp_path / "model")
    learn(store, task, settings=LearnSettings(epochs=2), write_graph=write_graph, make_predictor=OrtPredictor)
    return store
