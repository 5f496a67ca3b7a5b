"""From a store to a page on disk."""

import errno
import os
import uuid
from pathlib import Path

from edgecl.errors import BadInput, NoSpace, UsageError
from edgecl.report.asking import MakePredictor
from edgecl.report.gather import Progress, Report, gather
from edgecl.report.page import render
from edgecl.store import Store

BEGINNING = '<!doctype html>\n<html lang="en">\n<!-- edgecl.report/1 -->\n'


def write_report(
    store: Store, number: int, out: Path, make_predictor: MakePredictor, *, progress: Progress = lambda stage, done, total: None
) -> Report:
    """Write the page about version `number` to the file `out`, all or nothing; an earlier page there is replaced.

    Raises:
        UsageError: there is no such version, or `out` is something else than an earlier page.
        BadInput, NoSpace: the system does not let `out` be written.
        StoreDamaged: a version or a picture cannot be read.
    """
    _check_place(out)
    report = gather(store, number, make_predictor, progress=progress)
    page = render(report, store.picture).encode()
    fresh = out.with_name(f".{out.name}.{uuid.uuid4().hex[:12]}")
    try:
        fresh.write_bytes(page)
        os.replace(fresh, out)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"writing {out}: {reason}. Nothing was written. Choose another disk with --out") from error
        raise BadInput(f"{out} cannot be written: {reason}. Choose a place that this user may write with --out") from error
    finally:
        fresh.unlink(missing_ok=True)
    return report


def _check_place(out: Path) -> None:
    """Before minutes of asking."""
    if not out.parent.is_dir():
        raise UsageError(f"--out {out} lies in {out.parent}, which is not a folder. Make it, or choose another place with --out")
    if not out.exists():
        return
    if not out.is_file():
        raise UsageError(f"--out {out} is a folder; the page is one file. Name it, for example --out {out / 'report.html'}")
    with out.open("rb") as file:
        if file.read(len(BEGINNING)) != BEGINNING.encode():
            raise UsageError(f"--out {out} exists and is no page of edgecl, so it is not replaced. Choose another name with --out")
