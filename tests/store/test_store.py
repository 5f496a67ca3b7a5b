"""A store's round: create, commit, promote, read."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from edgecl.errors import BadInput, BadWeights, StoreDamaged, UsageError
from edgecl.layout import FREE_BIAS, safetensors_bytes, to_deployment
from edgecl.merge import merge
from edgecl.settings import AdapterShape, MemorySettings
from edgecl.store import Draft, Store
from tests.store.builders import CAPACITY, TINY, create, first_draft, initialised, kept_picture, learn, learn_draft, random_state, snapshot


def test_a_store_opens_with_the_facts_it_was_created_with(tmp_path: Path) -> None:
    """`open` reads back what `create` was given, and a new store has no version."""
    made = create(tmp_path / "model")
    store = Store.open(tmp_path / "model")
    assert store.facts == made.facts
    assert (store.facts.architecture, store.facts.capacity) == (TINY, CAPACITY)
    assert (store.numbers(), store.current, store.good, store.next_number()) == ([], None, None, 0)
    assert store.base().keys() == random_state().keys()
    np.testing.assert_array_equal(store.base()["pos_embed"], random_state()["pos_embed"])


def test_a_version_holds_the_files_of_the_design(store: Store) -> None:
    """Each file of a version is there, and the manifest lists all but itself and run.json with hash and size."""
    folder = store.folder(1)
    listed = store.manifest(1).files
    expected = {"model.onnx", "weights.safetensors", "head.safetensors", "labels.txt", "memory.json", "canary.safetensors"}
    assert set(listed) == expected
    assert {path.name for path in folder.iterdir()} == expected | {"manifest.json", "run.json"}
    for name, entry in listed.items():
        data = (folder / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (entry.sha256, entry.bytes)


def test_weights_are_base_and_recipe_and_head(store: Store) -> None:
    """weights.safetensors is the deployment form of the merged backbone with the fp16 head."""
    manifest = store.manifest(1)
    weight, bias = store.head(1)
    merged = merge(store.base(), store.adapters(manifest.recipe))
    expected = safetensors_bytes(to_deployment(merged, weight.astype(np.float32), bias.astype(np.float32), TINY))
    assert (store.folder(1) / "weights.safetensors").read_bytes() == expected
    changed = load(expected)["blocks.1.mlp.fc1.weight_t"].T - store.base()["blocks.1.mlp.fc1.weight"]
    assert np.abs(changed).max() > 1e-3


def test_free_rows_are_enforced(tmp_path: Path) -> None:
    """Rows without a class get weight 0 and bias -1e4, whatever the draft says; rows with one stay."""
    store = initialised(tmp_path / "model")
    draft = learn_draft(store, ["cola"])
    draft.head_weight[5:] = 3.0
    draft.head_bias[:] = 0.5
    number = store.commit(draft).number
    weight, bias = store.head(number)
    assert bias[0] == 0.5
    np.testing.assert_array_equal(weight[0], draft.head_weight[0])
    assert (weight[1:] == 0).all()
    assert (bias[1:] == FREE_BIAS).all()
    deployed = load((store.folder(number) / "weights.safetensors").read_bytes())
    assert (deployed["head.bias"][1:] == FREE_BIAS).all()


def test_labels_have_one_line_per_row(store: Store) -> None:
    """labels.txt has `capacity` lines, `-` for a free row."""
    lines = (store.folder(1) / "labels.txt").read_text().splitlines()
    assert lines == ["cola", "fanta"] + ["-"] * (CAPACITY - 2)


def test_what_was_committed_can_be_read(store: Store) -> None:
    """Memory index, pictures, run information and adapters come back."""
    assert [picture.role for picture in store.memory(1)] == ["holdout", "replay", "replay"] * 2
    assert store.picture(store.memory(1)[1].hash) == b"picture t0001-cola-fanta/cola/1"
    assert store.run_info(1)["seconds"] == 1.5
    assert store.run_info(1)["created"]
    [(adapter, coefficients)] = store.adapters(store.manifest(1).recipe)
    assert (adapter.rank, coefficients) == (2, {"*": 0.75})


def test_pointers_are_relative_links(store: Store, tmp_path: Path) -> None:
    """`current` and `good` are relative links, so that a moved store still serves."""
    store.mark_good(1)
    assert os.readlink(store.root / "current") == "versions/000001"
    assert os.readlink(store.root / "good") == "versions/000001"
    store.root.rename(tmp_path / "elsewhere")
    moved = Store.open(tmp_path / "elsewhere")
    assert (moved.current, moved.good) == (1, 1)
    assert (tmp_path / "elsewhere" / "current" / "labels.txt").is_file()


def test_promote_compares_before_it_swaps(store: Store) -> None:
    """When `current` is not what the caller saw, nothing moves and the answer is False."""
    two = learn(store, "sprite", promote=False)
    assert not store.promote(two, expected=0)
    assert store.current == 1
    assert store.promote(two, expected=1)
    assert store.current == 2
    assert store.state()["promoted"] == [0, 1, 2]


def test_promote_refuses_a_version_with_changed_files(store: Store) -> None:
    """A version whose graph was changed is never served."""
    two = learn(store, "sprite", promote=False)
    (store.folder(two) / "model.onnx").write_bytes(b"grapH")
    with pytest.raises(StoreDamaged, match=r"000002/model.onnx was changed, so version 2 is not served"):
        store.promote(two, expected=1)
    assert store.current == 1


def test_promote_of_a_version_that_is_not_there(store: Store) -> None:
    """The message lists the versions that are."""
    with pytest.raises(UsageError, match=r"there is no version 9; there are \[0, 1\]"):
        store.promote(9, expected=1)


def test_dropped_weights_are_rebuilt_bit_equal(store: Store) -> None:
    """Promoting a version whose weights were dropped or damaged builds them again, byte for byte."""
    path = store.folder(0) / "weights.safetensors"
    before = path.read_bytes()
    path.unlink()
    assert store.promote(0, expected=1)
    assert path.read_bytes() == before
    path.write_bytes(before[:-1] + b"\x01")
    assert store.promote(0, expected=0)
    assert path.read_bytes() == before
    assert not store.rebuild(0)


def test_a_rebuild_that_differs_is_refused(store: Store) -> None:
    """When the backbone was changed, the old weights cannot come back and the pointer stays."""
    other = random_state(seed=1)
    (store.root / "base.safetensors").write_bytes(safetensors_bytes(other))
    (store.folder(0) / "weights.safetensors").unlink()
    with pytest.raises(StoreDamaged, match="the weights of version 0 cannot be built again"):
        store.promote(0, expected=1)
    assert store.current == 1
    assert not (store.folder(0) / "weights.safetensors").exists()


def test_numbers_are_never_reused(store: Store) -> None:
    """A number is gone even when its folder and every trace but state.json is gone; and also when only the folder is left."""
    two = learn(store, "sprite", promote=False)
    for path in store.folder(two).iterdir():
        path.unlink()
    (store.root / "versions" / "000002").rmdir()
    assert store.next_number() == 3
    (store.root / "state.json").write_text('{"format": "edgecl.state/1"}')
    (store.root / "exports" / "000004").mkdir()
    assert store.next_number() == 5
    assert learn(store, "sprite") == 5


def test_two_stores_with_one_history_are_equal(tmp_path: Path) -> None:
    """The manifests depend on what was learned, not on when or where."""
    for name in ("one", "two"):
        store = initialised(tmp_path / name)
        draft = learn_draft(store, ["cola"])
        store.commit(replace(draft, run={"seconds": len(name), "host": name}))
    assert Store.open(tmp_path / "one").manifest(1) == Store.open(tmp_path / "two").manifest(1)
    assert (tmp_path / "one/versions/000001/manifest.json").read_bytes() == (tmp_path / "two/versions/000001/manifest.json").read_bytes()


def test_adapters_and_pictures_are_shared(store: Store) -> None:
    """A version that names the same adapter and pictures adds no second copy."""
    before = {path for path in snapshot(store.root) if path.startswith(("adapters", "memory"))}
    draft = learn_draft(store, ["sprite"])
    store.commit(replace(draft, recipe=store.manifest(1).recipe, memory=store.memory(1), new_adapters={}, new_pictures={}))
    assert {path for path in snapshot(store.root) if path.startswith(("adapters", "memory"))} == before


def test_a_damaged_adapter_is_healed_by_the_same_one(store: Store) -> None:
    """Committing an adapter whose folder was damaged puts the whole one there."""
    draft = learn_draft(store, ["sprite"])
    [hash] = draft.new_adapters
    (store.root / "adapters" / hash).mkdir()
    (store.root / "adapters" / hash / "adapter_config.json").write_text("{}")
    manifest = store.commit(draft)
    assert len(store.adapters(manifest.recipe)) == 2


def _with(draft: Draft, **changes: object) -> Draft:
    return replace(draft, **changes)  # type: ignore[arg-type]


def test_a_draft_that_contradicts_itself_is_a_bug(store: Store) -> None:
    """Each contradiction is named, and nothing is written."""
    before = snapshot(store.root)
    draft = learn_draft(store, ["sprite"])
    twin = replace(draft.classes[-1], name="COLA")
    stranger, data = kept_picture("x", "nobody", "t0001-x")
    missing, _ = kept_picture("y", draft.classes[0].id, "t0001-x")
    infinite = draft.head_weight.copy()
    infinite[0, 0] = np.inf
    for changes, message in [
        ({"classes": (*draft.classes[:-1], twin)}, "two classes share 'cola'"),
        ({"next_row": 1}, "do not lie below next_row 1"),
        ({"capacity": 12}, "capacity 12 is not a multiple of 8"),
        ({"head_bias": draft.head_bias[:8]}, "the head is"),
        ({"head_bias": draft.head_bias.astype(np.float32)}, "not float16"),
        ({"head_weight": infinite}, "the head is not finite"),
        ({"memory": (stranger,), "new_pictures": {stranger.hash: data}}, "pictures of unknown classes"),
        ({"parent": 9}, "names the parent 9"),
        ({"parent": None}, "names the parent None"),
    ]:
        with pytest.raises(ValueError, match=message):
            store.commit(_with(draft, **changes))
    assert snapshot(store.root) == before
    with pytest.raises(ValueError, match="which is not there"):
        store.commit(_with(draft, memory=(*draft.memory, missing)))
    with pytest.raises(ValueError, match="does not have the hash it is named by"):
        store.commit(_with(draft, new_pictures={stranger.hash: b"other"}))
    with pytest.raises(ValueError, match="does not have the hash it is named by"):
        store.commit(_with(draft, new_adapters={stranger.hash: {"a": b"other"}}))
    assert store.numbers() == [0, 1]


def test_create_refuses_an_occupied_place(tmp_path: Path) -> None:
    """A store, a folder with something in it, and a file are refused and stay as they are; an empty folder is used."""
    create(tmp_path / "model")
    with pytest.raises(UsageError, match="is already a store"):
        create(tmp_path / "model")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("folder", "file"):
        with pytest.raises(UsageError, match="is not an empty folder"):
            create(tmp_path / name)
    (tmp_path / "empty").mkdir()
    create(tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "folder", "model"]


def test_create_leaves_nothing_when_the_first_version_fails(tmp_path: Path) -> None:
    """`first` runs before the store takes its place."""

    def fail(store: Store) -> None:
        store.commit(first_draft())
        raise BadInput("labels.txt has 3 lines")

    options = {"architecture": TINY, "base": random_state(), "source": "x", "capacity": 16, "memory": MemorySettings()}
    with pytest.raises(BadInput, match="3 lines"):
        Store.create(tmp_path / "model", adapter=AdapterShape(rank=2, first_block=1), first=fail, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_create_overwrites_nothing_that_appeared_meanwhile(tmp_path: Path) -> None:
    """Two inits at once: the second to finish is refused, the first store stays."""

    def meanwhile(store: Store) -> None:
        create(tmp_path / "model", seed=1)

    options = {"architecture": TINY, "base": random_state(), "source": "x", "capacity": 16, "memory": MemorySettings()}
    with pytest.raises(UsageError, match="is already a store"):
        Store.create(tmp_path / "model", adapter=AdapterShape(rank=2, first_block=1), first=meanwhile, **options)  # type: ignore[arg-type]
    assert Store.open(tmp_path / "model").base()["pos_embed"].tobytes() == random_state(1)["pos_embed"].tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_create_promotes_in_place(tmp_path: Path) -> None:
    """A version that `first` commits and promotes is current in the finished store."""

    def begin(store: Store) -> None:
        store.commit(first_draft())
        store.promote(0, expected=None)

    shape = AdapterShape(rank=2, first_block=1)
    memory = MemorySettings()
    store = Store.create(
        tmp_path / "a" / "model",
        architecture=TINY,
        base=random_state(),
        source="x",
        capacity=16,
        adapter=shape,
        memory=memory,
        first=begin,
    )
    assert (store.current, store.numbers()) == (0, [0])


def test_create_refuses_what_does_not_fit(tmp_path: Path) -> None:
    """Wrong capacity, adapter, source and weights are named with their values, and nothing is left."""
    good = {
        "architecture": TINY,
        "base": random_state(),
        "source": "x",
        "capacity": 16,
        "adapter": AdapterShape(rank=2, first_block=1),
        "memory": MemorySettings(),
    }
    short = {name: value for name, value in random_state().items() if name != "norm.bias"}
    wrong = random_state() | {"norm.bias": np.zeros(3, np.float32)}
    infinite = random_state() | {"norm.bias": np.full(32, np.nan, np.float32)}
    for changes, error, message in [
        ({"capacity": 100}, UsageError, "--capacity 100 is not a multiple of 8"),
        ({"adapter": AdapterShape(rank=2, first_block=6)}, UsageError, "from block 6 does not fit vit_tiny_test, which has 2 blocks"),
        ({"adapter": AdapterShape(rank=0, first_block=1)}, UsageError, "an adapter of rank 0"),
        ({"source": "/home/me/weights.safetensors"}, BadInput, "is an absolute path"),
        ({"base": short}, BadWeights, "norm.bias is missing"),
        ({"base": wrong}, BadWeights, r"norm.bias has the shape \(3,\), expected \(32,\)"),
        ({"base": infinite}, BadWeights, "norm.bias is not finite"),
    ]:
        with pytest.raises(error, match=message):
            Store.create(tmp_path / "model", **{**good, **changes})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_open_without_a_store(tmp_path: Path) -> None:
    """An absent store is bad input with the line that makes one; a store whose facts are gone is damaged."""
    with pytest.raises(BadInput, match=r"there is no store at .*model. Make one with: edgecl init"):
        Store.open(tmp_path / "model")
    store = create(tmp_path / "model")
    (store.root / "edgecl.json").unlink()
    with pytest.raises(StoreDamaged, match=r"model/edgecl.json is missing"):
        Store.open(tmp_path / "model")


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """A format of the future says that edgecl must be upgraded."""
    store = create(tmp_path / "model")
    path = store.root / "edgecl.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": "edgecl.store/3"}))
    with pytest.raises(StoreDamaged, match=r"'edgecl.store/3', but this edgecl reads up to 2. Upgrade edgecl"):
        Store.open(store.root)


@pytest.mark.parametrize("content", ["", "[]", '"x"', "{", '{"format": "edgecl.store/1"}', '{"format": 1}', "[" * 100_000])
def test_broken_facts_are_a_sentence(tmp_path: Path, content: str) -> None:
    """No content of edgecl.json ends in another exception."""
    store = create(tmp_path / "model")
    (store.root / "edgecl.json").write_text(content)
    with pytest.raises(StoreDamaged, match=r"edgecl\.json"):
        Store.open(store.root)


def test_broken_pointers_are_a_sentence(store: Store) -> None:
    """A `current` that is a file, or points outside of versions/, is named."""
    link = store.root / "current"
    link.unlink()
    assert store.current is None
    link.write_text("1")
    with pytest.raises(StoreDamaged, match="current is not a symbolic link"):
        _ = store.current
    link.unlink()
    link.symlink_to("../../etc")
    with pytest.raises(StoreDamaged, match=r"current points at '../../etc', expected versions/<number>"):
        _ = store.current


def test_broken_state_is_a_sentence(store: Store) -> None:
    """state.json that is no JSON, or counts nonsense, says how to go on; going on as told works."""
    path = store.root / "state.json"
    path.write_text("{")
    with pytest.raises(StoreDamaged, match=r'Put this into state.json: \{"format": "edgecl.state/1"\}'):
        store.state()
    path.write_text('{"format": "edgecl.state/1", "next_version": "seven"}')
    with pytest.raises(StoreDamaged, match="no version numbers"):
        store.state()
    path.write_text('{"format": "edgecl.state/1"}')
    assert store.next_number() == 2


def test_state_keeps_what_others_wrote(store: Store) -> None:
    """update_state replaces the file atomically and a commit leaves foreign keys alone."""
    store.update_state(lambda state: {**state, "failed": {"1": "engine"}})
    learn(store, "sprite")
    assert store.state()["failed"] == {"1": "engine"}
    assert store.state()["next_version"] == 3


def test_a_manifest_under_a_wrong_number_is_refused(store: Store) -> None:
    """A copied version folder does not pass for another version."""
    (store.root / "versions" / "000001").rename(store.root / "versions" / "000009")
    with pytest.raises(StoreDamaged, match="says that it is version 1"):
        store.manifest(9)


def test_a_changed_picture_or_adapter_is_refused(store: Store) -> None:
    """Shared files are checked at every read."""
    picture = store.memory(1)[0].hash
    (store.root / "memory" / f"{picture}.jpg").write_bytes(b"other")
    with pytest.raises(StoreDamaged, match=f"the kept picture {picture[:12]} was changed"):
        store.picture(picture)
    with pytest.raises(StoreDamaged, match="stands where a sha256 of 64 hex digits belongs"):
        store.picture("../../secret")
    recipe = store.manifest(1).recipe
    path = store.root / "adapters" / recipe.steps[0].adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(StoreDamaged, match="was changed"):
        store.adapters(recipe)


@pytest.mark.parametrize(("name", "read"), [("head.safetensors", "head"), ("memory.json", "memory")])
def test_what_is_learned_from_is_checked(store: Store, name: str, read: str) -> None:
    """Head and memory index are compared with the manifest before anybody builds on them."""
    path = store.folder(1) / name
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(StoreDamaged, match=f"000001/{name} was changed. Restore it from a copy of the store"):
        getattr(store, read)(1)


def test_use_serves_current_with_weights(store: Store) -> None:
    """`use` hands out the folder of `current`, with weights even when they were dropped."""
    (store.folder(1) / "weights.safetensors").unlink()
    with store.use() as folder:
        assert folder == store.folder(1)
        assert (folder / "weights.safetensors").is_file()
    (store.root / "current").unlink()
    with pytest.raises(StoreDamaged, match="no version is current"), store.use():
        pass


def test_a_number_that_was_not_recorded_is_made_up_for(store: Store) -> None:
    """A kill between a version's appearance and its record: promoting, and whatever removes versions, records it."""
    two = learn(store, "sprite", promote=False)
    store.update_state(lambda state: {**state, "next_version": two})
    assert store.next_number() == 3
    store.settle()
    assert store.state()["next_version"] == 3
    store.update_state(lambda state: {**state, "next_version": two})
    assert store.promote(two, expected=1)
    assert store.state()["next_version"] == 3
