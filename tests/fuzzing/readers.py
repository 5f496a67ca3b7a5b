"""The readers of everything that comes from outside, each with valid files to begin from, a way to bend them, and what it may raise.

A reader is right when it returns or raises one of its refusals; anything else, and any input that takes seconds, is a finding.
"""

import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save

from edgecl.adapter import CONFIG_FILE, TENSOR_FILE, adapter_files, adapter_hash, parse_adapter
from edgecl.bundle.container import FIXED, HASH_BYTES, LENGTH_BYTES, MAGIC, UNSIGNED, beginning, entries
from edgecl.bundle.content import Bundle
from edgecl.bundle.keys import KEY_BYTES, SIGNATURE_BYTES
from edgecl.errors import BadInput, StoreDamaged
from edgecl.gaussians import measured, parse_gaussians
from edgecl.manifest import FileEntry, labels_text, manifest_from_json, manifest_to_json, memory_from_json, memory_to_json, pretty_json
from edgecl.preprocess import UnreadablePicture, capture_time, decode, geometry_of, perceptual_hash, shrink, to_input
from edgecl.runtime.selftest import _parsed, write_canary
from edgecl.settings import AdapterShape
from edgecl.store.content import parse_head
from edgecl.store.facts import Facts, facts_from_json
from edgecl.store.formats import migrated
from edgecl.store.reading import parse_json
from edgecl.store.versions import head_bytes
from edgecl.tensors import parsed_tensors
from tests.bundle.builders import KEY, bundle_bytes, jpeg, read, signature_of
from tests.fuzzing.bending import Bend, bent_json, dumped
from tests.store.builders import TINY, random_adapter
from tests.test_manifest import example


@dataclass(frozen=True)
class Reader:
    """One reader under attack."""

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    bend: Callable[[bytes, random.Random, Bend], bytes]  # the third bends plain bytes
    code: Mapping[str, tuple[str, ...]]  # file -> the functions whose branches count; none named: all


def try_one(reader: Reader, data: bytes) -> bool:
    """Whether `reader` accepts `data`; what it may not raise comes out."""
    try:
        reader.read(data)
    except reader.refusals:
        return False
    return True


# Bundles


def bundle_seeds() -> list[bytes]:
    """Signed and not, and one with other numbers."""
    return [bundle_bytes(), bundle_bytes(signed=True), bundle_bytes(temperature=2, accuracy={})]


def read_bundle(data: bytes) -> Bundle:
    """By a store that trusts nobody and, if somebody signed, by one that trusts a key: there the signature decides first."""
    if data[len(MAGIC) :][: KEY_BYTES + SIGNATURE_BYTES].strip(b"\0"):
        read(data, trusted_keys=(KEY,))
    return read(data)


def bend_bundle(data: bytes, rng: random.Random, raw: Bend) -> bytes:
    """Bend the bytes, the header or a part; mostly mend lengths and hashes afterwards."""
    if rng.random() < 0.2:
        return raw(data, rng)
    try:
        header, parts = apart(data)
        if rng.random() < 0.5:
            header = bent_json(header, rng)
        else:
            name = rng.choice(sorted(parts))
            parts[name] = bend_tensors(parts[name], rng, raw) if name.endswith("safetensors") else raw(parts[name], rng)
        if rng.random() < 0.9:
            header, parts = mended(header, parts)
        text = dumped(header)
        begun = beginning(text, signature_of(text) if rng.random() < 0.3 else UNSIGNED)
        return b"".join([begun, *(parts[name] for name in sorted(parts))])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError):
        return raw(data, rng)


def apart(data: bytes) -> tuple[Any, dict[str, bytes]]:
    """Header and parts of a bundle that is whole."""
    length = int.from_bytes(data[FIXED - HASH_BYTES - LENGTH_BYTES : FIXED - HASH_BYTES], "little")
    header = json.loads(data[FIXED : FIXED + length])
    parts, start = {}, FIXED + length
    for name in sorted(header["files"]):
        size = header["files"][name]["bytes"]
        parts[name] = data[start : start + size]
        start += size
    return header, parts


