"""Reports in the store: found by their version, bounded, and gone with it."""

from edgecl.store import Store
from edgecl.store.gc import gc, purge
from edgecl.store.reports import KEPT, lost_reports, place_for_report, report_path, reports
from edgecl.store.verify import verify


def test_the_newest_stay(store: Store) -> None:
    """A place for one more makes room by the lowest version; the same version's report keeps its place."""
    for number in range(KEPT + 2):
        place_for_report(store.root, number).write_text("page", encoding="utf-8")
    assert list(reports(store.root)) == list(range(2, KEPT + 2))
    place_for_report(store.root, 2)
    assert len(reports(store.root)) == KEPT


def test_a_report_goes_with_its_version(store: Store) -> None:
    """`verify` names a report whose version is gone, without calling it damage, and `gc` removes it; others stay."""
    newest = store.numbers()[-1]
    for number in (newest, 99):
        place_for_report(store.root, number).write_text("page", encoding="utf-8")
    (store.root / "reports" / "notes.txt").write_text("mine", encoding="utf-8")
    assert lost_reports(store.root, store.numbers()) == [report_path(store.root, 99)]
    assert [(each.path, each.damage) for each in verify(store)] == [("reports/000099.html", False)]
    assert gc(store, dry_run=True).bytes_freed >= 4
    assert list(reports(store.root)) == [newest, 99]
    gc(store)
    assert list(reports(store.root)) == [newest]
    assert (store.root / "reports" / "notes.txt").exists()


def test_a_purge_leaves_no_report(store: Store) -> None:
    """Each report shows kept pictures, so none outlives a purge."""
    place_for_report(store.root, store.numbers()[-1]).write_text("page", encoding="utf-8")
    purge(store, set())
    assert reports(store.root) == {}
