"""`edgecl verify`: are all files of a store as edgecl left them?"""

from typing import Annotated

import typer

from edgecl.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from edgecl.cli.output import answer, tell
from edgecl.cli.progress import shown
from edgecl.errors import StoreDamaged, few


def verify(
    store: StoreOption = DEFAULT_STORE,
    deep: Annotated[bool, typer.Option("--deep", help="Read every byte; without it only names, sizes and manifests.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the store's files against its manifests. Exit code 6 when something is damaged."""
    from edgecl.store import Store
    from edgecl.store.finding import findings_json
    from edgecl.store.verify import verify

    with shown() as show:
        findings = verify(Store.open(store), deep=deep, progress=lambda done, total: show("checking", done, total))
    if as_json:
        answer(findings_json(findings))
    for finding in findings if not as_json else ():
        tell(f"{'damaged' if finding.damage else 'untidy'}: {finding.path}: {finding.problem}. {finding.remedy}")
    damaged = [finding.path for finding in findings if finding.damage]
    if damaged:
        raise StoreDamaged(f"the store {store} is damaged in {few(damaged)}; each finding names its remedy")
    if not as_json:
        tell(f"the store {store} is intact{'' if deep else ' by names and sizes; --deep reads every byte'}")