def mended(header: Any, parts: dict[str, bytes]) -> tuple[Any, dict[str, bytes]]:
    """Adapters and pictures are named after what they hold now, and "files" says so."""
    text = json.dumps(header)
    for hash in {name.partition("/")[0] for name in parts if "/" in name}:
        files = {name: parts.pop(f"{hash}/{name}") for name in (CONFIG_FILE, TENSOR_FILE) if f"{hash}/{name}" in parts}
        text = text.replace(hash, adapter_hash(files))
        parts |= {f"{adapter_hash(files)}/{name}": data for name, data in files.items()}
    for name in [name for name in parts if name.endswith(".jpg")]:
        entry = entries({name: parts[name]})[name]
        text = text.replace(name.removesuffix(".jpg"), entry.sha256)
        parts[f"{entry.sha256}.jpg"] = parts.pop(name)
    header = json.loads(text)
    sizes = {f"{part.sha256}.jpg": part.bytes for part in entries(parts).values()}
    for picture in header.get("pictures", []):
        picture["bytes"] = sizes.get(f"{picture['hash']}.jpg", picture["bytes"])
    header["files"] = {name: asdict(entry) for name, entry in entries(parts).items()}
    return header, parts


# Manifests and what else is JSON


def manifest_seeds() -> list[bytes]:
    """A manifest, a memory index, a store's facts."""
    facts = Facts(architecture=TINY, base=FileEntry(sha256="b" * 64, bytes=7), source="w", capacity=16, adapter=AdapterShape())
    memory = memory_to_json([jpeg(1, "a", "replay")[0], jpeg(2, "b", "holdout")[0]])
    return [pretty_json(manifest_to_json(example())), pretty_json(memory), pretty_json(facts.to_json())]


def read_manifest(data: bytes) -> object:
    """By the format that it names, as the store does; what is accepted must be usable and come out again as it went in."""
    fields = parse_json(data, "file.json")
    if str(fields.get("format")).startswith("edgecl.store/"):
        return facts_from_json(migrated("store", fields, "file.json")).to_json()
    if str(fields.get("format")).startswith("edgecl.memory/"):
        return memory_to_json(memory_from_json(fields))
    manifest = manifest_from_json(fields)
    labels_text(manifest.classes, manifest.capacity)
    if manifest_from_json(json.loads(pretty_json(manifest_to_json(manifest)))) != manifest:
        raise RuntimeError("a manifest does not survive its file")
    return manifest.rows()


def bend_manifest(data: bytes, rng: random.Random, raw: Bend) -> bytes:
    """Bend the bytes or a node; mostly seal a manifest again."""
    if rng.random() < 0.2:
        return raw(data, rng)
    try:
        value = bent_json(json.loads(data), rng)
        if isinstance(value, dict) and rng.random() < 0.9:
            value = _sealed(value)
        return dumped(value)
    except (ValueError, RecursionError, TypeError, KeyError):
        return raw(data, rng)


def _sealed(value: dict[str, Any]) -> dict[str, Any]:
    import hashlib

    if "sha256" in value:
        rest = {name: inner for name, inner in value.items() if name != "sha256"}
        return {**rest, "sha256": hashlib.sha256(dumped(rest)).hexdigest()}
    if "deterministic" not in value:
        return value
    rest = {name: inner for name, inner in value.items() if name != "deterministic"}
    return {**rest, "deterministic": hashlib.sha256(dumped(rest)).hexdigest()}


# safetensors

_HEAD = head_bytes(np.zeros((16, TINY.width), np.float16), np.zeros(16, np.float16))


def tensor_seeds() -> list[bytes]:
    """An adapter's tensors, a head, statistics, a canary, and one tensor of each kind of number."""
    random_numbers = np.random.default_rng(0)
    canary = write_canary(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 16), np.float32), np.zeros((2, 32), np.float32))
    gaussians = measured(random_numbers.normal(size=(4, TINY.width)), ["a", "a", "b", "b"])
    kinds = {kind: np.zeros(3, kind) for kind in ("float64", "float32", "float16", "int64", "int8", "uint8", "bool")}
    return [adapter_files(random_adapter(1), "tiny")[TENSOR_FILE], _HEAD, gaussians.to_bytes(), canary, save(kinds)]


def read_tensors(data: bytes) -> object:
    """By each of the readers; the first that refuses with a sentence of its own does not keep the others from trying."""
    config = adapter_files(random_adapter(1), "tiny")[CONFIG_FILE]
    tries: Mapping[str, Callable[[], object]] = {
        "tensors": lambda: {name: array.tobytes() for name, array in parsed_tensors(data).items()},
        "adapter": lambda: parse_adapter({CONFIG_FILE: config, TENSOR_FILE: data}),
        "head": lambda: parse_head(data, "head.safetensors", 16, TINY.width),
        "statistics": lambda: parse_gaussians(data, TINY.width),
        "canary": lambda: _parsed(data, "canary.safetensors"),
    }
    for attempt in tries.values():
        try:
            attempt()
        except (ValueError, StoreDamaged):
            continue
    return None


