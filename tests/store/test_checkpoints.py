"""The file that an interrupted learn leaves."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from edgecl.errors import StoreDamaged
from edgecl.store import Store
from edgecl.store.checkpoints import (
    CHECKPOINT_FILE,
    Checkpoint,
    checkpoint_bytes,
    parse_checkpoint,
    read_checkpoint,
    remove_checkpoint,
    write_checkpoint,
)
from edgecl.store.gc import gc
from tests.store.builders import learn

CHECKPOINT = Checkpoint(
    lesson="ab" * 32,
    parent=3,
    number=4,
    steps=7,
    economy={"at_once": 8, "recompute": 0, "train_from": 1},
    incidents=("waited 5 s for the board to cool down from 80 °C",),
    seconds=12.5,
    tensors={"a.blocks.1.attn.qkv": np.arange(6, dtype=np.float32).reshape(2, 3), "count.head.bias": np.array(7, np.float32)},
)


def equal(one: Checkpoint, other: Checkpoint) -> bool:
    """Fields and tensors."""
    assert {name: (value.tolist(), value.dtype) for name, value in one.tensors.items()} == {
        name: (value.tolist(), value.dtype) for name, value in other.tensors.items()
    }
    return dataclasses.replace(one, tensors={}) == dataclasses.replace(other, tensors={})


def test_it_comes_back_as_it_was() -> None:
    """Byte for byte a function of its content; any safetensors reader loads the tensors."""
    data = checkpoint_bytes(CHECKPOINT)
    assert equal(parse_checkpoint(data), CHECKPOINT)
    assert checkpoint_bytes(parse_checkpoint(data)) == data
    assert sorted(load(data)) == sorted(CHECKPOINT.tensors)


def test_the_sweep_and_gc_leave_it_alone(store: Store) -> None:
    """Only the learn that finishes removes it."""
    assert read_checkpoint(store.root) is None
    write_checkpoint(store.root, CHECKPOINT)
    with store.learning_lock():
        pass
    gc(store, keep=0)
    learn(store, "sprite")
    found = read_checkpoint(store.root)
    assert found is not None
    assert equal(found, CHECKPOINT)
    write_checkpoint(store.root, dataclasses.replace(CHECKPOINT, steps=8))
    again = read_checkpoint(store.root)
    assert again is not None
    assert again.steps == 8
    assert list((store.root / "tmp").iterdir()) == []
    remove_checkpoint(store.root)
    remove_checkpoint(store.root)
    assert read_checkpoint(store.root) is None


def test_any_changed_byte_is_refused() -> None:
    """Header, padding, metadata and numbers."""
    data = checkpoint_bytes(CHECKPOINT)
    for offset in range(len(data)):
        for value in (data[offset] ^ 1, 32, 9):
            changed = data[:offset] + bytes([value]) + data[offset + 1 :]
            if changed != data:
                with pytest.raises(StoreDamaged, match=r"checkpoint\.safetensors"):
                    parse_checkpoint(changed)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a safetensors file"),
        (save({"a": np.zeros(1, np.float32)}), r"was changed \(.*__metadata__"),
        (save({}, metadata={"edgecl": "[" * 5000}), "was changed"),
        (save({}, metadata={"edgecl": json.dumps({"format": "edgecl.checkpoint/2"})}), "has the format 'edgecl.checkpoint/2', expected"),
        (save({}, metadata={"edgecl": "[]"}), "was changed"),
    ],
)
def test_other_files_are_a_sentence_with_the_remedy(data: bytes, message: str) -> None:
    """Delete it: nothing but minutes is lost."""
    with pytest.raises(StoreDamaged, match=message):
        parse_checkpoint(data)


def test_a_folder_in_its_place_is_a_sentence(store: Store) -> None:
    """Whatever stands there."""
    (store.root / CHECKPOINT_FILE).mkdir()
    with pytest.raises(StoreDamaged, match=r"checkpoint\.safetensors cannot be read \(Is a directory\)"):
        read_checkpoint(store.root)


def test_it_is_whole_or_the_one_before(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that fails leaves the old one."""
    import os

    write_checkpoint(store.root, CHECKPOINT)

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(Exception, match="No space left"):
        write_checkpoint(store.root, dataclasses.replace(CHECKPOINT, steps=8))
    found = read_checkpoint(store.root)
    assert found is not None
    assert found.steps == 7
