"""The page: what stands on it, that it needs nothing else, that it fits a phone."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgecl.errors import BadInput, UsageError
from edgecl.forget import forget_task
from edgecl.report import page as paging
from edgecl.report.gather import gather
from edgecl.report.page import render
from edgecl.report.writing import write_report
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from edgecl.store.history import rename
from tests.teaching import draw_task, made_to_hurt, new_store, teach

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def predictor() -> OrtPredictor:
    """One thread, as in all tests."""
    return OrtPredictor(threads=1)


def page_of(store: Store, number: int = 3) -> str:
    """The page about one version."""
    return render(gather(store, number, predictor), store.picture)


def text_of(page: str) -> str:
    """What a person reads of it."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def test_everything_that_was_promised_is_on_it(store: Store) -> None:
    """Each section, and in it the figures of this store."""
    page = page_of(store)
    manifest, memory = store.manifest(3), store.memory(3)
    for title in (
        "What was learned",
        "What is still known",
        "Classes that lost and gained",
        "How much was merged",
        "Time and memory used",
        "What the memory keeps",
        "Where it comes from",
    ):
        assert f"<h2>{title}</h2>" in page
    text = text_of(page)
    held = sum(kept.role == "holdout" for kept in memory)
    assert "t0003-third taught 2 new classes" in text
    assert f"of {held} held-out pictures known" in text
    assert re.search(r"95 % interval: \d+ to \d+ %", text)
    assert f"{len(memory)} pictures" in text
    assert manifest.deterministic in text
    assert re.search(r"unknown where (minus the largest logit|one minus the largest probability) is above -?\d", text)
    assert f"{store.run_info(3)['peak_memory_mib']} MiB" in text
    assert page.count('class="held"') == held
    assert page.count("<svg") == 2


def test_it_needs_nothing_from_elsewhere(store: Store) -> None:
    """No address, no script, and every picture is inside."""
    page = page_of(store)
    assert re.findall(r"https?:|<script|<link|@import|url\(|href=", page) == []
    assert set(re.findall(r'src="([^;]+);', page)) == {"data:image/jpeg"}
    assert 'name="viewport"' in page


def test_the_same_version_gives_the_same_page(store: Store) -> None:
    """Times on it are those of the learning."""
    assert page_of(store) == page_of(store)


def test_names_cannot_become_markup(store: Store) -> None:
    """A class is called what a person typed."""
    number = rename(store, "red", '<b onload="x">&').number
    page = page_of(store, number)
    assert "<b onload" not in page
    assert "&lt;b onload=&#34;x&#34;&gt;&amp;" in page


def test_rejected_files_are_listed_with_their_reason(tmp_path: Path) -> None:
    """As learn said them, in the name that the file has."""
    store = new_store(tmp_path / "model")
    draw_task(tmp_path / "task", "red", "green")
    (tmp_path / "task" / "red" / "empty <1>.jpg").write_bytes(b"")
    teach(store, tmp_path / "task")
    text = text_of(page_of(store, 1))
    assert "1 file was left out" in text
    assert "red/empty <1>.jpg empty" in text


def test_a_refused_version_says_why_in_words(tmp_path: Path) -> None:
    """The gate's reasons stand first, and the classes that lost are named."""
    store, hurt = made_to_hurt(tmp_path)
    result = teach(store, hurt)
    report = gather(store, 2, predictor)
    text = text_of(render(report, store.picture))
    assert report.states == ("staged",)
    assert f"The gate refused it: {'; '.join(result.gate.reasons)}." in text
    lost = [change for change in report.changes if change.gain < 0]
    assert lost
    for change in lost:
        assert f"{report.names[change.class_id]} {change.before.right} → {change.after.right} of {change.after.n}" in text


def test_versions_that_did_not_learn_have_a_page(store: Store) -> None:
    """The first one, and one that forgot."""
    assert "nothing has been learned yet" in text_of(page_of(store, 0))
    number = forget_task(store, "t0002-second", make_predictor=predictor).version
    text = text_of(page_of(store, number))
    assert f"Made by edgecl forget of t0002-second from version 3; it knows {len(store.manifest(number).classes)} classes." in text
    assert "What was learned" not in text


def test_a_large_memory_is_cut_and_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has room for so many thumbnails; held-out pictures come first."""
    monkeypatch.setattr(paging, "THUMBNAILS", 12)
    page = page_of(store)
    assert page.count('loading="lazy"') <= 12
    assert re.search(r"and \d+ more", text_of(page))


def test_an_earlier_page_is_replaced_and_nothing_else(store: Store, tmp_path: Path) -> None:
    """A file that is no page, a folder, and a place that does not exist are refused before anything is asked."""
    out = tmp_path / "page.html"
    write_report(store, 2, out, predictor)
    write_report(store, 3, out, predictor)
    assert "<title>edgecl: version 3</title>" in out.read_text(encoding="utf-8")

    def never() -> OrtPredictor:
        raise AssertionError("it was asked")

    (tmp_path / "mine.html").write_text("<!doctype html>\n<html lang='en'>")
    for place, complaint in (
        ("mine.html", "exists and is no page of edgecl"),
        (".", "is a folder; the page is one file"),
        ("no/page.html", "which is not a folder"),
    ):
        with pytest.raises(UsageError, match=complaint):
            write_report(store, 3, tmp_path / place, never)
    assert (tmp_path / "mine.html").read_text() == "<!doctype html>\n<html lang='en'>"


def test_a_place_that_cannot_be_written_leaves_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the place and the remedy, and no half page stays."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", refuse)
    place = tmp_path / "pages"
    place.mkdir()
    with pytest.raises(BadInput, match=r"page\.html cannot be written: Permission denied.*--out"):
        write_report(store, 3, place / "page.html", predictor)
    assert list(place.iterdir()) == []


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: chromium is not installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_as_wide_as_its_screen(store: Store, tmp_path: Path, width: int) -> None:
    """In a browser nothing sticks out to the right, on a phone and on a desk."""
    inner = html.escape(page_of(store), quote=True)
    (tmp_path / "frame.html").write_text(
        f'<iframe id="f" style="width:{width}px;height:900px;border:0" srcdoc="{inner}"></iframe><p id="p"></p>'
        "<script>onload = () => { const d = document.getElementById('f').contentDocument.documentElement;"
        "document.getElementById('p').textContent = 'measured ' + d.scrollWidth + ' of ' + d.clientWidth }</script>",
        encoding="utf-8",
    )
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    shown = subprocess.run([*command, (tmp_path / "frame.html").as_uri()], capture_output=True, text=True, timeout=120).stdout
    measured = re.search(r"measured (\d+) of (\d+)", shown)
    assert measured, shown[-300:]
    assert int(measured[1]) <= int(measured[2]) <= width
