"""The adapter's folder: PEFT's format, byte for byte a function of the adapter."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from edgecl.adapter import CONFIG_FILE, TENSOR_FILE, Adapter, adapter_files, adapter_hash, read_adapter
from edgecl.errors import StoreDamaged
from edgecl.merge import merge
from tests.store.builders import TINY, random_adapter, random_state


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The folder with these files."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def same(one: Adapter, two: Adapter) -> bool:
    """Whether two adapters are bit-equal, in the same order."""
    return (one.rank, one.alpha, one.targets) == (two.rank, two.alpha, two.targets) and all(
        one.a[t].tobytes() == two.a[t].tobytes() and one.b[t].tobytes() == two.b[t].tobytes() for t in one.targets
    )


@pytest.mark.parametrize("rank", [1, 2, 8])
def test_an_adapter_survives_its_folder(tmp_path: Path, rank: int) -> None:
    """Written and read it is bit-equal, targets in forward order."""
    adapter = random_adapter(1, rank=rank, first_block=0)
    back = read_adapter(written(tmp_path, adapter_files(adapter, TINY.backbone)))
    assert same(adapter, back)
    assert back.scale == 2.0
    assert back.targets[:5] == ["blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.0.mlp.fc1", "blocks.0.mlp.fc2", "blocks.1.attn.qkv"]


def test_equal_adapters_have_equal_bytes() -> None:
    """The order in which targets were put into the adapter does not show; one changed number does."""
    adapter = random_adapter(1)
    turned = Adapter(adapter.rank, adapter.alpha, dict(reversed(adapter.a.items())), dict(reversed(adapter.b.items())))
    files = adapter_files(adapter, TINY.backbone)
    assert adapter_hash(adapter_files(turned, TINY.backbone)) == adapter_hash(files)
    assert adapter_hash(dict(reversed(files.items()))) == adapter_hash(files)
    other = random_adapter(1)
    other.a["blocks.1.attn.qkv"][0, 0] += 1
    assert adapter_hash(adapter_files(other, TINY.backbone)) != adapter_hash(files)
    assert adapter_hash({"a": b"bc"}) != adapter_hash({"ab": b"c"})


def test_the_folder_is_what_peft_writes() -> None:
    """Names under base_model.model., fp16, and the keys that PEFT reads."""
    files = adapter_files(random_adapter(1), TINY.backbone)
    tensors, config = load(files[TENSOR_FILE]), json.loads(files[CONFIG_FILE])
    assert "base_model.model.blocks.1.attn.qkv.lora_A.weight" in tensors
    assert all(value.dtype == np.float16 for value in tensors.values())
    assert (config["peft_type"], config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == ("LORA", 2, 4.0, "vit_tiny_test")


def _config(**changes: Any) -> bytes:
    return json.dumps({**json.loads(adapter_files(random_adapter(1), "x")[CONFIG_FILE]), **changes}).encode()


def _tensors(leave_out: str = "", **changes: Any) -> bytes:
    tensors = load(adapter_files(random_adapter(1), "x")[TENSOR_FILE])
    return save({name: value for name, value in tensors.items() if not leave_out or leave_out not in name} | changes)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (CONFIG_FILE, None, "cannot be read"),
        (TENSOR_FILE, None, "cannot be read"),
        (CONFIG_FILE, b"{", "cannot be read"),
        (CONFIG_FILE, b"[]", "cannot be read"),
        (CONFIG_FILE, b"{}", "cannot be read"),
        (CONFIG_FILE, _config(r="many"), "cannot be read"),
        (TENSOR_FILE, b"", "cannot be read"),
        (TENSOR_FILE, b"\xff" * 100, "cannot be read"),
        (CONFIG_FILE, _config(r=3), "does not hold matching A and B of rank 3"),
        (TENSOR_FILE, _tensors("blocks.1.mlp.fc1.lora_A"), "does not hold matching A and B of rank 2"),
    ],
)
def test_a_damaged_folder_is_a_sentence(tmp_path: Path, file: str, content: bytes | None, message: str) -> None:
    """Each damage names the adapter and the command that finds out more."""
    folder = tmp_path / "0123456789abcdef"
    folder.mkdir()
    written(folder, adapter_files(random_adapter(1), TINY.backbone))
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(StoreDamaged, match=f"the adapter 0123456789ab .*{message}.*Run: edgecl verify --deep"):
        read_adapter(folder)


def timm_model() -> Any:
    """TINY as a timm module with the numbers of `random_state`."""
    pytest.importorskip("peft")
    torch = pytest.importorskip("torch")
    vit = pytest.importorskip("timm.models.vision_transformer")
    model = vit.VisionTransformer(
        img_size=TINY.image_size,
        patch_size=TINY.patch_size,
        embed_dim=TINY.width,
        depth=TINY.depth,
        num_heads=TINY.heads,
        mlp_ratio=TINY.mlp_width / TINY.width,
        num_classes=0,
    )
    model.load_state_dict({name: torch.from_numpy(value) for name, value in random_state().items()})
    return model.eval()


@pytest.mark.slow
def test_peft_reads_our_folder_and_merges_the_same(tmp_path: Path) -> None:
    """PEFT loads it on a timm model, every target and no other module; its merge is ours at coefficient 1."""
    peft = pytest.importorskip("peft")
    adapter = random_adapter(1, rank=8)
    written(tmp_path, adapter_files(adapter, TINY.backbone))
    wrapped = peft.PeftModel.from_pretrained(timm_model(), str(tmp_path))
    touched = {name.removeprefix("base_model.model.") for name, module in wrapped.named_modules() if hasattr(module, "lora_A")}
    assert touched == set(adapter.targets)
    merged = {name: value.numpy() for name, value in wrapped.merge_and_unload().state_dict().items()}
    expected = merge(random_state(), [(adapter, {"*": 1.0})])
    assert set(merged) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(merged[name], value, atol=1e-5)
    assert np.abs(expected["blocks.1.attn.qkv.weight"] - random_state()["blocks.1.attn.qkv.weight"]).max() > 1e-3


@pytest.mark.slow
def test_we_read_what_peft_saves(tmp_path: Path) -> None:
    """Loaded into PEFT and saved by PEFT, the adapter comes back bit-equal (as fp16)."""
    peft = pytest.importorskip("peft")
    adapter = random_adapter(1, rank=4)
    (tmp_path / "ours").mkdir()
    written(tmp_path / "ours", adapter_files(adapter, TINY.backbone))
    wrapped = peft.PeftModel.from_pretrained(timm_model(), str(tmp_path / "ours"))
    wrapped.half().save_pretrained(str(tmp_path / "theirs"), save_embedding_layers=False)
    assert same(read_adapter(tmp_path / "theirs"), adapter)
