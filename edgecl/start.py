"""The first version of a store: a backbone as it came, with no class or with those of a fine-tuned classifier."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecl.architecture import Architecture
from edgecl.backbone import load_pretrained
from edgecl.canary import colour_fields
from edgecl.errors import BadInput, BadWeights
from edgecl.head import Head, empty_head, make_head
from edgecl.manifest import FREE_LABEL, ClassEntry, Recipe, Thresholds, normal_name
from edgecl.outcome import GraphWriter, run_record
from edgecl.runtime.base import Predictor
from edgecl.runtime.eager import EagerPredictor
from edgecl.runtime.selftest import write_canary
from edgecl.serve import serve
from edgecl.settings import AdapterShape, MemorySettings
from edgecl.store import Draft, Store

Array = NDArray[Any]
LABELS_TASK = "t0000-labels"
CLASS_NAMESPACE = uuid.UUID("0f6f4c5e-6a1d-5f0e-8d53-3c8f0f2b8e11")


def init_store(
    root: Path,
    *,
    backbone: str,
    weights: Path | None,
    image_size: int | None = None,
    labels: Path | None,
    capacity: int,
    adapter: AdapterShape,
    first_block: int | None = None,
    memory: MemorySettings,
    write_graph: GraphWriter,
    make_predictor: Callable[[], Predictor],
) -> Store:
    """Make a store from a supported backbone; with `labels` its classifier's classes come along.

    Args:
        image_size: pixels; None for those that the weights were trained with.
        first_block: lowest block that adapters change; None for `adapter`'s, or the middle one of a backbone that is too shallow for it.

    Raises:
        UnsupportedBackbone, BadWeights, BadInput: the backbone, its weights or the labels cannot be used.
        UsageError: `root` is occupied.
    """
    pretrained = load_pretrained(backbone, weights, image_size)
    if first_block is None:
        first_block = min(adapter.first_block, pretrained.architecture.depth // 2)
    names = read_labels(labels) if labels is not None else ()
    head: tuple[Array, Array] | None = None
    if names:
        if pretrained.head_weight is None or pretrained.head_bias is None:
            raise BadWeights(f"{pretrained.source} has no classifier, so --labels has nothing to name. Leave --labels out.")
        head = pretrained.head_weight, pretrained.head_bias
    return create_store(
        root,
        architecture=pretrained.architecture,
        state=pretrained.state,
        source=pretrained.source,
        names=names,
        head=head,
        capacity=capacity,
        adapter=replace(adapter, first_block=first_block),
        memory=memory,
        write_graph=write_graph,
        make_predictor=make_predictor,
    )


def create_store(
    root: Path,
    *,
    architecture: Architecture,
    state: Mapping[str, Array],
    source: str,
    capacity: int,
    adapter: AdapterShape,
    memory: MemorySettings,
    write_graph: GraphWriter,
    make_predictor: Callable[[], Predictor],
    names: Sequence[str] = (),
    head: tuple[Array, Array] | None = None,
) -> Store:
    """Make a store from a backbone's arrays; `names[i]` names row i of `head`, a weight `[c, d]` and a bias `[c]`.

    Raises:
        BadInput: more labels than rows, or another number than the classifier has.
        ParityFailed: the graph does not answer as the backbone does in PyTorch; nothing is left of the store.
    """
    first_head = _head_of(names, head, capacity, architecture.width)
    classes = _classes(names, state)
    canary = _canary(architecture, state, first_head)

    def first(store: Store) -> None:
        draft = Draft(
            parent=None,
            operation="init",
            task=None,
            capacity=capacity,
            next_row=max((entry.row + 1 for entry in classes), default=0),
            classes=classes,
            recipe=Recipe(),
            thresholds=Thresholds(),
            temperature=1.0,
            seeds={},
            checks={},
            head_weight=first_head.weight,
            head_bias=first_head.bias,
            memory=(),
            new_pictures={},
            new_adapters={},
            graph=write_graph(architecture, capacity),
            canary=canary,
            run=run_record(),
        )
        serve(store, store.commit(draft), make_predictor)

    return Store.create(
        root, architecture=architecture, base=state, source=source, capacity=capacity, adapter=adapter, memory=memory, first=first
    )


def read_labels(path: Path) -> tuple[str, ...]:
    """One class name per line; `-` stands for a row without a class.

    Raises:
        BadInput: unreadable, empty, or with a name twice (case does not count).
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the labels {path} cannot be read ({error}). Expected a UTF-8 text with one class name per line.") from error
    names = tuple(FREE_LABEL if line.strip() == FREE_LABEL else normal_name(line) for line in lines)
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        first = seen.setdefault(name.casefold(), number)
        if name != FREE_LABEL and first != number:
            raise BadInput(f"{path.name} names {name!r} in line {first} and again in line {number}. Give every class a name of its own.")
    if not names:
        raise BadInput(f"{path.name} is empty. Expected one class name per line.")
    return names


def _head_of(names: Sequence[str], head: tuple[Array, Array] | None, capacity: int, width: int) -> Head:
    if not names or head is None:
        return empty_head(capacity, width)
    weight, bias = head
    if len(names) != len(bias):
        raise BadInput(
            f"the labels name {len(names)} classes, but the classifier has {len(bias)} rows. Give one line per row ('-' for none)."
        )
    if len(names) > capacity:
        raise BadInput(f"{len(names)} classes do not fit a capacity of {capacity}. Ask for more: --capacity {-(-len(names) // 8) * 8 + 64}")
    used = np.array([row for row, name in enumerate(names) if name != FREE_LABEL])
    return make_head(weight[used], bias[used], used, capacity=capacity)


def _classes(names: Sequence[str], state: Mapping[str, Array]) -> tuple[ClassEntry, ...]:
    """Ids depend on the backbone and the name, so that boards which start from the same classifier agree on them."""
    fingerprint = state["pos_embed"].tobytes().hex()[:64]
    entries = [(row, name) for row, name in enumerate(names) if name != FREE_LABEL]
    return tuple(
        ClassEntry(id=str(uuid.uuid5(CLASS_NAMESPACE, f"{fingerprint}/{row}/{name}")), row=row, name=name, tasks=(LABELS_TASK,))
        for row, name in entries
    )


def _canary(architecture: Architecture, state: Mapping[str, Array], head: Head) -> bytes:
    pictures = colour_fields(architecture.image_size)
    predictor = EagerPredictor(architecture)
    predictor.use(state, head.weight, head.bias)
    return write_canary(pictures, *predictor.infer(pictures))
