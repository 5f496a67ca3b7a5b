"""`edgecl evaluate`: how good a version is on pictures that one knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption, VersionOption
from edgecl.cli.output import answer, note, percent, table, tell
from edgecl.cli.progress import shown

if TYPE_CHECKING:
    from edgecl.evaluate import Evaluation


def evaluate(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder with one folder of pictures per class.")],
    store: StoreOption = DEFAULT_STORE,
    version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a version's accuracy on class folders. Needs no torch."""
    from edgecl.evaluate import evaluate as evaluate_version
    from edgecl.pictures import find
    from edgecl.preprocess import geometry_of
    from edgecl.runtime.ort import OrtPredictor
    from edgecl.store import Store

    opened = Store.open(store)
    with shown() as show:
        found = find(data, geometry_of(opened.facts.architecture), progress=lambda done, total: show("reading", done, total))
        with opened.use(version) as folder:
            predictor = OrtPredictor()
            predictor.load(folder)
            result = evaluate_version(
                predictor,
                ((picture.class_name, picture.input) for picture in found.pictures),
                opened.manifest(int(folder.name)),
                progress=lambda done: show("asking", done, len(found.pictures)),
            )
    for file in found.rejected:
        note(f"left out: {file.path}: {file.reason}")
    if as_json:
        answer(result.to_json())
    else:
        _print(result)


def _print(result: "Evaluation") -> None:
    unknown = f", {percent(result.unknown_rate)} called unknown" if result.unknown_rate else ""
    tell(f"version {result.version}: {percent(result.accuracy)} of {result.n} pictures right{unknown}")
    rows = [(name, figures.n, percent(figures.accuracy)) for name, figures in result.per_class.items()]
    table(("class", "pictures", "accuracy"), rows)
    for pair in result.confusions:
        tell(f"{pair.n} x {pair.true} taken for {pair.answered}")
    for name, count in result.unlearned.items():
        note(f"left out: {count} pictures of {name}, which version {result.version} does not know")
