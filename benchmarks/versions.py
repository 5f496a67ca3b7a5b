"""Compares the first and the last version of a store: the graph's bytes, ONNX Runtime's latency, and PEFT's merge of the last adapter.

    python benchmarks/versions.py STORE

Latency: both versions in one process, asked in turns, one picture at a time; the ratio of the medians is printed.
"""

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np

from edgecl.adapter import adapter_files
from edgecl.backbone import build
from edgecl.manifest import Recipe
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store

ROUNDS = 300


def graphs(store: Store) -> None:
    """sha256 of `model.onnx` in every version."""
    hashes = {number: hashlib.sha256((store.folder(number) / "model.onnx").read_bytes()).hexdigest() for number in store.numbers()}
    for number, value in hashes.items():
        print(f"model.onnx of version {number}: {value}")
    print(f"different graphs: {len(set(hashes.values()))}")


def latency(store: Store, first: int, last: int) -> None:
    """Median milliseconds of both versions, alternating, and their ratio."""
    predictors = {}
    for number in (first, last):
        predictors[number] = OrtPredictor()
        with store.use(number) as folder:
            predictors[number].load(folder)
    size = store.facts.architecture.image_size
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    times: dict[int, list[float]] = {first: [], last: []}
    for turn in range(ROUNDS + 20):
        # The order changes from turn to turn: whoever comes second finds a warm cache.
        for number in (first, last) if turn % 2 else (last, first):
            started = time.perf_counter()
            predictors[number].infer(picture)
            if turn >= 20:
                times[number].append(1000 * (time.perf_counter() - started))
    medians = {number: float(np.median(values)) for number, values in times.items()}
    print(
        f"latency: version {first} {medians[first]:.2f} ms, version {last} {medians[last]:.2f} ms, ratio {medians[last] / medians[first]:.4f}"
    )


def peft(store: Store, last: int) -> None:
    """The last adapter, loaded by PEFT onto its parent's merged model and scaled, against the version's own merge."""
    from peft import PeftModel

    manifest = store.manifest(last)
    step = manifest.recipe.steps[-1]
    parent = Recipe(steps=manifest.recipe.steps[:-1])
    architecture = store.facts.architecture
    ((adapter, coefficients),) = store.adapters(Recipe(steps=(step,)))
    with tempfile.TemporaryDirectory() as folder:
        for name, data in adapter_files(adapter, architecture.backbone).items():
            (Path(folder) / name).write_bytes(data)
        model = PeftModel.from_pretrained(build(architecture, store.merged_state(parent)).model, folder)
        for module in model.modules():
            if hasattr(module, "scaling") and "default" in module.scaling:
                module.scaling["default"] *= coefficients["*"]
        theirs = model.merge_and_unload().state_dict()
    ours = store.merged_state(manifest.recipe)
    worst = max(float(np.abs(theirs[name].numpy() - value).max()) for name, value in ours.items())
    print(
        f"PEFT's merge of {step.task} (coefficient {coefficients['*']}) against version {last}: largest difference {worst:.1e} in {len(ours)} tensors"
    )


def main() -> None:
    """All three on one store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    arguments = parser.parse_args()
    store = Store.open(arguments.store)
    taught = [number for number in store.numbers() if store.manifest(number).operation == "learn"]
    graphs(store)
    latency(store, taught[0], taught[-1])
    peft(store, taught[-1])


if __name__ == "__main__":
    main()
