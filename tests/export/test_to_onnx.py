"""Writing a version into a folder of its own: what lies in it, and what never happens to what lay there."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

from edgecl.errors import BadInput, NoSpace, ParityFailed, UsageError
from edgecl.manifest import ClassEntry, FileEntry, Manifest, Recipe, Thresholds
from edgecl_export import to_onnx
from edgecl_export.to_onnx import export_onnx, trtexec_line
from tests.export.models import CAPACITY, ROWS, TINY, random_head, random_state

NAMES = ("cola", "fänta", "müsli", "tea", "_background")
HOP = {"hop": "a -> b", "n": 3}
MANIFEST = Manifest(
    number=7,
    parent=6,
    operation="learn",
    task="t0007-cans",
    capacity=CAPACITY,
    next_row=10,
    classes=tuple(ClassEntry(id=f"id-{name}", row=row, name=name, tasks=("t0007-cans",)) for name, row in zip(NAMES, ROWS, strict=True)),
    recipe=Recipe(),
    thresholds=Thresholds(unknown_above=0.5),
    temperature=1.25,
    seeds={},
    checks={},
    files={},
).sealed()


def write(out: Path, *, state: Mapping[str, Any] | None = None, **options: Any) -> dict[str, FileEntry]:
    """Export the random tiny model to `out`."""
    options = {"prove": lambda folder: [HOP], **options}
    return export_onnx(MANIFEST, TINY, state or random_state(TINY), random_head(TINY.width), out=out, **options)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refuse(folder: Path) -> Sequence[Mapping[str, Any]]:
    """A proof that fails."""
    raise ParityFailed("a -> b: no")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_folder_stands_alone(tmp_path: Path, precision: str) -> None:
    """Four real files; the graph checks with the weights beside it; weights in the precision asked for; one label per row."""
    out = tmp_path / "out"
    files = write(out, precision=precision)
    assert sorted(path.name for path in out.iterdir()) == ["export.json", "labels.txt", "model.onnx", "weights.safetensors"]
    assert all(path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1 for path in out.iterdir())
    onnx.checker.check_model(str(out / "model.onnx"), full_check=True)
    assert {array.dtype.name for array in load_file(out / "weights.safetensors").values()} == {f"float{precision[2:]}"}
    labels = (out / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert [labels[row] for row in ROWS] == list(NAMES)
    assert (len(labels), labels.count("-")) == (CAPACITY, CAPACITY - len(ROWS))
    assert files == {name: FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)) for name, data in content(out).items()}


def test_export_json_says_what_it_is(tmp_path: Path) -> None:
    """Version, architecture, classes by row, thresholds, hashes and what the proof returned."""
    files = write(tmp_path / "out", opset=17, precision="fp16")
    fields = json.loads((tmp_path / "out" / "export.json").read_text(encoding="utf-8"))
    assert (fields["format"], fields["version"], fields["deterministic"]) == ("edgecl.export/2", 7, MANIFEST.deterministic)
    assert (fields["capacity"], fields["opset"], fields["precision"]) == (CAPACITY, 17, "fp16")
    assert fields["architecture"] == TINY.to_json()
    assert fields["graph"] == f"{TINY.key()}-c16-w1-opset17-fp16"
    assert fields["classes"][3] == {"row": 5, "name": "tea", "id": "id-tea"}
    assert fields["thresholds"] == {"score": "max_softmax", "parameters": {}, "unknown_above": 0.5}
    assert fields["temperature"] == 1.25
    assert fields["parity"] == [HOP]
    assert fields["files"] == {name: vars(entry) for name, entry in files.items() if name != "export.json"}


def test_two_exports_are_equal_bytes(tmp_path: Path) -> None:
    """Neither the clock nor the folder's name gets in."""
    write(tmp_path / "a")
    write(tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    """Also together with the engine that its trtexec line built, which would hold the old weights; nothing stays beside it."""
    out = tmp_path / "out"
    write(out)
    (out / "model.plan").write_bytes(b"engine")
    write(out, state=random_state(TINY, 1), opset=17)
    assert "model.plan" not in content(out)
    assert json.loads((out / "export.json").read_text())["opset"] == 17
    assert os.listdir(tmp_path) == ["out"]


def test_an_empty_folder_and_missing_parents_will_do(tmp_path: Path) -> None:
    """`--out` may exist and be empty, or lie below folders that do not exist."""
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b" / "c"):
        write(out)
        assert len(content(out)) == 4


def test_a_link_is_followed(tmp_path: Path) -> None:
    """The folder behind a link is replaced, the link stays."""
    write(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", opset=20)
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "real" / "export.json").read_text())["opset"] == 20


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"holiday.jpg": b""}, "holds holiday.jpg"),
        ({"export.json": b'{"format": "edgecl.export/1"}', "notes.txt": b"mine"}, "holds notes.txt"),
        ({"model.onnx": b"mine"}, "has no export.json of edgecl"),
        ({"export.json": b'{"format": "other/1"}'}, "has no export.json of edgecl"),
        ({"export.json": b'{"format": ' + b"[" * 900 + b"]" * 900 + b"}"}, "has no export.json of edgecl"),
        ({"export.json": b"[]"}, "has no export.json of edgecl"),
        ({"export.json": b"\xff"}, "has no export.json of edgecl"),
    ],
)
def test_somebody_elses_folder_is_refused(tmp_path: Path, files: dict[str, bytes], found: str) -> None:
    """A folder that holds anything else is not touched, and the message names --out."""
    out = tmp_path / "out"
    out.mkdir()
    for name, data in files.items():
        (out / name).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        write(out)
    assert str(caught.value) == (
        f"--out {out} exists and {found}, so it would not be only an export that is replaced. Choose another one with --out"
    )
    assert content(tmp_path) == {f"out/{name}": data for name, data in files.items()}


