"""`edgecl init`: a new store from a backbone."""

from pathlib import Path
from typing import Annotated

import typer

from edgecl.backbones import NANO
from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import again, answer, tell
from edgecl.cli.parsers import decimal, whole
from edgecl.errors import UsageError
from edgecl.settings import DEFAULT_CAPACITY, AdapterShape, MemorySettings

_BUILT_IN = NANO.backbone
_ADAPTER, _MEMORY = AdapterShape(), MemorySettings()


def init(
    place: Annotated[
        Path | None, typer.Argument(metavar="[STORE]", help="Folder to make; the same as --store.", show_default=False)
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    backbone: Annotated[
        str, typer.Option(help="The one that comes with edgecl, or a plain Vision Transformer as timm names it, e.g. vit_tiny_patch16_224.")
    ] = _BUILT_IN,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The backbone's weights, a .safetensors file; without it they come with edgecl, or from the hub.",
            show_default=False,
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            parser=whole(1),
            metavar="N",
            help="Pixels of the square that the model sees; without it what the weights were trained with.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Text file with one class per line: start with the classifier in the weights.", show_default=False
        ),
    ] = None,
    capacity: Annotated[
        int, typer.Option(parser=whole(1), metavar="N", help="Most classes that the model can hold, a multiple of 8.")
    ] = DEFAULT_CAPACITY,
    memory_per_class: Annotated[int, typer.Option(parser=whole(1), metavar="N", help="Pictures kept of each class.")] = _MEMORY.per_class,
    memory_mib: Annotated[float, typer.Option(parser=decimal(0.001), metavar="N", help="MiB for all kept pictures.")] = _MEMORY.budget_mib,
    rank: Annotated[int, typer.Option(parser=whole(1), metavar="N", help="Rank of each task's adapter.")] = _ADAPTER.rank,
    alpha: Annotated[
        float, typer.Option(parser=decimal(0.001), metavar="N", help="Scale of each task's adapter, times its rank.")
    ] = _ADAPTER.alpha,
    first_block: Annotated[
        int | None,
        typer.Option(
            parser=whole(0),
            metavar="N",
            help=f"Lowest block that adapters change; without it {_ADAPTER.first_block}, or the middle one of a shallow backbone.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a store from a backbone. It knows no class yet, or those of --labels."""
    from edgecl.runtime.ort import OrtPredictor
    from edgecl.start import init_store
    from edgecl_export.graph import write_graph

    root = _one_place(place, store)
    made = init_store(
        root,
        backbone=backbone,
        weights=weights,
        image_size=image_size,
        labels=labels,
        capacity=capacity,
        adapter=AdapterShape(rank=rank, alpha=alpha),
        first_block=first_block,
        memory=MemorySettings(per_class=memory_per_class, budget_mib=memory_mib),
        write_graph=write_graph,
        make_predictor=OrtPredictor,
    )
    classes = [entry.name for entry in made.manifest(0).classes]
    if as_json:
        answer({"format": "edgecl.init/1", "store": str(root), "version": 0, "capacity": capacity, "classes": classes})
        return
    tell(f"made {root} from {made.facts.source}: version 0, {len(classes)} of {capacity} classes")
    tell(f"next: {again(root, 'learn --task DIR')}")


def _one_place(place: Path | None, store: Path) -> Path:
    if place is not None and store not in (DEFAULT_STORE, place):
        raise UsageError(f"two places are named, {place} and {store}. Give one of them (--store or EDGECL_STORE counts, too).")
    return place or store
