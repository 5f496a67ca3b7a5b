"""verify finds damage to each file, and calls nothing damage that is legal."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecl.store import Store
from edgecl.store.finding import findings_json
from edgecl.store.gc import gc
from edgecl.store.verify import verify
from tests.store.builders import learn, snapshot


def flip(path: Path) -> None:
    """Change one bit in the middle, keep the size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damaged(store: Store, deep: bool = True) -> list[str]:
    """Paths of the findings that are damage."""
    return [finding.path for finding in verify(store, deep=deep) if finding.damage]


def test_a_healthy_store_has_no_findings(store: Store) -> None:
    """Neither shallow nor deep, nor after gc dropped weights; nothing is written."""
    learn(store, "sprite")
    gc(store)
    before = snapshot(store.root)
    assert not (store.folder(0) / "weights.safetensors").exists()
    seen: list[tuple[int, int]] = []
    assert verify(store) == []
    assert verify(store, deep=True, progress=lambda done, total: seen.append((done, total))) == []
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert snapshot(store.root) == before


def test_one_changed_bit_in_any_file_is_found(store: Store) -> None:
    """Deep finds every file of the store by name; comments in settings.toml and the free text of run.json are nobody's business."""
    learn(store, "sprite")
    files = [path for path in sorted(store.root.rglob("*")) if path.is_file() and not path.is_symlink() and path.suffix != ".lock"]
    unhashed = {"settings.toml", "state.json", "run.json", "edgecl.json"}
    checked = 0
    for path in files:
        if path.name in unhashed or "current" in path.parts:
            continue
        whole = path.read_bytes()
        flip(path)
        name = str(path.relative_to(store.root))
        name = name.rpartition("/")[0] if name.startswith("adapters/") else name
        assert damaged(store).count(name) == 1, name
        path.write_bytes(whole)
        checked += 1
    assert checked == 1 + 3 * 7 + 2 * 2 + 9
    assert damaged(store) == []


