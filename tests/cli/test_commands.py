"""What the commands answer when nothing is wrong."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

import edgecl.demo.walk
import edgecl.learner
import edgecl.outcome
from edgecl.backbones import NANO
from edgecl.cli import main
from edgecl.gate import GateResult
from edgecl.settings import LearnSettings, PaperSettings
from edgecl.store import Store
from tests.cli.workplace import classes, file, weights


def answered(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The one JSON object that a command prints with --json."""
    assert main([*arguments, "--json"]) == code
    (line,) = capsys.readouterr().out.splitlines()
    return dict(json.loads(line))


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("command", "form"),
    [
        ("log", "edgecl.log/1"),
        ("show", "edgecl.show/1"),
        ("status", "edgecl.status/1"),
        ("promote 0", "edgecl.promote/1"),
        ("rollback", "edgecl.rollback/1"),
        ("forget t0001-colours", "edgecl.forget/1"),
        ("forget --class red --purge", "edgecl.forget/1"),
        ("rename red rot", "edgecl.rename/1"),
        ("grow --capacity 16", "edgecl.grow/1"),
        ("export --onnx", "edgecl.exported/1"),
        ("evaluate --data colours", "edgecl.evaluation/1"),
        ("verify --deep", "edgecl.verify/1"),
        ("gc --keep 1", "edgecl.gc/1"),
        ("run --source colours/red/0.jpg", "edgecl.prediction/1"),
    ],
)
def test_json_is_one_object_with_its_format(command: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json a command prints one line, an object that begins with its format; without, it prints something for a person."""
    found = answered(capsys, *command.split())
    assert next(iter(found.items())) == ("format", form)
    if command.split()[0] in ("log", "show", "status", "verify", "gc", "run"):
        assert main(command.split()) == 0
        assert capsys.readouterr().out.strip()


def test_init_needs_nothing_but_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --backbone it takes the one that edgecl brings, without opening a connection; adapters sit in the upper half of its blocks."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = answered(capsys, "init", str(tmp_path / "model"))
    facts = Store.open(tmp_path / "model").facts
    assert (found["format"], found["classes"]) == ("edgecl.init/1", [])
    assert (facts.architecture, facts.source) == (NANO, "edgecl:edgecl_vit_nano")
    assert facts.adapter.first_block == NANO.depth // 2
    assert main(["init", str(tmp_path / "other"), "--first-block", "0"]) == 0
    assert Store.open(tmp_path / "other").facts.adapter.first_block == 0


def test_learn_answers_with_the_agreed_fields(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`learn --json` has every field of edgecl.learn/1, and rejected files with their reasons."""
    file("more/blue/empty.jpg")(place)
    found = answered(capsys, "learn", "--task", "more", "--epochs", "1")
    agreed = {
        "format", "version", "state", "task", "classes_added", "classes_extended",
        "coefficient", "accuracy", "rejected", "seconds", "peak_memory_mib",
    }  # fmt: skip
    assert agreed <= set(found)
    assert (found["version"], found["state"], found["task"], found["classes_added"]) == (2, "current", "t0002-more", ["blue"])
    assert set(found["accuracy"]) == {"validation", "holdout_before", "holdout_after"}
    assert found["rejected"] == [{"path": "blue/empty.jpg", "reason": "empty"}]


def test_learn_tells_what_it_learned_and_what_to_type_next(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a person: the classes, the accuracy before and after, the next commands; with --stage how to make the version current."""
    file("more/blue/empty.jpg")(place)
    assert main(["learn", "--task", "more", "--epochs", "1", "--stage", "--name", "sky"]) == 0
    out, err = capsys.readouterr()
    assert "version 2: learned blue (t0002-sky" in out
    assert "old classes 100.0 % before" in out
    assert "it is staged. Make it current with: edgecl promote 2" in out
    assert "left out: blue/empty.jpg: empty" in err
    assert main(["promote", "2"]) == 0
    assert Store.open(Path("model")).current == 2


def test_a_gate_that_says_no_is_3(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The version is written and answered as staged, the reasons go to stderr, and what served goes on serving."""
    verdict = GateResult(False, 4, 1.0, 0.5, 0.01, ("accuracy fell from 100.0% to 50.0%",))
    monkeypatch.setattr(edgecl.outcome, "judge", lambda **_: verdict)
    assert main(["learn", "--task", "more", "--epochs", "1", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["state"] == "staged"
    assert "error: version 2 stays staged: accuracy fell from 100.0% to 50.0%." in err
    assert "edgecl promote 2" in err
    assert Store.open(place / "model").current == 1


@pytest.mark.usefixtures("place")
def test_a_flag_wins_over_the_environment_and_that_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """--epochs beats EDGECL_EPOCHS beats the default; without --max-drop the store's settings decide (None reaches the library)."""
    seen: dict[str, Any] = {}

    def learn(store: Store, task: Path, **given: Any) -> None:
        seen.update(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(edgecl.learner, "learn", learn)
    monkeypatch.setenv("EDGECL_EPOCHS", "7")
    monkeypatch.setenv("EDGECL_SEED", "3")
    main(["learn", "--task", "more", "--epochs", "2"])
    assert seen["settings"] == LearnSettings(seed=3, epochs=2)
    assert seen["max_drop"] is None
    monkeypatch.setenv("EDGECL_MAX_DROP", "0.5")
    main(["learn", "--task", "more"])
    assert (seen["settings"].epochs, seen["max_drop"]) == (7, 0.5)


@pytest.mark.usefixtures("place")
def test_a_method_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --method edgecl's own; --epochs and the KL variant's part of the loss reach the paper's settings."""
    seen: list[Any] = []

    def learn(store: Store, task: Path, **given: Any) -> None:
        seen.append(given["paper"])
        raise KeyboardInterrupt

    monkeypatch.setattr(edgecl.learner, "learn", learn)
    for flags in ([], ["--method", "paper"], ["--method", "paper-kl", "--epochs", "2"]):
        main(["learn", "--task", "more", *flags])
    assert seen == [None, PaperSettings(), PaperSettings(epochs=2, divergence=0.4)]


def test_the_store_is_found_by_flag_then_environment_then_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--store beats EDGECL_STORE beats ./model, and the next command that is shown fits."""
    from edgecl.cli.output import again

    (place / "model").rename(place / "other")
    assert main(["log"]) == 4
    monkeypatch.setenv("EDGECL_STORE", "other")
    assert main(["log"]) == 0
    assert main(["log", "--store", "model"]) == 4
    assert again(Path("other"), "log") == "edgecl log"
    assert again(Path("my model"), "log") == "edgecl log --store 'my model'"


@pytest.mark.usefixtures("place")
def test_run_goes_on_past_a_picture_that_cannot_be_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each picture is a line on stdout; what is left out, and the summary, go to stderr."""
    file("colours/red/9.jpg", "no picture")(place)
    assert main(["run", "--source", "colours/red"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert "colours/red/9.jpg" not in out
    assert "left out: colours/red/9.jpg: not a picture" in err
    assert "4 answered, 1 left out" in err


def test_forget_says_what_stays_behind(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Forgetting a class says that the adapters keep what they learned; --purge removes the versions that held its pictures."""
    assert main(["forget", "--class", "red"]) == 0
    out = capsys.readouterr().out
    assert "the adapters keep what they learned from it" in out
    assert "older versions still hold it" in out
    assert main(["promote", "1"]) == 0
    assert main(["forget", "t0001-colours", "--purge"]) == 0
    assert "purged" in capsys.readouterr().out
    assert list((place / "model/memory").iterdir()) == []


@pytest.mark.parametrize("what", [["t0001-colours"], ["--class", "red"]])
def test_a_purge_can_be_given_later_and_again(place: Path, what: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """After forgetting without it, or when an app was in its way: the version that has forgotten stays, what held the pictures goes."""
    assert main(["forget", *what]) == 0
    store, held = Store.open(place / "model"), len(list((place / "model/memory").iterdir()))
    with store.use(1):
        assert main(["forget", *what, "--purge"]) == 5
    assert "holds these pictures and is in use" in capsys.readouterr().err
    assert main(["forget", *what, "--purge"]) == 0
    assert "version 2 (current) does not know it any more" in capsys.readouterr().out
    assert (1 in store.numbers(), store.current) == (False, 2)
    assert len(list((place / "model/memory").iterdir())) < held
    assert main(["forget", *what, "--purge"]) == 2  # nothing is left of it, so it may be a slip of the pen
    assert "See them with: edgecl" in capsys.readouterr().err


def test_init_with_labels_starts_with_their_classes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fine-tuned classifier brings its classes; the place may be an argument or --store."""
    weights()(place)
    file("labels.txt", "cup\n-\nmug\n")(place)
    command = ["init", "new", "--backbone", "vit_tiny_patch16_224", "--weights", "weights.safetensors", "--labels", "labels.txt"]
    found = answered(capsys, *command)
    assert found == {"format": "edgecl.init/1", "store": "new", "version": 0, "capacity": 128, "classes": ["cup", "mug"]}
    assert Store.open(place / "new").current == 0


@pytest.mark.usefixtures("place")
def test_log_names_what_each_version_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, with its state, task, and classes that came, went, or got another name."""
    assert main(["rename", "red", "rot"]) == 0
    capsys.readouterr()
    assert main(["log"]) == 0
    _, newest, learned, first = capsys.readouterr().out.splitlines()
    assert newest.split()[:6] == ["2", "current", "rename", "red", "->", "rot"]
    assert "learn t0001-colours +green +red" in learned
    assert first.split()[:2] == ["0", "past"]


def test_evaluate_names_what_it_left_out(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Classes that the version does not know are named on stderr and do not count."""
    classes("colours", "cup")(place)
    found = answered(capsys, "evaluate", "--data", "colours")
    assert (found["n"], found["unlearned"]) == (8, {"cup": 1})


def test_export_writes_a_folder_and_says_how_near_it_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`export --onnx --out DIR` writes the files of a deployment, and prints each comparison and the trtexec line."""
    assert main(["export", "--onnx", "--opset", "17", "--precision", "fp16", "--out", "out"]) == 0
    assert {path.name for path in (place / "out").iterdir()} == {"model.onnx", "weights.safetensors", "labels.txt", "export.json"}
    first, live, merged, engine = capsys.readouterr().out.splitlines()
    assert first.startswith("version 1 as ONNX opset 17, fp16: out (")
    assert live.startswith("live adapters -> merged weights: differs by ")
    assert merged.startswith("merged weights -> ONNX Runtime: differs by ")
    assert "trtexec --onnx=out/model.onnx" in engine


def test_the_demo_walks_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`edgecl demo --out DIR` learns three tasks, exports, runs on a video, reports, rolls back, says what to type next, and leaves a whole store."""
    monkeypatch.setattr(edgecl.demo.walk, "PICTURES", 4)
    monkeypatch.setattr(edgecl.demo.walk, "NEW_PICTURES", 1)
    monkeypatch.setattr(edgecl.demo.walk, "SECONDS", 1)
    monkeypatch.setattr(edgecl.demo.walk, "SETTINGS", LearnSettings(epochs=1))
    assert main(["demo", "--out", str(tmp_path / "walked")]) == 0
    out = capsys.readouterr().out
    for words in (
        "gear, bolt, washer",
        "the first task, after each",
        "export: version",
        "72 frames",
        "report.html",
        "rollback: version",
        "edgecl init ",
    ):
        assert words in out
    assert main(["verify", "--deep", "--store", str(tmp_path / "walked/model")]) == 0
    capsys.readouterr()
    assert main(["demo", "--out", str(tmp_path / "walked")]) == 2
    assert "is not an empty folder. Choose another one" in capsys.readouterr().err
