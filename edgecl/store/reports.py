"""Reports that lie in the store: `reports/000007.html`, a bounded number of them. Each is a page that shows kept pictures."""

from collections.abc import Collection
from pathlib import Path

from edgecl.store.atomic import os_errors
from edgecl.store.names import version_folder, version_number
from edgecl.store.ownership import check_changeable

REPORTS, SUFFIX = "reports", ".html"
KEPT = 20  # reports; those of the lowest versions go first


def report_path(root: Path, number: int) -> Path:
    """Where the report of version `number` lies, or would."""
    return root / REPORTS / f"{version_folder(number)}{SUFFIX}"


def reports(root: Path) -> dict[int, Path]:
    """Version -> its report, ascending; links and other files are none."""
    folder = root / REPORTS
    if folder.is_symlink() or not folder.is_dir():
        return {}
    files = [path for path in folder.iterdir() if path.suffix == SUFFIX and path.is_file() and not path.is_symlink()]
    found = {version_number(path.stem): path for path in files}
    return {number: found[number] for number in sorted(number for number in found if number is not None)}


def place_for_report(root: Path, number: int) -> Path:
    """Where to write the report of version `number`; the folder is there, and there is room among the kept ones.

    Raises:
        BadInput: the store belongs to another user.
    """
    check_changeable(root)
    with os_errors("making room for a report"):
        (root / REPORTS).mkdir(exist_ok=True)
        others = [path for other, path in reports(root).items() if other != number]
        for path in others[: max(0, len(others) - KEPT + 1)]:
            path.unlink(missing_ok=True)
    return report_path(root, number)


def lost_reports(root: Path, numbers: Collection[int]) -> list[Path]:
    """Reports of versions that are not among `numbers`."""
    return [path for number, path in reports(root).items() if number not in numbers]