def test_each_missing_file_is_found(store: Store) -> None:
    """Even without --deep; weights may be missing where nobody serves them."""
    files = [path for path in sorted(store.root.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    for path in files:
        name = str(path.relative_to(store.root))
        if (
            name in ("edgecl.json", "versions/000000/weights.safetensors")
            or path.name in ("manifest.json", "run.json")
            or "current" in name
        ):
            continue
        whole = path.read_bytes()
        path.unlink()
        found = damaged(store, deep=name.startswith("adapters/"))
        assert any(name.startswith(entry) for entry in found), name
        path.write_bytes(whole)
    assert damaged(store) == []


def point(name: str, target: str) -> Callable[[Store], None]:
    """Replace a pointer."""

    def change(store: Store) -> None:
        (store.root / name).unlink(missing_ok=True)
        (store.root / name).symlink_to(target)

    return change


def write(name: str, text: str) -> Callable[[Store], None]:
    """Replace a file."""
    return lambda store: (store.root / name).write_text(text) and None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("damage", "path", "problem", "remedy"),
    [
        (point("current", "versions/000009"), "current", "points at version 9, which is not there", "edgecl promote NUMBER"),
        (point("good", "elsewhere"), "good", "good points at 'elsewhere'", "Remove it."),
        (lambda store: (store.root / "current").unlink(), "current", "no version is current", "edgecl promote NUMBER"),
        (write("settings.toml", "[gate]\nmax_drop = 3"), "settings.toml", "max_drop = 3, expected", "an empty file means every default"),
        (write("state.json", "{"), "state.json", "is not JSON", '{"format": "edgecl.state/1"}'),
        (write("versions/000001/run.json", "{"), "versions/000001/run.json", "is not JSON", "nothing depends on it"),
        (write("versions/000001/labels.txt", "x"), "versions/000001/labels.txt", "has 1 bytes, expected", "serve another version"),
        (lambda store: (store.folder(0) / "manifest.json").unlink(), "versions/000000", "it has no manifest.json", "nothing uses it"),
        (lambda store: (store.root / "versions" / "old").mkdir(), "versions/old", "no version's name", "delete it"),
        (lambda store: shutil.rmtree(store.root / "adapters"), "adapters", "the folder is missing", "mkdir adapters"),
    ],
)
def test_each_damage_has_its_words(store: Store, damage: Callable[[Store], None], path: str, problem: str, remedy: str) -> None:
    """Path, problem and remedy of findings that need no --deep."""
    damage(store)
    [finding] = [finding for finding in verify(store) if finding.path == path]
    assert problem in finding.problem
    assert remedy in finding.remedy
    assert finding.damage
    assert findings_json([finding])["intact"] is False


def test_missing_weights_of_current_are_damage_with_a_cure(store: Store) -> None:
    """The remedy works."""
    (store.folder(1) / "weights.safetensors").unlink()
    [finding] = verify(store)
    assert finding.path == "versions/000001/weights.safetensors"
    assert finding.problem == "is missing, and current needs it"
    assert finding.remedy == "Build it again with: edgecl promote 1"
    store.promote(1, expected=1)
    assert verify(store) == []


def test_a_linked_file_is_found(store: Store) -> None:
    """ONNX Runtime refuses hard-linked and symlinked weights, so verify does."""
    path = store.folder(1) / "weights.safetensors"
    os.link(path, store.root / "copy")
    assert damaged(store) == ["versions/000001/weights.safetensors"]
    (store.root / "copy").unlink()
    path.rename(store.root / "copy")
    path.symlink_to(store.root / "copy")
    assert damaged(store) == ["versions/000001/weights.safetensors"]


def test_folders_that_were_empty_are_not_missed(store: Store) -> None:
    """A copy that leaves out empty folders is whole, and everything goes on in it."""
    for name in ("exports", "engines", "tmp"):
        (store.root / name).rmdir()
    assert verify(store, deep=True) == []
    assert learn(store, "sprite") == 2
    gc(store, keep=0)
    assert verify(store, deep=True) == []


def test_leftovers_are_untidy_and_not_damage(store: Store) -> None:
    """What an interrupted command left, and strangers inside a version."""
    (store.root / "tmp" / "000002.abc").mkdir()
    (store.folder(1) / "notes.txt").write_text("mine")
    findings = verify(store, deep=True)
    assert [(finding.path, finding.damage) for finding in findings] == [
        ("tmp/000002.abc", False),
        ("versions/000001/notes.txt", False),
    ]
    assert "edgecl gc" in findings[0].remedy
    answer = json.loads(json.dumps(findings_json(findings)))
    assert (answer["format"], answer["intact"], len(answer["findings"])) == ("edgecl.verify/1", True, 2)


def test_a_manifest_of_another_capacity_is_found(store: Store) -> None:
    """A manifest sealed by somebody else still has to agree with the architecture."""
    from dataclasses import replace

    from edgecl.store.versions import manifest_bytes

    manifest = store.manifest(1)
    files = {**manifest.files, "weights.safetensors": replace(manifest.files["weights.safetensors"], bytes=7)}
    (store.folder(1) / "manifest.json").write_bytes(manifest_bytes(replace(manifest, files=files).sealed()))
    problems = {finding.path: finding.problem for finding in verify(store)}
    assert "lists weights of 7 bytes, but the architecture has" in problems["versions/000001/manifest.json"]


def test_engines_are_compared_with_the_json_beside_them(store: Store) -> None:
    """Size, and with `deep` every byte; what is wrong is untidy and not damage, for it is built again and not served."""
    engines = store.root / "engines"
    engines.mkdir(exist_ok=True)
    for name in ("whole", "cut", "changed", "odd"):
        plan = f"plan {name}".encode()
        (engines / f"{name}.plan").write_bytes(plan)
        (engines / f"{name}.json").write_text(json.dumps({"sha256": hashlib.sha256(plan).hexdigest(), "bytes": len(plan)}))
    (engines / "cut.plan").write_bytes(b"p")
    flip(engines / "changed.plan")
    (engines / "odd.json").write_text("{}")
    (engines / "x.timing").write_bytes(b"cache")
    assert {finding.path for finding in verify(store)} == {"engines/cut.plan", "engines/odd.json"}
    findings = verify(store, deep=True)
    assert {finding.path for finding in findings} == {"engines/cut.plan", "engines/changed.plan", "engines/odd.json"}
    assert not any(finding.damage for finding in findings)
    assert all("edgecl export --trt" in finding.remedy for finding in findings)
