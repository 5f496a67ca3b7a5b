"""Makes the golden store of the format that is written now, which is committed and must be readable for ever.

    PYTHONPATH=.:export python tests/store/make_golden.py FOLDER

It is made once per format; a later edgecl must not make it again but read it. Version 0 is empty, 1 learned two classes and is good,
2 renamed one and is current, 3 learned a third and is staged, without its weights.
"""

import dataclasses
import hashlib
import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from edgecl.adapter import adapter_files, adapter_hash
from edgecl.architecture import Architecture
from edgecl.manifest import KeptPicture, RecipeStep
from edgecl.merge import merge
from edgecl.runtime.ort import OrtPredictor
from edgecl.runtime.selftest import write_canary
from edgecl.settings import AdapterShape, GateSettings, MemorySettings
from edgecl.store import Draft, Store
from edgecl.store.formats import newest
from edgecl.store.gc import gc
from edgecl.store.history import log as history_log
from edgecl.store.history import log_json, promote, rename
from edgecl.store.versions import enforce_free_rows, weights_bytes
from edgecl_export.graph import write_graph
from tests.store.builders import TINY, first_draft, learn_draft, random_adapter, random_state

ARCHITECTURE = dataclasses.replace(TINY, backbone="vit_golden", image_size=16, width=16, depth=2, heads=2, mlp_width=32, layer_scale=True)


def graph_and_canary(store: Store, draft: Draft, architecture: Architecture) -> Draft:
    """The draft with a real graph, and with what ONNX Runtime answers to four pictures as its canary."""
    graph = write_graph(architecture, draft.capacity)
    steps = store.adapters(
        dataclasses.replace(draft.recipe, steps=tuple(s for s in draft.recipe.steps if s.adapter not in draft.new_adapters))
    )
    new = (
        [(random_adapter(7 + (draft.parent or 0), architecture=architecture), draft.recipe.steps[-1].coefficients)]
        if draft.new_adapters
        else []
    )
    size = architecture.image_size
    pictures = np.random.default_rng(1).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "model.onnx").write_bytes(graph)
        (folder / "weights.safetensors").write_bytes(
            weights_bytes(merge(store.base(), [*steps, *new]), *enforce_free_rows(draft), architecture)
        )
        predictor = OrtPredictor(threads=1)
        predictor.load(folder)
        logits, features = predictor.infer(pictures)
        predictor.close()
    return dataclasses.replace(draft, graph=graph, canary=write_canary(pictures, logits, features))


def real_pictures(draft: Draft, earlier: tuple[KeptPicture, ...]) -> Draft:
    """The draft with JPEGs instead of the placeholders of its new pictures."""
    kept: list[KeptPicture] = list(earlier)
    data: dict[str, bytes] = {}
    for index, picture in enumerate(draft.memory[len(earlier) :]):
        rgb = np.random.default_rng((len(earlier), index)).integers(0, 256, (18, 18, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(rgb).save(stream, "JPEG", quality=90)
        digest = hashlib.sha256(stream.getvalue()).hexdigest()
        data[digest] = stream.getvalue()
        kept.append(dataclasses.replace(picture, hash=digest, bytes=len(stream.getvalue())))
    return dataclasses.replace(draft, memory=tuple(kept), new_pictures=data)


def learned(store: Store, names: list[str]) -> int:
    """Commit a version that learned `names`."""
    draft = learn_draft(store, names, pictures=2)
    adapter = random_adapter(7 + (draft.parent or 0), architecture=ARCHITECTURE)
    files = adapter_files(adapter, ARCHITECTURE.backbone)
    step = RecipeStep(task=str(draft.task), adapter=adapter_hash(files), coefficients={"*": 0.75, "blocks.1.attn.proj": 0.5})
    recipe = dataclasses.replace(draft.recipe, steps=(*draft.recipe.steps[:-1], step))
    draft = dataclasses.replace(draft, recipe=recipe, new_adapters={step.adapter: files}, run={"seconds": 1.5, "host": "golden"})
    return store.commit(graph_and_canary(store, real_pictures(draft, store.memory(draft.parent or 0)), ARCHITECTURE)).number


def make(folder: Path) -> None:
    """Write `folder/store-<n>` and `folder/expected-<n>.json`, n being the number of the store's format."""
    number = newest("store").rpartition("/")[2]
    store = Store.create(
        folder / f"store-{number}",
        architecture=ARCHITECTURE,
        base=random_state(3, ARCHITECTURE),
        source="golden.safetensors",
        capacity=16,
        adapter=AdapterShape(rank=2, alpha=4.0, first_block=1),
        memory=MemorySettings(per_class=2, budget_mib=1.0),
        gate=GateSettings(max_drop=0.05),
    )
    width = (16, ARCHITECTURE.width)
    store.commit(graph_and_canary(store, dataclasses.replace(first_draft(), head_weight=np.zeros(width, np.float16)), ARCHITECTURE))
    promote(store, 0)
    promote(store, learned(store, ["cola", "müsli"]))
    store.mark_good(1)
    rename(store, "cola", "Coca 缶")
    learned(store, ["sprite"])
    store.update_state(lambda state: {**state, "failed": {"3": "made up"}})
    gc(store)
    for lock in store.root.glob("*.lock"):
        lock.unlink()
    expected = {
        "log": log_json(history_log(store)),
        "deterministic": {str(version): store.manifest(version).deterministic for version in store.numbers()},
    }
    (folder / f"expected-{number}.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