def test_a_file_is_refused(tmp_path: Path) -> None:
    """`--out` names a folder."""
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"out is a file; an export is a folder\. Choose another one with --out"):
        write(tmp_path / "out")
    assert content(tmp_path) == {"out": b"mine"}


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    """What the system says becomes a sentence."""
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(BadInput, match=r"cannot be written: Not a directory\. Choose a folder that this user may write with --out"):
        write(tmp_path / "file" / "out")


def test_the_proof_sees_the_files_before_they_are_in_place(tmp_path: Path) -> None:
    """Graph and weights lie in a folder beside `out` on the same disk, while `out` does not exist yet."""
    seen = []

    def prove(folder: Path) -> list[dict[str, Any]]:
        seen.append((folder.parent, sorted(path.name for path in folder.iterdir()), (tmp_path / "out").exists()))
        return []

    write(tmp_path / "out", prove=prove)
    assert seen == [(tmp_path, ["labels.txt", "model.onnx", "weights.safetensors"], False)]


def test_a_failed_proof_leaves_nothing(tmp_path: Path) -> None:
    """No folder, no parent that was made for it, no temporary sibling; parents that were there stay."""
    (tmp_path / "mine").mkdir()
    with pytest.raises(ParityFailed, match="a -> b: no"):
        write(tmp_path / "mine" / "a" / "b" / "out", prove=refuse)
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_a_failed_proof_leaves_the_earlier_export(tmp_path: Path) -> None:
    """What was deployed before can still be deployed, byte for byte."""
    write(tmp_path / "out")
    before = content(tmp_path)
    with pytest.raises(ParityFailed):
        write(tmp_path / "out", state=random_state(TINY, 1), prove=refuse)
    assert content(tmp_path) == before


def test_a_failed_move_brings_the_earlier_export_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of the two renames fails: the first is undone."""
    write(tmp_path / "out")
    before, rename = content(tmp_path), os.rename

    def failing(source: Path, target: Path) -> None:
        if not source.name.endswith(".earlier") and target.name == "out":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(to_onnx.os, "rename", failing)
    with pytest.raises(NoSpace, match=r"writing .*out: No space left on device\. Nothing was exported\. .* choose another disk with --out"):
        write(tmp_path / "out", opset=17)
    assert content(tmp_path) == before


def test_everything_is_durable_before_the_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file and the folder are fsynced before the rename, the parent after it."""
    events: list[str] = []
    real_sync, real_rename = os.fsync, os.rename

    def sync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        events.append("parent" if path == tmp_path else "folder" if path.is_dir() else path.name)
        real_sync(descriptor)

    def rename(source: Path, target: Path) -> None:
        events.append("rename")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", rename)
    write(tmp_path / "out")
    written = ["model.onnx", "weights.safetensors", "labels.txt", "export.json", "folder"]
    assert events == [*written, "rename", "parent", "folder", "folder"]  # the last two: those above, which may be new


@pytest.mark.parametrize("value", [65520.0, -1e5])
def test_a_weight_too_large_for_fp16_is_named(tmp_path: Path, value: float) -> None:
    """fp32 takes it, fp16 refuses it before anything is written; infinity never stands in a weights file."""
    state = random_state(TINY)
    state["blocks.1.mlp.fc2.weight"][3, 4] = value
    with pytest.raises(ParityFailed) as caught:
        write(tmp_path / "out", state=state, precision="fp16")
    assert str(caught.value) == (
        f"blocks.1.mlp.fc2.weight_t holds {abs(value):.6g}, but fp16 ends at 65504. Nothing was exported. Export with --precision fp32."
    )
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "out", state=state)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_weight_that_is_not_finite_is_named(tmp_path: Path, value: float, precision: str) -> None:
    """In either precision."""
    state = random_state(TINY)
    state["norm.bias"][0] = value
    with pytest.raises(ParityFailed, match=rf"norm\.bias holds {value}, .* Find the damaged file with: edgecl verify --deep"):
        write(tmp_path / "out", state=state, precision=precision)


@pytest.mark.parametrize(
    ("option", "message"), [({"opset": 19}, "with --opset"), ({"precision": "int8"}, r"\['fp32', 'fp16'\] with --precision")]
)
def test_an_unknown_form_is_refused(tmp_path: Path, option: dict[str, Any], message: str) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match=message):
        write(tmp_path / "out", **option)
    assert list(tmp_path.iterdir()) == []


def test_the_trtexec_line() -> None:
    """Batch 1 at the model's size; fp16 the way of the TensorRT that reads the opset; a path with a space is quoted."""
    assert trtexec_line(Path("/x"), 17, "fp32", 224) == (
        "trtexec --onnx=/x/model.onnx --saveEngine=/x/model.plan --shapes=pictures:1x224x224x3"
    )
    assert trtexec_line(Path("/x"), 16, "fp16", 224).endswith(" --fp16")
    assert trtexec_line(Path("/x"), 20, "fp16", 224).endswith(" --stronglyTyped")
    assert "'--onnx=/a b/model.onnx'" in trtexec_line(Path("/a b"), 16, "fp32", 32)
