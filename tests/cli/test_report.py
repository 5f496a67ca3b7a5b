"""`edgecl report`, and a learn that the gate really refuses, on the command line."""

import json
from pathlib import Path

import pytest

from edgecl.cli import main
from edgecl.store import Store
from tests.teaching import made_to_hurt


@pytest.mark.usefixtures("place")
def test_the_page_of_the_current_version_lies_in_this_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Its name has the number, and the answer says where it is and how well the version does."""
    assert main(["report"]) == 0
    assert Path("report-1.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    out = capsys.readouterr().out
    assert "version 1: 2 of 2 held-out pictures known (100.0 %)" in out
    assert out.endswith("the page: report-1.html\n")


@pytest.mark.usefixtures("place")
def test_json_is_one_object_with_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    """`edgecl.report/1`; --out and the number are honoured."""
    assert main(["report", "0", "--out", "first.html", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["version"], found["path"]) == ("edgecl.report/1", 0, "first.html")
    assert "<title>edgecl: version 0</title>" in Path("first.html").read_text(encoding="utf-8")


def test_a_task_made_to_hurt_is_refused_with_3_and_the_report_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Old classes' pictures under new names: nothing is promoted, and both stderr and the page name the loss in words."""
    model, page = tmp_path / "model", tmp_path / "page.html"
    made_to_hurt(tmp_path)
    assert main(["learn", "--task", str(tmp_path / "hurt"), "--store", str(model), "--epochs", "1", "--threads", "1", "--json"]) == 3
    out, err = capsys.readouterr()
    reasons = json.loads(out)["gate"]["reasons"]
    assert "held-out pictures of old classes fell from" in reasons[0]
    assert f"error: version 2 stays staged: {'; '.join(reasons)}." in err
    assert (Store.open(model).current, json.loads(out)["state"]) == (1, "staged")
    assert main(["report", "2", "--store", str(model), "--out", str(page)]) == 0
    assert "The gate refused it: accuracy on 16 held-out pictures of old classes fell from" in page.read_text(encoding="utf-8")
    assert "kept pictures known before," in capsys.readouterr().out


@pytest.mark.shared
@pytest.mark.slow
def test_shop_photos_under_new_names_are_refused(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nine products learned from 12 photos each, then up to 24 of each as nine new ones: those that are kept are left out, the rest is refused."""
    data = shared / "data" / "grocery"
    products = json.loads((data / "tasks.json").read_text(encoding="utf-8"))["0"][0]
    for index, product in enumerate(products):
        photos = sorted((data / "train" / product).iterdir())
        for folder, count in ((tmp_path / "honest" / product, 12), (tmp_path / "hurt" / f"thing {index}", 24)):
            folder.mkdir(parents=True)
            for photo in photos[:count]:
                (folder / photo.name).symlink_to(photo.resolve())
    model = str(tmp_path / "model")
    assert main(["init", model]) == 0
    assert main(["learn", "--task", str(tmp_path / "honest"), "--store", model, "--epochs", "1"]) == 0
    capsys.readouterr()
    assert main(["learn", "--task", str(tmp_path / "hurt"), "--store", model, "--epochs", "1"]) == 3
    err = capsys.readouterr().err
    assert f"pictures of 'thing 0' are kept as pictures of '{products[0]}' and were left out" in err
    assert "error: version 2 stays staged: accuracy on 18 held-out pictures of old classes fell from" in err
    assert Store.open(tmp_path / "model").current == 1
