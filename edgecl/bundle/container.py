"""One file that holds a header and named parts, and nothing to be clever with.

    "edgecl.bundle/1\\n"        16 bytes
    public key, signature      32 + 64 bytes, zeros when nobody signed
    length of the header       8 bytes, little endian
    sha256 of the header       32 bytes
    header                     canonical JSON; under "files" the sha256 and the length of each part
    parts                      one after the other in the order of their names, to the last byte of the file

There are no paths, links, offsets or compressed bytes, so a part can neither lie outside the file, nor over another, nor unfold. The
signature is over the first line and the header, and so over the hash of every part; it is checked before the header is parsed.
"""

import hashlib
import io
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from edgecl.bundle.keys import KEY_BYTES, SIGNATURE_BYTES, is_signed, key_text
from edgecl.errors import BadInput
from edgecl.manifest import FileEntry, canonical_json
from edgecl.typed import strict_json, typed

MAGIC = b"edgecl.bundle/1\n"
LENGTH_BYTES, HASH_BYTES = 8, 32
FIXED = len(MAGIC) + KEY_BYTES + SIGNATURE_BYTES + LENGTH_BYTES + HASH_BYTES
HEADER_LIMIT = 8 * 2**20  # bytes
BUNDLE_LIMIT = 512 * 2**20  # bytes of the whole file
UNSIGNED = bytes(KEY_BYTES), bytes(SIGNATURE_BYTES)


@dataclass(frozen=True)
class Sealed:
    """What a file held, each part as long and with the hash that the header says."""

    header: Mapping[str, Any]
    parts: Mapping[str, bytes]
    sha256: str  # of the whole file
    signed_by: str | None  # the trusted key whose signature was checked


@dataclass(frozen=True, kw_only=True)
class _Listed:
    files: Mapping[str, FileEntry]


def entries(parts: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """What a header says under "files"."""
    return {name: FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)) for name, data in parts.items()}


def to_be_signed(header: Mapping[str, Any]) -> bytes:
    """The bytes that a signature is over."""
    return MAGIC + canonical_json(header)


def packed(header: Mapping[str, Any], parts: Mapping[str, bytes], signature: tuple[bytes, bytes] = UNSIGNED) -> bytes:
    """The file, byte for byte a function of what is handed in; `signature` is (public key, signature)."""
    return b"".join([beginning(canonical_json(header), signature), *(parts[name] for name in sorted(parts))])


def beginning(text: bytes, signature: tuple[bytes, bytes] = UNSIGNED) -> bytes:
    """Everything before the parts, for the header `text`."""
    return b"".join([MAGIC, *signature, len(text).to_bytes(LENGTH_BYTES, "little"), hashlib.sha256(text).digest(), text])


def starts_like_one(path: Path) -> bool:
    """Whether `path` is a file that begins as a bundle of any format does."""
    try:
        with _opened(path) as file:
            return file.read(len(MAGIC)).startswith(MAGIC.partition(b"/")[0])
    except BadInput:
        return False


def read_sealed(path: Path, *, trusted_keys: Sequence[str] = ()) -> Sealed:
    """Read a bundle; with `trusted_keys` only one that one of them signed. Holds the file once in memory.

    Raises:
        BadInput: it is missing, no regular file, no bundle, too large, not signed as it should be, or not as its header says.
        MissingExtra: a signature must be checked, and `cryptography` is not installed.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > BUNDLE_LIMIT:
            raise _bad(path, f"it has {size} bytes, at most {BUNDLE_LIMIT} are read", "Pack fewer pictures")
        data = file.read(BUNDLE_LIMIT + 1)
    return parse_sealed(data, path, trusted_keys=trusted_keys)


def parse_sealed(data: bytes, path: Path, *, trusted_keys: Sequence[str] = ()) -> Sealed:
    """What `read_sealed` makes of a file's bytes; `path` names it in messages."""
    _check_beginning(data, path)
    fields = io.BytesIO(data[len(MAGIC) : FIXED])
    key, signature = fields.read(KEY_BYTES), fields.read(SIGNATURE_BYTES)
    length, digest = int.from_bytes(fields.read(LENGTH_BYTES), "little"), fields.read(HASH_BYTES)
    text = data[FIXED : FIXED + length]
    if len(text) != length or length > HEADER_LIMIT:
        raise _bad(path, f"its header should have {length} bytes, but {len(data) - FIXED} follow and at most {HEADER_LIMIT} are read")
    signed_by = _check_signature(path, key, signature, MAGIC + text, trusted_keys)
    if hashlib.sha256(text).digest() != digest:
        raise _bad(path, "its header was changed")
    try:
        header = strict_json(text)
        if canonical_json(header) != text:
            raise ValueError("it is not written as edgecl writes JSON")
        listed = typed(_Listed, {"files": header.get("files")}, "header").files
        if any(entry.bytes < 0 for entry in listed.values()):
            raise ValueError("a part has a negative length")
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"its header cannot be read ({error})") from error
    spoken_of = FIXED + length + sum(entry.bytes for entry in listed.values())
    if spoken_of != len(data):
        raise _bad(path, f"it has {len(data)} bytes, but its header speaks of {spoken_of}")
    parts, start = {}, FIXED + length
    for name in sorted(listed):
        parts[name] = data[start : start + listed[name].bytes]
        start += listed[name].bytes
        if hashlib.sha256(parts[name]).hexdigest() != listed[name].sha256:
            raise _bad(path, f"its part {name[:80]!r} was changed")
    return Sealed(header, parts, hashlib.sha256(data).hexdigest(), signed_by)


def _opened(path: Path) -> BinaryIO:
    """The file, when it is one: opening a pipe or a device could wait for ever, or do something."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadInput(f"the bundle {path} cannot be read ({error.strerror}). Expected a file that edgecl pack has written.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadInput(f"the bundle {path} cannot be read (it is no regular file). Expected a file that edgecl pack has written.")
    return open(descriptor, "rb")


def _check_beginning(data: bytes, path: Path) -> None:
    if data.startswith(MAGIC) and len(data) >= FIXED:
        return
    first = data.partition(b"\n")[0][:40]
    if re.fullmatch(rb"edgecl\.bundle/[0-9]{1,9}", first) and first != MAGIC.strip():
        raise BadInput(
            f"{path} has the format {first.decode('ascii', 'replace')!r}, but this edgecl reads up to 1. Upgrade edgecl: pip install -U edgecl"
        )
    raise _bad(path, f"it begins with {first[:16]!r}" if data else "it is empty")


def _check_signature(path: Path, key: bytes, signature: bytes, message: bytes, trusted_keys: Sequence[str]) -> str | None:
    """The trusted key that signed; None where the store trusts none, for then no signature means anything."""
    if not trusted_keys:
        return None
    found = key_text(key)
    if (key, signature) == UNSIGNED:
        raise BadInput(
            f"{path} is not signed, but this store has trusted_keys in settings.toml. Pack it with --sign and one of those keys."
        )
    if found not in trusted_keys:
        raise BadInput(
            f"{path} is signed by {found}, which is none of the {len(trusted_keys)} trusted_keys in settings.toml. Pack it with one of those "
            "keys, or add this one if you know whose it is."
        )
    if not is_signed(key, signature, message):
        raise BadInput(f"{path} does not have the signature of {found} that it claims: it was changed. Fetch it again from who packed it.")
    return found


def _bad(path: Path, reason: str, remedy: str = "Fetch it again") -> BadInput:
    return BadInput(f"{path} is not a bundle that edgecl pack has written: {reason}. {remedy}.")
