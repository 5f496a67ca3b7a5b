"""A version for DeepStream: the graph that nvinfer's own classifier parser reads, its configuration and its label file.

nvinfer hands over planes of floats and wants probabilities, so the graph is edgecl's own with another beginning and another end:

    pictures float32 [b, 3, h, w], rgb 0 to 255 -> probabilities float32 [b, capacity]

The weights file is the same. Normalisation stays in the graph, for nvinfer knows one scale for all three channels only. Softmax runs
over all rows, which is the softmax over the used ones: a free row answers -1e4. Keys of the configuration file are those of NVIDIA's
"Gst-nvinfer" page; no DeepStream has read them here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.architecture import Architecture
from edgecl.errors import BadInput, MissingExtra, ParityFailed
from edgecl.manifest import FREE_LABEL, Manifest
from edgecl.runtime.decide import softmax
from edgecl_export.graph import Precision
from edgecl_export.parity import LOGIT_LIMIT, SOFTMAX_LIMIT, Parity, same_best
from edgecl_export.to_onnx import ENGINE_FILE, GRAPH_FILE, NVINFER_FILE, NVINFER_LABELS_FILE

Array = NDArray[Any]
INPUT, OUTPUT = "pictures", "probabilities"
FREE_PROBABILITY = 1e-6  # a free row may not reach it
BATCH = 16  # pictures per run while proving


def nvinfer_graph(graph: bytes) -> bytes:
    """edgecl's graph with float planes at its beginning and probabilities at its end.

    Raises:
        ValueError: the graph does not begin or end as edgecl writes it.
    """
    import onnx

    helper, tensor = onnx.helper, onnx.TensorProto
    model = onnx.load_from_string(graph)
    nodes = {node.name: node for node in model.graph.node}
    absent = {"input.float", "input.scale", "input.gain", "input.offset", "input.nchw", "features.cast", "logits.cast"} - set(nodes)
    if absent:
        raise ValueError(f"the graph has no node {sorted(absent)[0]}")
    size = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    capacity = next(value for value in model.graph.output if value.name == "logits").type.tensor_type.shape.dim[1].dim_value
    nodes["input.scale"].input[0] = INPUT
    for name in ("input.gain", "input.offset"):
        value = onnx.numpy_helper.to_array(nodes[name].attribute[0].t).reshape(3, 1, 1)
        nodes[name].attribute[0].t.CopyFrom(helper.make_tensor(name, tensor.FLOAT, value.shape, value.tobytes(), raw=True))
    planes = nodes["input.nchw"].input[0]
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == nodes["input.nchw"].output[0]:
                node.input[index] = planes
    kept = [node for node in model.graph.node if node.name not in ("input.float", "input.nchw", "features.cast")]
    kept.append(helper.make_node("Softmax", ["logits"], [OUTPUT], name=OUTPUT, axis=1))
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    model.graph.node.extend(kept)
    model.graph.input.append(helper.make_tensor_value_info(INPUT, tensor.FLOAT, ["b", 3, size, size]))
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, tensor.FLOAT, ["b", capacity]))
    return bytes(model.SerializeToString(deterministic=True))


def nvinfer_files(manifest: Manifest, architecture: Architecture, precision: Precision) -> dict[str, bytes]:
    """Configuration and label file by their names.

    Raises:
        BadInput: the version has no class, or a class name that nvinfer's label file cannot hold.
    """
    if not manifest.classes:
        raise BadInput(f"version {manifest.number} has no class that DeepStream could name. Teach one with: edgecl learn --task FOLDER")
    names = {entry.row: entry.name for entry in manifest.classes}
    odd = [name for name in names.values() if ";" in name]
    if odd:
        raise BadInput(f"the class {odd[0]!r} has a semicolon, which separates labels in nvinfer's file. Change it with: edgecl rename")
    labels = ";".join(names.get(row, FREE_LABEL) for row in range(manifest.capacity))
    return {NVINFER_FILE: _configuration(manifest, architecture, precision).encode(), NVINFER_LABELS_FILE: f"{labels}\n".encode()}


def _configuration(manifest: Manifest, architecture: Architecture, precision: Precision) -> str:
    size = architecture.image_size
    values = {
        "gpu-id": 0,
        "onnx-file": GRAPH_FILE,
        "model-engine-file": ENGINE_FILE,
        "labelfile-path": NVINFER_LABELS_FILE,
        "batch-size": 1,
        "process-mode": 1,
        "network-type": 1,
        "network-mode": 2 if precision == "fp16" else 0,
        "model-color-format": 0,
        "infer-dims": f"3;{size};{size}",
        "net-scale-factor": 1.0,
        "offsets": "0;0;0",
        "maintain-aspect-ratio": 0,
        "output-blob-names": OUTPUT,
        "classifier-threshold": round(max(0.0, 1.0 - manifest.thresholds.unknown_above), 4),
        "gie-unique-id": 1,
    }
    head = (
        f"# nvinfer configuration of version {manifest.number}, written by edgecl. Written from NVIDIA's documentation, not run on hardware.\n"
        "# Normalisation is part of the graph. nvinfer stretches the whole frame to the input, edgecl's app cuts out the centre:\n"
        "# crop upstream (nvdspreprocess, nvvideoconvert) where frames are far from square.\n"
        "# An engine that was built from an older export holds its weights: delete it before using a new one.\n"
    )
    return head + "[property]\n" + "".join(f"{key}={value}\n" for key, value in values.items())


def prove_probabilities(
    folder: Path, pictures: NDArray[np.uint8], reference: Array, rows: Sequence[int], precision: Precision, hop: str
) -> Parity:
    """Compare the written graph in ONNX Runtime with the softmax over used rows of the reference logits `[n, capacity]`.

    Raises:
        ParityFailed: a probability differs by more than the precision's limit, or a free row has one.
    """
    found = _run(folder, pictures)
    expected, used = softmax(reference, rows), found[:, list(rows)].astype(np.float64)
    free = np.delete(found, list(rows), axis=1)
    free_ok = bool(np.isfinite(found).all() and (free < FREE_PROBABILITY).all())
    difference = float(np.abs(used - expected).max()) if np.isfinite(used).all() else float("inf")
    limit = LOGIT_LIMIT if precision == "fp32" else SOFTMAX_LIMIT
    parity = Parity(len(pictures), difference, 1.0, difference, same_best(expected, used, limit), difference, free_ok)
    faults = [] if difference <= limit else [f"probabilities differ by {difference:.2e}, allowed {limit:.0e}"]
    faults += [] if parity.top1_equal else ["a picture gets another best class, allowed none"]
    faults += [] if free_ok else ["a row without a class has a probability"]
    if faults:
        raise ParityFailed(f"{hop} ({precision}, {len(pictures)} pictures): {'; '.join(faults)}. Nothing was exported. Try another --opset")
    return parity


def _run(folder: Path, pictures: NDArray[np.uint8]) -> Array:
    """Probabilities `[n, capacity]` of uint8 `[n, h, w, 3]`, handed over as nvinfer does."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra.of("onnxruntime", "run", "Comparing an export") from error
    session = onnxruntime.InferenceSession(str(folder / GRAPH_FILE), providers=["CPUExecutionProvider"])
    planes = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), dtype=np.float32)
    return np.concatenate([session.run([OUTPUT], {INPUT: planes[start : start + BATCH]})[0] for start in range(0, len(planes), BATCH)])
