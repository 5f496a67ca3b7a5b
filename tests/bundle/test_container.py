"""The bytes of a bundle."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from edgecl.bundle.container import FIXED, HASH_BYTES, HEADER_LIMIT, MAGIC, beginning, packed, parse_sealed, read_sealed, starts_like_one
from edgecl.bundle.probe import probe_pictures
from edgecl.errors import BadInput
from tests.bundle.builders import KEY, bundle_bytes, contents_and_parts, read

OTHER = f"ed25519:{'0' * 64}"


def test_the_layout_byte_by_byte() -> None:
    """What docs/formats.md says: a line, key and signature, length and hash, canonical JSON, the parts in the order of their names."""
    text = b'{"files":{"a":{"bytes":2,"sha256":"x"},"b":{"bytes":1,"sha256":"y"}}}'
    made = packed(json.loads(text), {"b": b"3", "a": b"12"})
    digest = hashlib.sha256(text).digest()
    assert made == b"edgecl.bundle/1\n" + bytes(96) + len(text).to_bytes(8, "little") + digest + text + b"123"
    signed = packed({}, {}, (b"k" * 32, b"s" * 64))
    assert signed == b"edgecl.bundle/1\n" + b"k" * 32 + b"s" * 64 + b"\x02" + bytes(7) + hashlib.sha256(b"{}").digest() + b"{}"


def test_a_bundle_comes_out_as_it_went_in() -> None:
    """Header, model, adapters and pictures."""
    contents, parts = contents_and_parts()
    bundle = read(bundle_bytes())
    assert (bundle.contents.classes, bundle.contents.recipe, bundle.contents.rows) == (contents.classes, contents.recipe, contents.rows)
    assert bundle.model.to_bytes() == parts["model.safetensors"]
    assert [step.task for step in bundle.contents.needed] == ["t0001-tea"]
    assert {f"{hash}.jpg": data for hash, data in bundle.pictures.items()}.items() <= parts.items()
    gaussians = bundle.model.gaussians(contents.classes)
    np.testing.assert_array_equal(gaussians.covariance, np.eye(32))
    assert list(gaussians.means) == ["id-cola", "id-fanta"]


def test_every_changed_byte_is_found() -> None:
    """Of an unsigned bundle all but the 96 bytes of the signature that it does not have; of a signed one, where its key is trusted, all."""
    unsigned, signed = bundle_bytes(), bundle_bytes(signed=True)
    length = int.from_bytes(signed[FIXED - HASH_BYTES - 8 : FIXED - HASH_BYTES], "little")
    for place in [*range(FIXED + 40), *range(FIXED, FIXED + length, 29), *range(FIXED + length, len(signed), 211), len(signed) - 1]:
        if not len(MAGIC) <= place < len(MAGIC) + 96:
            with pytest.raises(BadInput):
                read(_flipped(unsigned, place))
        with pytest.raises(BadInput):
            read(_flipped(signed, place), trusted_keys=(KEY,))
    assert read(signed, trusted_keys=(OTHER, KEY)).signed_by == KEY


def _flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def test_a_signature_decides_before_the_header_is_read() -> None:
    """A header that is no JSON is not even looked at where its signature does not fit."""
    text = b"{" * 100
    data = beginning(text, (bytes(32), bytes(63) + b"\x01"))
    with pytest.raises(BadInput, match="is signed by ed25519:0000"):
        parse_sealed(data, Path("x"), trusted_keys=(KEY,))
    with pytest.raises(BadInput, match="its header cannot be read"):
        parse_sealed(data, Path("x"))


def test_without_trusted_keys_a_signature_means_nothing() -> None:
    """It is not checked, and not claimed either."""
    assert read(bundle_bytes(signed=True)).signed_by is None


@pytest.mark.parametrize("data", [bytes(FIXED), MAGIC, MAGIC + bytes(FIXED), bundle_bytes()[:-1], bundle_bytes() + b"\0", MAGIC[:-1] * 20])
def test_cut_or_lengthened(data: bytes) -> None:
    """Every byte of the file belongs to something."""
    with pytest.raises(BadInput, match=r"is not a bundle|contradicts itself"):
        read(data)


def test_a_header_over_the_limit_is_not_parsed() -> None:
    """Eight MiB."""
    text = b'{"files":{}' + b" " * HEADER_LIMIT + b"}"
    with pytest.raises(BadInput, match=f"at most {HEADER_LIMIT} are read"):
        parse_sealed(beginning(text), Path("x"))


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by its size."""
    (tmp_path / "a").write_bytes(bundle_bytes())
    monkeypatch.setattr("edgecl.bundle.container.BUNDLE_LIMIT", 1000)
    with pytest.raises(BadInput, match="at most 1000 are read"):
        read_sealed(tmp_path / "a")


def test_what_starts_like_a_bundle(tmp_path: Path) -> None:
    """Also one of a newer edgecl, so that it may be written over; nothing else."""
    for name, data in (("old", bundle_bytes()), ("new", b"edgecl.bundle/9\n"), ("jpg", b"\xff\xd8\xff"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
    found = {name for name in ("old", "new", "jpg", "empty", "nothing") if starts_like_one(tmp_path / name)}
    assert found == {"old", "new"}


def test_probe_pictures_are_the_same_everywhere() -> None:
    """Whole numbers from a hash: these bytes are a promise, and fewer pictures are the first of more."""
    made = probe_pictures(224)
    assert made.shape == (4, 224, 224, 3)
    assert made[0, 0, 0].tolist() == [66, 68, 77]
    assert made[0, 31, 32].tolist() == made[0, 0, 63].tolist() != made[0, 0, 31].tolist()
    np.testing.assert_array_equal(probe_pictures(224, 2), made[:2])
