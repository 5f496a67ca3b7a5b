"""Prints how far ONNX Runtime is from PyTorch on 64 Grocery photos, for every opset and precision.

    python benchmarks/parity.py [STORE]

Without a store: the real ViT-Tiny with its own 1000 classes. With one: its current version. All figures are over used rows.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from edgecl.backbone import load_pretrained
from edgecl.preprocess import decode, geometry_of, to_input
from edgecl.runtime.eager import EagerPredictor
from edgecl.runtime.ort import OrtPredictor
from edgecl.store import Store
from edgecl_export.graph import IR_VERSIONS, build_graph
from edgecl_export.parity import compare
from edgecl_export.to_onnx import deployment_weights

SHARED = Path(os.environ.get("EDGECL_SHARED") or Path(__file__).parents[2] / "shared")
PHOTOS = 64


def main() -> None:
    """Compare and print a row per form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, nargs="?")
    arguments = parser.parse_args()
    if arguments.store:
        store = Store.open(arguments.store)
        manifest = store.manifest(int(store.current or 0))
        architecture, state, head = store.facts.architecture, store.merged_state(manifest.recipe), store.head(manifest.number)
        rows = manifest.rows()
    else:
        pretrained = load_pretrained("vit_tiny_patch16_224", next((SHARED / "weights").glob("vit_tiny_patch16_224*.safetensors")))
        assert pretrained.head_weight is not None
        assert pretrained.head_bias is not None
        architecture, state, head = pretrained.architecture, pretrained.state, (pretrained.head_weight, pretrained.head_bias)
        rows = list(range(len(head[1])))
    files = sorted((SHARED / "data" / "grocery" / "train").glob("*/*.jpg"))
    pictures = np.stack([to_input(decode(file), geometry_of(architecture)) for file in files[:: len(files) // PHOTOS][:PHOTOS]])
    eager = EagerPredictor(architecture)
    eager.use(state, *head)
    reference, _ = eager.infer(pictures)
    print(f"{architecture.backbone}, {len(rows)} used rows, {len(pictures)} photos: PyTorch against ONNX Runtime")
    for precision in ("fp32", "fp16"):
        for opset in IR_VERSIONS:
            with tempfile.TemporaryDirectory() as place:
                graph = build_graph(architecture, capacity=len(head[1]), opset=opset, precision=precision)
                (Path(place) / "model.onnx").write_bytes(graph)
                (Path(place) / "weights.safetensors").write_bytes(deployment_weights(state, head, architecture, precision))
                predictor = OrtPredictor()
                predictor.load(Path(place))
                parity = compare(reference, predictor.infer(pictures)[0], rows)
            print(
                f"  {precision} opset {opset}: largest logit difference {parity.max_abs:.2e}, {parity.relative:.2e} of the spread "
                f"{parity.spread:.1f}; largest softmax difference {parity.max_softmax:.2e}; same best class: {parity.top1_equal}"
            )


if __name__ == "__main__":
    main()
