"""Bundles that are none, that lie, or that this store should not or cannot take in; and packing that makes no sense."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from edgecl.bundle.container import FIXED, HASH_BYTES, MAGIC, UNSIGNED, beginning
from tests.bundle.builders import KEY, signature_of
from tests.cli.bad.row import Bad
from tests.cli.workplace import Make, bomb, cut, file, flipped, folder, hidden, pipe, run_before, together
from tests.fuzzing.bending import dumped
from tests.fuzzing.readers import apart, mended

APPLY = "apply bad.edgecl"
NOT_ONE = "bad.edgecl is not a bundle"


def archive(kind: str) -> bytes:
    """A tar with one member of this kind, or a zip."""
    buffer = io.BytesIO()
    if kind == "twice":
        with zipfile.ZipFile(buffer, "w") as zipped:
            zipped.writestr("one.jpg", b"1")
            zipped.writestr("two.jpg", b"2")
        return buffer.getvalue().replace(b"two.jpg", b"one.jpg")
    if kind == "huge":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("manifest.json", bytes(50_000_000))
        return buffer.getvalue()
    member = tarfile.TarInfo({"outside": "../../etc/cron.d/x"}.get(kind, "model.safetensors"))
    member.type = {"link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE}.get(kind, tarfile.REGTYPE)
    member.linkname = "/etc/passwd" if kind == "link" else ""
    with tarfile.open(fileobj=buffer, mode="w") as tarred:
        tarred.addfile(member)
    return buffer.getvalue()


def rewritten(change: Callable[[Any, dict[str, bytes]], object], *, mend: bool = True, signed: bool = False) -> Make:
    """`bad.edgecl`: `blue.edgecl` with something else in its header or its parts, lengths and hashes mended."""

    def make(place: Path) -> None:
        header, parts = apart((place / "blue.edgecl").read_bytes())
        change(header, parts)
        if mend:
            header, parts = mended(header, parts)
        text = dumped(header)
        body = b"".join(parts[name] for name in sorted(parts))
        (place / "bad.edgecl").write_bytes(beginning(text, signature_of(text) if signed else UNSIGNED) + body)

    return make


def header(name: str, value: Any) -> Make:
    """One field of the header has another value."""
    return rewritten(lambda fields, parts: fields.update({name: value}))


def part(suffix: str, change: Callable[[bytes], bytes]) -> Make:
    """The first part with this ending has another content."""

    def replace_part(fields: Any, parts: dict[str, bytes]) -> None:
        name = min(name for name in parts if name.endswith(suffix))
        parts[name] = change(parts[name])

    return rewritten(replace_part)


def other_probe(data: bytes) -> bytes:
    """The model with other features of the probe pictures."""
    arrays = dict(load(data))
    arrays["probe"] = arrays["probe"] + np.float32(1.0)
    return save(arrays)


def trusting(key: str) -> Make:
    """The store trusts this key."""
    return file("model/settings.toml", f'[bundles]\ntrusted_keys = ["{key}"]\n')


def text_of_header(old: bytes, new: bytes) -> Make:
    """Bytes within the header are replaced, its length mended."""

    def make(place: Path) -> None:
        data = (place / "blue.edgecl").read_bytes()
        length = int.from_bytes(data[FIXED - HASH_BYTES - 8 : FIXED - HASH_BYTES], "little")
        text = data[FIXED : FIXED + length].replace(old, new, 1)
        (place / "bad.edgecl").write_bytes(beginning(text) + data[FIXED + length :])

    return make


def as_is() -> Make:
    """The good bundle under the name of the bad ones."""
    return rewritten(lambda fields, parts: None)


ROWS = (
    Bad("no bundle", APPLY, 4, "the bundle bad.edgecl | No such file | that edgecl pack has written"),
    Bad(
        "a folder instead of a bundle",
        APPLY,
        4,
        "the bundle bad.edgecl | no regular file | that edgecl pack has written",
        folder("bad.edgecl"),
    ),
    Bad(
        "a pipe instead of a bundle", APPLY, 4, "the bundle bad.edgecl | no regular file | that edgecl pack has written", pipe("bad.edgecl")
    ),
    Bad("an empty bundle", APPLY, 4, f"{NOT_ONE} | it is empty | Fetch it again", file("bad.edgecl")),
    Bad(
        "a text instead of a bundle", APPLY, 4, f"{NOT_ONE} | it begins with b'no bundle' | Fetch it again", file("bad.edgecl", "no bundle")
    ),
    Bad(
        "a tar with ..", APPLY, 4, f"{NOT_ONE} | it begins with b'../../etc/cron.d | Fetch it again", file("bad.edgecl", archive("outside"))
    ),
    Bad("a tar with a link", APPLY, 4, f"{NOT_ONE} | that edgecl pack has written | Fetch it again", file("bad.edgecl", archive("link"))),
    Bad(
        "a tar with a device", APPLY, 4, f"{NOT_ONE} | that edgecl pack has written | Fetch it again", file("bad.edgecl", archive("device"))
    ),
    Bad("a zip with a name twice", APPLY, 4, f"{NOT_ONE} | it begins with b'PK | Fetch it again", file("bad.edgecl", archive("twice"))),
    Bad("a zip bomb", APPLY, 4, f"{NOT_ONE} | it begins with b'PK | Fetch it again", file("bad.edgecl", archive("huge"))),
    Bad(
        "a bundle of a newer edgecl",
        APPLY,
        4,
        "'edgecl.bundle/2' | reads up to 1 | pip install -U edgecl",
        file("bad.edgecl", b"edgecl.bundle/2\n" + bytes(1000)),
    ),
    Bad(
        "a bundle that is cut short",
        "apply blue.edgecl",
        4,
        "is not a bundle | its header speaks of | Fetch it again",
        cut("blue.edgecl", 0.9),
    ),
    Bad("a bundle with a flipped bit", "apply blue.edgecl", 4, "is not a bundle | was changed | Fetch it again", flipped("blue.edgecl")),
    Bad(
        "a header of 2^64 bytes",
        APPLY,
        4,
        f"{NOT_ONE} | its header should have 18446744073709551615 bytes | Fetch it again",
        file("bad.edgecl", MAGIC + bytes(96) + b"\xff" * 8 + bytes(1000)),
    ),
    Bad(
        "a header with a key twice",
        APPLY,
        4,
        f"{NOT_ONE} | the key 'base' is there twice | Fetch it again",
        text_of_header(b'"base"', b'"base":1,"base"'),
    ),
    Bad(
        "a header with a space",
        APPLY,
        4,
        f"{NOT_ONE} | not written as edgecl writes JSON | Fetch it again",
        text_of_header(b'"base":', b'"base": '),
    ),
    Bad("a header with NaN", APPLY, 4, f"{NOT_ONE} | NaN is not a JSON number | Fetch it again", header("temperature", float("nan"))),
    Bad(
        "a header that is nested deeply",
        APPLY,
        4,
        f"{NOT_ONE} | it is nested too deeply | Fetch it again",
        text_of_header(b'"accuracy":', b'"accuracy":' + b"[" * 100_000 + b"]" * 100_000 + b',"b":'),
    ),
    Bad("a capacity of 10^30", APPLY, 4, "header.capacity | expected a whole number | Fetch it again", header("capacity", 10**30)),
    Bad("a bundle with an unknown field", APPLY, 4, "'hook' is unknown | contradicts itself | Fetch it again", header("hook", "rm -rf")),
    Bad(
        "a part with ..",
        APPLY,
        4,
        "'../../x' is not expected | contradicts itself | Fetch it again",
        rewritten(lambda fields, parts: parts.update({"../../x": b"x"})),
    ),
    Bad(
        "a part of 2^50 bytes",
        APPLY,
        4,
        f"{NOT_ONE} | its header speaks of 1125899 | Fetch it again",
        rewritten(lambda fields, parts: fields["files"]["model.safetensors"].update(bytes=2**50), mend=False),
    ),
    Bad(
        "a bundle without its model",
        APPLY,
        4,
        "'model.safetensors' is missing | contradicts itself | Fetch it again",
        rewritten(lambda fields, parts: parts.pop("model.safetensors")),
    ),
    Bad(
        "an adapter that is cut short",
        APPLY,
        4,
        "it is not a safetensors file | contradicts itself | Fetch it again",
        part("model.safetensors", lambda data: data[:-1]),
    ),
    Bad(
        "an adapter that changes another layer",
        APPLY,
        4,
        "an adapter changes ['blocks.7.attn.qkv'] | vit_tiny_test does not have | Fetch it again",
        part("adapter_model.safetensors", lambda data: data.replace(b"blocks.1.attn.qkv", b"blocks.7.attn.qkv")),
    ),
    Bad(
        "an adapter with NaN",
        APPLY,
        4,
        "are not finite float16 | contradicts itself | Fetch it again",
        part("adapter_model.safetensors", lambda data: data[:-2] + b"\xff\xff"),
    ),
    Bad(
        "a coefficient of a million",
        APPLY,
        4,
        "beyond 100 | contradicts itself | Fetch it again",
        rewritten(lambda fields, parts: fields["recipe"]["steps"][-1]["coefficients"].update({"*": 1e6})),
    ),
    Bad("a picture that is a bomb", APPLY, 4, "the picture | is no JPEG | Fetch it again", part(".jpg", lambda data: bomb())),
    Bad(
        "a picture of a bundle that is cut short",
        APPLY,
        4,
        "the picture | cannot be read (truncated) | Fetch it again",
        part(".jpg", lambda data: data[:500]),
    ),
    Bad(
        "a class name that steers the terminal",
        APPLY,
        4,
        "header.classes[0].name | without control characters | Fetch it again",
        rewritten(lambda fields, parts: fields["classes"][0].update(name="\x1b[2J")),
    ),
    Bad(
        "a bundle for another backbone",
        APPLY,
        4,
        "with the weights 000000000000 | this store was made from vit_tiny_test | made from the same weights",
        header("base", "0" * 64),
    ),
    Bad(
        "a bundle that needs a task",
        "apply blue.edgecl",
        4,
        "on top of t0001-colours | version 0 of this store does not have | edgecl pack 2 --since 0",
        run_before("rollback"),
    ),
    Bad(
        "a class that was learned here, too",
        "apply blue.edgecl",
        4,
        "'blue' | one name and two ids | --same-class 'blue'",
        run_before("learn", "--task", "more", "--epochs", "1", "--name", "elsewhere"),
    ),
    Bad(
        "a name for a class that is not in it",
        "apply blue.edgecl --rename red=rot",
        2,
        "--rename names 'red' | the bundle teaches blue | the bundle teaches blue",
    ),
    Bad(
        "a class that clashes with nothing",
        "apply blue.edgecl --same-class blue",
        2,
        "--same-class names 'blue' | no other class here | Leave it out",
    ),
    Bad("a new name that is taken", "apply blue.edgecl --rename blue=Red", 4, "'Red' | there is a class 'red' here | Choose another name"),
    Bad("half a new name", "apply blue.edgecl --rename blue", 2, "'blue' is not OLD=NEW | the name in the bundle | edgecl apply --help"),
    Bad(
        "an unsigned bundle where a key is trusted",
        "apply blue.edgecl",
        4,
        "blue.edgecl is not signed | has trusted_keys | Pack it with --sign",
        trusting(KEY),
    ),
    Bad(
        "a bundle that somebody else signed",
        APPLY,
        4,
        f"is signed by {KEY} | none of the 1 trusted_keys | add this one if you know whose it is",
        together(trusting(f"ed25519:{'0' * 64}"), rewritten(lambda fields, parts: None, signed=True)),
    ),
    Bad(
        "a signed bundle that was changed",
        APPLY,
        4,
        f"the signature of {KEY} | it was changed | Fetch it again",
        together(
            trusting(KEY),
            rewritten(lambda fields, parts: None, signed=True),
            lambda place: (place / "bad.edgecl").write_bytes(
                (place / "bad.edgecl").read_bytes().replace(b'"temperature":1.0', b'"temperature":2.0')
            ),
        ),
    ),
    Bad(
        "a signature without the package that checks it",
        APPLY,
        8,
        "'cryptography' | is not installed | pip install 'edgecl[sign]'",
        together(
            trusting(KEY),
            rewritten(lambda fields, parts: None, signed=True),
            hidden("cryptography.hazmat.primitives.asymmetric"),
            hidden("cryptography"),
        ),
    ),
    Bad(
        "a model that answers otherwise",
        APPLY,
        3,
        "does not answer here as it did where it was packed | allowed 1e-03 | edgecl verify --deep",
        rewritten(lambda fields, parts: parts.update({"model.safetensors": other_probe(parts["model.safetensors"])})),
    ),
    Bad("packing a version that learned nothing", "pack 0 -o a.edgecl", 2, "version 0 has learned no task | nothing to pack | edgecl log"),
    Bad("packing a version that does not exist", "pack 9 -o a.edgecl", 2, "no version 9 | there are [0, 1] | edgecl log"),
    Bad("packing since a version that has it all", "pack 1 --since 1 -o a.edgecl", 2, "no task since version 1 | no task | edgecl log"),
    Bad("packing over another file", "pack 1 -o more/blue/0.jpg", 2, "0.jpg exists | is no bundle | Choose another file with -o"),
    Bad(
        "packing into a folder that is not there",
        "pack 1 -o nowhere/a.edgecl",
        4,
        "nowhere/a.edgecl | No such file or directory | Choose another file with -o",
    ),
    Bad("signing with a key that is not there", "pack 1 -o a.edgecl --sign a.key", 4, "the key a.key | No such file | edgecl keygen FILE"),
    Bad(
        "signing with a key that others can read",
        "pack 1 -o a.edgecl --sign a.key",
        4,
        "the mode 644 | others can read or change it | chmod 600 a.key",
        file("a.key", "x"),
    ),
    Bad(
        "signing with something else",
        "pack 1 -o a.edgecl --sign a.key",
        4,
        "a.key | no Ed25519 private key | edgecl keygen FILE",
        together(file("a.key", "x"), lambda place: (place / "a.key").chmod(0o600)),
    ),
    Bad("a key over another file", "keygen blue.edgecl", 2, "blue.edgecl exists | never written over another | Choose another name"),
    Bad(
        "a key without the package",
        "keygen a.key",
        8,
        "'cryptography' | is not installed | pip install 'edgecl[sign]'",
        together(hidden("cryptography.hazmat.primitives.asymmetric"), hidden("cryptography")),
    ),
)
