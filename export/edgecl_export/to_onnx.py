"""One version as a self-contained ONNX folder: real files, nothing shared with the store, moved into place only once it is proven."""

import errno
import hashlib
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgecl import __version__
from edgecl.architecture import Architecture
from edgecl.errors import BadInput, NoSpace, ParityFailed, UsageError
from edgecl.layout import safetensors_bytes, to_deployment
from edgecl.manifest import FileEntry, Manifest, labels_text, pretty_json
from edgecl.store.atomic import sync_folder, write_file
from edgecl.store.beside import folder_beside, sync_above
from edgecl.store.formats import sealed
from edgecl.typed import strict_json
from edgecl_export.graph import Precision, build_graph, graph_key

Array = NDArray[Any]
Prove = Callable[[Path], Sequence[Mapping[str, Any]]]
"""Folder with the graph and the weights -> one JSON object per hop; raises ParityFailed where the model in it is not the version."""

Form = Literal["app", "deepstream"]
"""Who asks the graph: edgecl's own app with uint8 pictures, or nvinfer with float planes."""

GRAPH_FILE, WEIGHTS_FILE, LABELS_FILE, EXPORT_FILE = "model.onnx", "weights.safetensors", "labels.txt", "export.json"
ENGINE_FILE = "model.plan"  # what the trtexec line writes
NVINFER_FILE, NVINFER_LABELS_FILE = "nvinfer.txt", "nvinfer-labels.txt"  # of a DeepStream export
FILES = {GRAPH_FILE, WEIGHTS_FILE, LABELS_FILE, EXPORT_FILE, ENGINE_FILE, NVINFER_FILE, NVINFER_LABELS_FILE}
PRECISIONS = ("fp32", "fp16")


