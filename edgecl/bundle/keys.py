"""Signatures of bundles: Ed25519 through the package `cryptography`, which only those need who sign or who trust a key."""

import contextlib
import os
from pathlib import Path
from typing import Any

from edgecl.errors import BadInput, MissingExtra, UsageError
from edgecl.settings import KEY_PREFIX

KEY_BYTES, SIGNATURE_BYTES = 32, 64
KEY_FILE_LIMIT = 16384  # bytes of a private key file


def _ed25519(purpose: str) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtra.of("cryptography", "sign", purpose) from error
    return ed25519


def generate(path: Path) -> str:
    """Write a new private key to `path` (PEM, readable by its owner alone); returns the public key as settings.toml names it.

    Raises:
        UsageError: there is something at `path`.
        BadInput: it cannot be written.
        MissingExtra: `cryptography` is not installed.
    """
    ed25519 = _ed25519("Making a key")
    from cryptography.hazmat.primitives import serialization

    private = ed25519.Ed25519PrivateKey.generate()
    pem: bytes = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists, and a key is never written over another. Choose another name, or delete it first.") from None
    except OSError as error:
        raise BadInput(f"the key {path} cannot be written ({error.strerror}). Choose a folder that you may write to.") from error
    with open(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return key_text(private.public_key().public_bytes_raw())


def sign(path: Path, message: bytes) -> tuple[bytes, bytes]:
    """(public key, signature) of `message` by the private key in `path`.

    Raises:
        BadInput: the file is missing, readable by others, or no Ed25519 key without a passphrase.
        MissingExtra: `cryptography` is not installed.
    """
    ed25519 = _ed25519("Signing a bundle")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        with path.open("rb") as file:
            mode, data = os.fstat(file.fileno()).st_mode, file.read(KEY_FILE_LIMIT)
    except OSError as error:
        raise BadInput(f"the key {path} cannot be read ({error.strerror}). Make one with: edgecl keygen FILE") from error
    if mode & 0o077:
        raise BadInput(f"the key {path} has the mode {mode & 0o777:03o}, so others can read or change it. Run: chmod 600 {path}")
    private = None
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        private = load_pem_private_key(data, password=None)
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise BadInput(f"{path} holds no Ed25519 private key in PEM without a passphrase. Make one with: edgecl keygen FILE")
    return private.public_key().public_bytes_raw(), private.sign(message)


def is_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` over `message` is by the public `key`.

    Raises:
        MissingExtra: `cryptography` is not installed.
    """
    ed25519 = _ed25519("Checking a signature")
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_text(key: bytes) -> str:
    """A public key as people and settings.toml name it."""
    return f"{KEY_PREFIX}{key.hex()}"
