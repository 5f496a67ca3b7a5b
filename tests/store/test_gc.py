"""What gc removes and what it never touches."""

import json
import threading
import time
from dataclasses import replace

import pytest

from edgecl.errors import StoreBusy, StoreDamaged, UsageError
from edgecl.manifest import Recipe
from edgecl.store import Store
from edgecl.store.gc import Report, gc, purge
from edgecl.store.history import promote, successor
from edgecl.store.locks import unused
from edgecl.store.verify import verify
from tests.store.builders import learn, snapshot
from tests.store.test_locks import elsewhere


def weights(store: Store) -> list[int]:
    """Versions that have their weights on disk."""
    return [number for number in store.numbers() if (store.folder(number) / "weights.safetensors").is_file()]


@pytest.fixture
def long(store: Store) -> Store:
    """Versions 0 to 5: current 4 (parent 3), good 2 (parent 1), 5 staged."""
    for name in ("two", "three", "four"):
        learn(store, name, pictures=1)
    store.mark_good(2)
    learn(store, "five", pictures=1, promote=False)
    return store


def test_gc_drops_weights_and_nothing_else(long: Store) -> None:
    """All but current, good and their parents lose their weights; they come back bit-equal."""
    before = snapshot(long.root)
    sizes = sum(len(before[f"versions/{n:06d}/weights.safetensors"]) for n in (0, 5))
    report = gc(long)
    assert report == Report(dry_run=False, bytes_freed=sizes, weights_dropped=(0, 5))
    assert weights(long) == [1, 2, 3, 4]
    assert set(before) - set(snapshot(long.root)) == {f"versions/{n:06d}/weights.safetensors" for n in (0, 5)}
    promote(long, 5)
    promote(long, 0)
    assert {name: content for name, content in snapshot(long.root).items() if name.startswith("versions")} == {
        name: content for name, content in before.items() if name.startswith("versions")
    }
    assert gc(long).weights_dropped == (3, 4, 5)


def test_gc_with_keep_removes_versions(long: Store) -> None:
    """The newest stay, with current, good and their parents; numbers are not reused and the store stays intact."""
    report = gc(long, keep=1)
    assert (report.versions_removed, report.weights_dropped) == ((0,), (5,))
    report = gc(long, keep=0)
    assert report.versions_removed == (5,)
    assert long.numbers() == [1, 2, 3, 4]
    assert (report.adapters_removed, report.pictures_removed) == (1, 1)
    assert long.next_number() == 6
    assert [finding for finding in verify(long, deep=True) if finding.damage] == []
    assert gc(long, keep=0) == Report(dry_run=False)


def test_gc_keeps_what_other_versions_still_name(long: Store) -> None:
    """An adapter or picture goes only with its last version."""
    draft = successor(long, 4, "forget", recipe=Recipe(), memory=())
    number = long.commit(draft).number
    promote(long, number)
    long.mark_good(number)
    assert gc(long, keep=0).versions_removed == (0, 1, 2, 3, 5)
    assert len(long.adapters(long.manifest(4).recipe)) == 4
    assert len(list((long.root / "memory").iterdir())) == 9
    promote(long, 4)
    assert gc(long).pictures_removed == 0


def test_dry_run_tells_the_same_and_does_nothing(long: Store) -> None:
    """The figures of a dry run are those of the run after it."""
    (long.root / "tmp" / "left.abc").write_bytes(b"12345")
    before = snapshot(long.root)
    said = gc(long, keep=0, dry_run=True)
    assert snapshot(long.root) == before
    assert replace(said, dry_run=False) == gc(long, keep=0)
    assert said.bytes_freed > 5
    assert not (long.root / "tmp" / "left.abc").exists()


def test_gc_sweeps_up_what_no_version_names(store: Store) -> None:
    """Pictures and adapters of a commit that never finished go; files that are not edgecl's stay."""
    orphan = store.root / "memory" / ("0" * 64 + ".jpg")
    orphan.write_bytes(b"12345")
    (store.root / "adapters" / ("1" * 64)).mkdir()
    (store.root / "memory" / "README").write_text("mine")
    (store.root / "adapters" / "mine").mkdir()
    report = gc(store)
    assert (report.pictures_removed, report.adapters_removed) == (1, 1)
    assert not orphan.exists()
    assert (store.root / "memory" / "README").exists()
    assert (store.root / "adapters" / "mine").exists()


def test_gc_leaves_a_version_in_use_alone(long: Store) -> None:
    """What another process serves keeps its weights and its folder."""
    with elsewhere(long, "use", "0"):
        report = gc(long, keep=0)
        assert report.versions_removed == (5,)
        assert weights(long) == [0, 1, 2, 3, 4]
    assert gc(long, keep=0).versions_removed == (0,)


def test_gc_waits_for_no_learner(long: Store) -> None:
    """While somebody learns it is refused; a dry run is not."""
    before = snapshot(long.root)
    with elsewhere(long, "learning_lock"):
        with pytest.raises(StoreBusy):
            gc(long)
        assert gc(long, dry_run=True).weights_dropped == (0, 5)
    assert snapshot(long.root) == before