def bend_tensors(data: bytes, rng: random.Random, raw: Bend) -> bytes:
    """Bend the bytes or the header; mostly mend the header's length."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        if rng.random() < 0.3:
            return data[: 8 + length] + raw(data[8 + length :], rng)
        text = dumped(bent_json(header, rng)) if rng.random() < 0.8 else raw(data[8 : 8 + length], rng)
    except (ValueError, RecursionError, TypeError):
        return raw(data, rng)
    text += b" " * (-len(text) % 8)
    told = len(text) if rng.random() < 0.9 else rng.choice((0, 2**31, 2**63, 2**64 - 1, len(text) + 1))
    return told.to_bytes(8, "little") + text + data[8 + length :]


# Pictures


def picture_seeds() -> list[bytes]:
    """Each format, in the ways that cameras and phones write them."""
    rgb = np.random.default_rng(0).integers(0, 255, (20, 24, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x8769] = 6, {0x9003: "2024:01:01 10:00:00", 0x9291: "25"}
    forms: list[tuple[str, str, dict[str, Any]]] = [
        ("RGB", "JPEG", {"exif": exif}),
        ("RGB", "JPEG", {"progressive": True}),
        ("CMYK", "JPEG", {}),
        ("L", "PNG", {}),
        ("RGBA", "PNG", {"exif": exif}),
        ("P", "PNG", {"transparency": 0}),
        ("I;16", "PNG", {}),
        ("RGB", "WEBP", {"exif": exif}),
        ("RGBA", "WEBP", {"lossless": True}),
        ("RGB", "BMP", {}),
        ("P", "BMP", {}),
    ]
    made = []
    for mode, form, options in forms:
        buffer = io.BytesIO()
        image = Image.fromarray(rgb)
        image = Image.fromarray(rgb[..., 0].astype(np.uint16) * 200) if mode == "I;16" else image.convert(mode)
        image.save(buffer, form, **options)
        made.append(buffer.getvalue())
    return made


def read_picture(data: bytes) -> object:
    """Decode, and everything that is done with a picture afterwards. The limit is small, so that memory is bounded by it."""
    captured = capture_time(data)
    rgb = decode(data, pixel_limit=4_000_000)
    geometry = geometry_of(TINY)
    return captured, perceptual_hash(rgb), shrink(rgb, geometry.keep_short).shape, to_input(rgb, geometry).shape


def bend_picture(data: bytes, rng: random.Random, raw: Bend) -> bytes:
    """Bend the bytes; mostly mend the sums of a PNG's chunks."""
    bent = raw(data, rng)
    return _summed(bent) if bent.startswith(b"\x89PNG\r\n\x1a\n") and rng.random() < 0.9 else bent


def _summed(data: bytes) -> bytes:
    done, place = [data[:8]], 8
    while place + 12 <= len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        body = data[place + 4 : place + 8 + size]
        done += [data[place : place + 4], body, struct.pack(">I", zlib.crc32(body))]
        place += 12 + size
    return b"".join([*done, data[place:]])


READERS = (
    Reader("bundle", bundle_seeds, read_bundle, (BadInput,), bend_bundle, {
        "edgecl/bundle/container.py": ("parse_sealed", "_check_beginning", "_check_signature"),
        "edgecl/bundle/content.py": ("opened", "_filled", "_check_header", "_check_adapter", "_parsed_model", "_check_picture"),
    }),
    Reader("manifest", manifest_seeds, read_manifest, (StoreDamaged,), bend_manifest, {
        "edgecl/typed.py": (),
        "edgecl/manifest.py": ("manifest_from_json", "class_problems", "_is_normal", "memory_from_json", "normal_name"),
        "edgecl/store/facts.py": ("facts_from_json",),
        "edgecl/store/reading.py": ("parse_json",),
        "edgecl/architecture.py": ("Architecture.from_json",),
    }),
    Reader("safetensors", tensor_seeds, read_tensors, (), bend_tensors, {
        "edgecl/tensors.py": (),
        "edgecl/adapter.py": ("parse_adapter", "_target", "_forward_order"),
        "edgecl/gaussians.py": ("parse_gaussians",),
        "edgecl/store/content.py": ("parse_head",),
        "edgecl/store/reading.py": ("same_shapes",),
        "edgecl/runtime/selftest.py": ("_parsed", "_fault"),
    }),
    Reader("pictures", picture_seeds, read_picture, (UnreadablePicture,), bend_picture, {
        "edgecl/preprocess.py": ("decode", "_begins", "_over", "_check_size", "_reason", "_rgb", "_orientation", "_turned", "capture_time", "to_input", "shrink"),
    }),
)  # fmt: skip