def export_onnx(
    manifest: Manifest,
    architecture: Architecture,
    state: Mapping[str, Array],
    head: tuple[Array, Array],
    *,
    out: Path,
    opset: int = 18,
    precision: Precision = "fp32",
    prove: Prove,
    form: Form = "app",
    change: Callable[[bytes], bytes] = lambda graph: graph,
    extra: Mapping[str, bytes] | None = None,
) -> dict[str, FileEntry]:
    """Write graph, weights, labels and export.json of one version into the folder `out`; an earlier export there is replaced.

    Args:
        state: the merged backbone, timm names, float32.
        head: weight `[capacity, d]` and bias `[capacity]`.
        form: goes into the graph's key; `change` makes this form of the app's graph. The weights are the same for all forms.
        extra: further files, by name.
        prove: called with the finished files in a folder beside `out`; what it returns becomes `parity` of export.json.

    Returns:
        Hash and size of each file of the folder.

    Raises:
        UsageError: `out` holds something else than an export, or an unknown opset or precision.
        ParityFailed: a weight does not fit the precision, or from `prove`; nothing is left behind and an earlier export stays.
        BadInput, NoSpace: the system does not let `out` be written.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is not written; choose one of {list(PRECISIONS)} with --precision")
    target = out.resolve()
    _check_place(target, out)
    files = {
        GRAPH_FILE: change(build_graph(architecture, capacity=manifest.capacity, opset=opset, precision=precision)),
        WEIGHTS_FILE: deployment_weights(state, head, architecture, precision),
        LABELS_FILE: labels_text(manifest.classes, manifest.capacity).encode(),
        **(extra or {}),
    }
    entries = {name: FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)) for name, data in files.items()}
    with _beside(target, out) as fresh:
        with _place_errors(out):
            for name, data in files.items():
                write_file(fresh / name, data)
        description = pretty_json(sealed("export", _description(manifest, architecture, opset, precision, entries, prove(fresh), form)))
        with _place_errors(out):
            write_file(fresh / EXPORT_FILE, description)
            sync_folder(fresh)
            _move(fresh, target)
    return entries | {EXPORT_FILE: FileEntry(sha256=hashlib.sha256(description).hexdigest(), bytes=len(description))}


def deployment_weights(state: Mapping[str, Array], head: tuple[Array, Array], architecture: Architecture, precision: Precision) -> bytes:
    """`weights.safetensors` of an export: merged backbone and head in deployment layout, in the precision asked for.

    Raises:
        ParityFailed: a value is not finite, or too large for fp16; names the tensor.
    """
    return safetensors_bytes(in_precision(to_deployment(state, *head, architecture), precision))


def in_precision(arrays: Mapping[str, Array], precision: Precision) -> dict[str, Array]:
    """Deployment tensors in the precision asked for.

    Raises:
        ParityFailed: a value is not finite, or too large for fp16; names the tensor.
    """
    dtype = np.float16 if precision == "fp16" else np.float32
    limit = float(np.finfo(dtype).max)
    for name, array in arrays.items():
        largest = float(np.abs(array).max(initial=0.0))
        # Written so that a NaN fails as well.
        if not largest <= limit:
            remedy = "Export with --precision fp32." if np.isfinite(largest) else "Find the damaged file with: edgecl verify --deep"
            raise ParityFailed(f"{name} holds {largest:.6g}, but {precision} ends at {limit:.6g}. Nothing was exported. {remedy}")
    return {name: array.astype(dtype, copy=False) for name, array in arrays.items()}


def trtexec_line(folder: Path, opset: int, precision: Precision, image_size: int, form: Form = "app") -> str:
    """The command that builds an engine from an export where edgecl does not do it itself: JetPack 5 and 6.0, TensorRT 8.

    One picture at a time, as a camera asks. TensorRT 8.5 reads opset 16, 8.6 also 17. The line follows trtexec's documentation; it has
    not been run here, and such an engine is not compared with the version.
    """
    words = ["trtexec", f"--onnx={folder / GRAPH_FILE}", f"--saveEngine={folder / ENGINE_FILE}"]
    shape = f"{image_size}x{image_size}x3" if form == "app" else f"3x{image_size}x{image_size}"
    words.append(f"--shapes=pictures:1x{shape}")
    if precision == "fp16":
        # TensorRT 8 chooses types by itself and must be allowed fp16; from opset 18 on (TensorRT 10) the graph's own types are kept.
        words.append("--fp16" if opset <= 17 else "--stronglyTyped")
    return shlex.join(words)


def _description(
    manifest: Manifest,
    architecture: Architecture,
    opset: int,
    precision: Precision,
    entries: Mapping[str, FileEntry],
    hops: Sequence[Mapping[str, Any]],
    form: Form,
) -> dict[str, Any]:
    """What export.json says, without its format and seal."""
    return {
        "edgecl": __version__,
        "version": manifest.number,
        "deterministic": manifest.deterministic,
        "architecture": architecture.to_json(),
        "graph": graph_key(architecture, capacity=manifest.capacity, opset=opset, precision=precision)
        + ("" if form == "app" else f"-{form}"),
        "capacity": manifest.capacity,
        "opset": opset,
        "precision": precision,
        "classes": [{"row": entry.row, "name": entry.name, "id": entry.id} for entry in sorted(manifest.classes, key=lambda c: c.row)],
        "thresholds": asdict(manifest.thresholds),
        "temperature": manifest.temperature,
        "files": {name: asdict(entry) for name, entry in entries.items()},
        "parity": [dict(hop) for hop in hops],
    }


def _check_place(target: Path, out: Path) -> None:
    """Only an absent or empty folder, or an earlier export with nothing of anybody else's in it, may be written to."""
    with _place_errors(out):
        if not os.path.lexists(target):
            return
        if not target.is_dir():
            raise UsageError(f"--out {out} is a file; an export is a folder. Choose another one with --out")
        names = {entry.name for entry in target.iterdir()}
    if not names:
        return
    strangers = sorted(names - FILES)
    if strangers or not _is_export(target / EXPORT_FILE):
        found = f"holds {strangers[0]}" if strangers else f"has no {EXPORT_FILE} of edgecl"
        raise UsageError(
            f"--out {out} exists and {found}, so it would not be only an export that is replaced. Choose another one with --out"
        )


def _is_export(path: Path) -> bool:
    try:
        return str(strict_json(path.read_bytes()).get("format")).startswith("edgecl.export/")
    except (OSError, ValueError):
        return False


def _move(fresh: Path, target: Path) -> None:
    """Rename `fresh` to `target`. An earlier export steps aside first and comes back if that fails."""
    earlier = fresh.with_name(f"{fresh.name}.earlier") if target.exists() else None
    if earlier is not None:
        os.rename(target, earlier)
    try:
        os.rename(fresh, target)
    except BaseException:
        if earlier is not None:
            os.rename(earlier, target)
        raise
    sync_above(target)
    if earlier is not None:
        shutil.rmtree(earlier, ignore_errors=True)


@contextmanager
def _beside(target: Path, out: Path) -> Iterator[Path]:
    """`folder_beside`, whose own errors are about `out`; those of the body pass."""
    with ExitStack() as stack:
        with _place_errors(out):
            fresh = stack.enter_context(folder_beside(target))
        yield fresh


@contextmanager
def _place_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"writing {out}: {reason}. Nothing was exported. Free some space, or choose another disk with --out") from error
        raise BadInput(f"{out} cannot be written: {reason}. Choose a folder that this user may write with --out") from error
