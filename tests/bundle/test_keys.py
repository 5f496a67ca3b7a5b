"""Keys and signatures."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from edgecl.bundle.keys import generate, is_signed, key_text, sign
from edgecl.errors import BadInput, UsageError


def test_what_a_key_signs_is_signed(tmp_path: Path) -> None:
    """Public key, signature and message fit; another message, key or signature does not."""
    public = generate(tmp_path / "a.key")
    key, signature = sign(tmp_path / "a.key", b"message")
    assert key_text(key) == public
    assert is_signed(key, signature, b"message")
    assert not is_signed(key, signature, b"massage")
    assert not is_signed(key, signature[::-1], b"message")
    assert not is_signed(sign_with_another(tmp_path), signature, b"message")


def sign_with_another(folder: Path) -> bytes:
    """The public key of a second pair."""
    generate(folder / "b.key")
    return sign(folder / "b.key", b"")[0]


def test_a_private_key_is_its_owner_s_alone(tmp_path: Path) -> None:
    """Mode 600 from the first moment, PEM, never over a file or a link."""
    generate(tmp_path / "a.key")
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert (tmp_path / "a.key").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    (tmp_path / "link").symlink_to("elsewhere")
    for name in ("a.key", "link"):
        with pytest.raises(UsageError, match="never written over another"):
            generate(tmp_path / name)
    with pytest.raises(BadInput, match="cannot be written"):
        generate(tmp_path / "nowhere" / "a.key")


def test_other_keys_are_refused(tmp_path: Path) -> None:
    """RSA, a passphrase, or readable by the group."""
    private = rsa.generate_private_key(65537, 2048)
    plain, locked = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"secret")
    for name, encryption in (("rsa", plain), ("locked", locked)):
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        (tmp_path / name).write_bytes(pem)
        (tmp_path / name).chmod(0o600)
        with pytest.raises(BadInput, match="no Ed25519 private key in PEM without a passphrase"):
            sign(tmp_path / name, b"")
    generate(tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o640)
    with pytest.raises(BadInput, match="the mode 640"):
        sign(tmp_path / "open.key", b"")


def test_a_key_that_is_no_point_signs_nothing() -> None:
    """32 bytes that are no public key are no error of ours."""
    assert not is_signed(b"\xff" * 32, bytes(64), b"")
