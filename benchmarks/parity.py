"""Prints how far ONNX Runtime is from PyTorch on 256 Grocery photos, for every opset and precision, and for DeepStream's graph.

    python benchmarks/parity.py [STORE] [--photos 256] [--precision fp16] [--opset 18] [--csv FILE]

Without a store: the real ViT-Tiny with its own 1000 classes. With one: its current version. All figures are over used rows; a logit's
difference is a part of the range of the reference's used logits. In fp16 a CPU computes most operators in fp32 and rounds in between,
so what is measured there is **weight rounding**, not a GPU's arithmetic. Exit code 1 when fp16 differs by more than 5e-3 in
probability or 1 % of the range. Rows are added to the CSV file as they come, so that the forms may be measured one by one.
"""

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.architecture import Architecture
from edgecl.backbone import load_pretrained
from edgecl.preprocess import decode, geometry_of, to_input
from edgecl.runtime.eager import EagerPredictor
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from edgecl_export.deepstream import nvinfer_graph, prove_probabilities
from edgecl_export.graph import IR_VERSIONS, Precision, build_graph
from edgecl_export.parity import Parity, compare
from edgecl_export.to_onnx import deployment_weights

Array = NDArray[Any]
SHARED = Path(os.environ.get("EDGECL_SHARED") or Path(__file__).parents[2] / "shared")
SOFTMAX_LIMIT, LOGIT_PART_LIMIT = 5e-3, 0.01  # fp16
COLUMNS = ("graph", "precision", "opset", "photos", "rows", "max_softmax", "max_logit", "range", "part_of_range", "top1_equal", "called")


def model(store_folder: Path | None) -> tuple[Architecture, Mapping[str, Array], tuple[Array, Array], Sequence[int]]:
    """Architecture, merged backbone, head and used rows."""
    if store_folder:
        store = Store.open(store_folder)
        manifest = store.manifest(int(store.current or 0))
        return store.facts.architecture, store.merged_state(manifest.recipe), store.head(manifest.number), manifest.rows()
    pretrained = load_pretrained("vit_tiny_patch16_224", next((SHARED / "weights").glob("vit_tiny_patch16_224*.safetensors")))
    assert pretrained.head_weight is not None
    assert pretrained.head_bias is not None
    return pretrained.architecture, pretrained.state, (pretrained.head_weight, pretrained.head_bias), range(len(pretrained.head_bias))


def row(graph: str, precision: str, opset: int, parity: Parity, rows: Sequence[int], logits: bool = True) -> dict[str, object]:
    """One line of the table."""
    return {
        "graph": graph, "precision": precision, "opset": opset, "photos": parity.n, "rows": len(rows), "max_softmax": f"{parity.max_softmax:.3e}",
        "max_logit": f"{parity.max_abs:.3e}" if logits else "", "range": f"{parity.spread:.2f}" if logits else "",
        "part_of_range": f"{parity.relative:.3e}" if logits else "", "top1_equal": parity.top1_equal,
        "called": "weight rounding" if precision == "fp16" else "parity",
    }  # fmt: skip


def measured(
    architecture: Architecture,
    state: Mapping[str, Array],
    head: tuple[Array, Array],
    rows: Sequence[int],
    pictures: Any,
    forms: Sequence[tuple[Precision, int]],
) -> Any:
    """A row per form, as each is done."""
    eager = EagerPredictor(architecture)
    eager.use(state, *head)
    reference, _ = eager.infer(pictures)
    for precision, opset in forms:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            graph = build_graph(architecture, capacity=len(head[1]), opset=opset, precision=precision)
            (folder / "model.onnx").write_bytes(graph)
            (folder / "weights.safetensors").write_bytes(deployment_weights(state, head, architecture, precision))
            predictor = OrtPredictor(threads=1)
            predictor.load(folder)
            yield row("app", precision, opset, compare(reference, predictor.infer(pictures)[0], rows), rows)
            if opset == 18:
                (folder / "model.onnx").write_bytes(nvinfer_graph(graph))
                parity = prove_probabilities(folder, pictures, reference, rows, precision, "PyTorch -> ONNX Runtime")
                yield row("deepstream", precision, opset, parity, rows, logits=False)


def add(path: Path, line: Mapping[str, object]) -> None:
    """One more row; the header first in a new file."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(line)


def main() -> int:
    """Compare, print a row per form, and say whether fp16 keeps its limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--precision", choices=["fp32", "fp16"])
    parser.add_argument("--opset", type=int, choices=list(IR_VERSIONS))
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    architecture, state, head, rows = model(arguments.store)
    files = sorted((SHARED / "data" / "grocery" / "train").glob("*/*.jpg"))
    chosen = files[:: len(files) // arguments.photos][: arguments.photos]
    pictures = np.stack([to_input(decode(file), geometry_of(architecture)) for file in chosen])
    print(f"{architecture.backbone}, {len(rows)} used rows, {len(pictures)} photos: PyTorch against ONNX Runtime on the CPU")
    print(*COLUMNS, sep=",")
    forms: list[tuple[Precision, int]] = [
        (precision, opset)
        for precision in ("fp32", "fp16")
        for opset in IR_VERSIONS
        if arguments.precision in (None, precision) and arguments.opset in (None, opset)
    ]  # type: ignore[misc]
    half = []
    for line in measured(architecture, state, head, rows, pictures, forms):
        print(*line.values(), sep=",", flush=True)
        if arguments.csv:
            add(arguments.csv, line)
        if line["precision"] == "fp16":
            half.append(line)
    if not half:
        return 0
    softmax, part = (max(float(line[name] or 0) for line in half) for name in ("max_softmax", "part_of_range"))
    kept = softmax <= SOFTMAX_LIMIT and part <= LOGIT_PART_LIMIT
    print(
        f"fp16, weight rounding: probabilities differ by at most {softmax:.2e} (limit {SOFTMAX_LIMIT:.0e}), logits by at most {100 * part:.3f} % "
        f"of their range (limit {100 * LOGIT_PART_LIMIT:.0f} %): {'kept' if kept else 'NOT KEPT'}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
