"""A bundle that an older edgecl wrote is read as long as its format's number is known."""

from pathlib import Path

from tests.bundle.builders import KEY, TASK, read
from tests.fuzzing.readers import apart
from tests.store.test_formats_page import PAGE

GOLDEN = (Path(__file__).parent / "golden" / "bundle-1.edgecl").read_bytes()


def test_it_is_read() -> None:
    """Signature, header, adapter, model and pictures."""
    bundle = read(GOLDEN, trusted_keys=(KEY,))
    assert bundle.signed_by == KEY
    assert [(entry.name, entry.row) for entry in bundle.contents.classes] == [("cola", 1), ("fanta", 2)]
    assert bundle.contents.tasks == (TASK,)
    assert bundle.contents.before.rows == {"id-tea": 0}
    assert [kept.role for kept in bundle.contents.pictures] == ["replay", "holdout"]
    assert len(bundle.parsed) == 1
    assert bundle.model.probe.shape == (4, 32)


def test_its_header_is_described() -> None:
    """Every field and every kind of part stands in docs/formats.md."""
    header, parts = apart(GOLDEN)
    inner = {**header, **header["before"], **header["provenance"]}
    assert {key for key in inner if f'"{key}"' not in PAGE} == set()
    assert {name.rpartition("/")[2] for name in parts if not name.endswith(".jpg")} <= set(PAGE.replace("`", " ").replace("/", " ").split())