def test_promote_waits_for_gc_and_sees_what_it_did(long: Store) -> None:
    """Whoever promotes a version at the moment when gc drops its weights is told so, and nothing without weights becomes current."""
    errors: list[Exception] = []

    def other() -> None:
        try:
            Store.open(long.root).promote(5, expected=4)
        except StoreBusy as error:
            errors.append(error)

    with unused(long.folder(5)) as free:
        assert free
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.2)
        (long.folder(5) / "weights.safetensors").unlink()
    thread.join()
    assert [str(error) for error in errors] == ["the weights of version 5 were dropped by gc at this moment. Try again."]
    assert long.current == 4


def test_gc_removes_nothing_when_it_cannot_know(long: Store) -> None:
    """A version that stays but cannot be read may need anything, so everything stays."""
    (long.folder(3) / "memory.json").write_text("{")
    before = snapshot(long.root)
    with pytest.raises(StoreDamaged, match=r"version 3 cannot be read, so nothing is removed that it may need .* Restore versions/000003"):
        gc(long, keep=1)
    assert snapshot(long.root) == before


def test_gc_refuses_a_dangling_pointer(long: Store) -> None:
    """Without knowing what is current nothing may be dropped."""
    (long.root / "good").unlink()
    (long.root / "good").symlink_to("versions/000077")
    with pytest.raises(StoreDamaged, match="points at version 77, which is not there"):
        gc(long)
    assert weights(long) == [0, 1, 2, 3, 4, 5]


def test_gc_without_a_current_version_keeps_the_newest(long: Store) -> None:
    """A store between init and its first promotion loses nothing that it needs."""
    (long.root / "current").unlink()
    (long.root / "good").unlink()
    gc(long)
    assert weights(long) == [4, 5]


def test_keep_must_not_be_negative(store: Store) -> None:
    """The value stands in the message."""
    with pytest.raises(UsageError, match="--keep -1 is negative"):
        gc(store, keep=-1)


def test_the_report_is_json(store: Store) -> None:
    """`gc --json`"""
    assert json.loads(json.dumps(gc(store).to_json()))["format"] == "edgecl.gc/1"


def test_purge_removes_every_trace(long: Store) -> None:
    """Versions and exports that hold the pictures are gone, the pictures too, and `good` with them; the rest stays intact."""
    gone = {picture.hash for picture in long.memory(2) if picture.task == "t0002-two"}
    (long.root / "exports" / "000003" / "onnx").mkdir(parents=True)
    (long.root / "exports" / "000001").mkdir()
    with pytest.raises(UsageError, match="the current version 4 still holds these pictures"):
        purge(long, gone)
    staying = tuple(picture for picture in long.memory(4) if picture.hash not in gone)
    number = long.commit(successor(long, 4, "forget", memory=staying)).number
    promote(long, number)
    said = purge(long, gone, dry_run=True)
    assert long.numbers() == [0, 1, 2, 3, 4, 5, 6]
    report = purge(long, gone)
    assert replace(said, dry_run=False) == report
    assert report.versions_removed == (2, 3, 4, 5)
    assert (long.numbers(), long.current, long.good) == ([0, 1, 6], 6, None)
    assert not any((long.root / "memory" / f"{hash}.jpg").exists() for hash in gone)
    assert [path.name for path in (long.root / "exports").iterdir()] == ["000001"]
    assert [finding for finding in verify(long, deep=True) if finding.damage] == []
    assert long.next_number() == 7


def test_purge_does_not_pull_a_version_from_under_the_app(long: Store) -> None:
    """A version in use is named, and nothing is removed."""
    gone = {picture.hash for picture in long.memory(5) if picture.task == "t0005-five"}
    before = snapshot(long.root)
    with elsewhere(long, "use", "5"), pytest.raises(StoreBusy, match="version 5 holds these pictures and is in use"):
        purge(long, gone)
    assert snapshot(long.root) == before
    assert purge(long, gone).versions_removed == (5,)


@pytest.mark.parametrize("dry_run", [False, True])
def test_engines_go_with_the_weights_that_they_hold(long: Store, dry_run: bool) -> None:
    """A frozen plan, its JSON and ONNX Runtime's engines go when their version does; those of the others, and what refits, stay."""
    engines = long.root / "engines"
    engines.mkdir(exist_ok=True)
    kept, gone = (long.manifest(number).files["weights.safetensors"].sha256[:16] for number in (1, 5))
    stay = {"a-fp16-refit.plan", "a-fp16-refit.json", "x.timing", f"a-frozen-{kept}.plan", f"a-frozen-{kept}.json", f"ort-{kept}"}
    go = {f"a-frozen-{gone}.plan", f"a-frozen-{gone}.json", f"ort-{gone}"}
    for name in stay | go:
        place = engines / name
        if name.startswith("ort"):
            place.mkdir()
            place = place / "x.engine"
        place.write_bytes(b"x" * 1000)
    assert gc(long).versions_removed == ()
    assert {path.name for path in engines.iterdir()} == stay | go
    without = gc(long, keep=0, dry_run=True).bytes_freed
    report = gc(long, keep=0, dry_run=dry_run)
    assert report.bytes_freed == without >= 3000
    assert {path.name for path in engines.iterdir()} == (stay | go if dry_run else stay)
