"""Encryption of what leaves the machine: AES-256-GCM with a key that scrypt makes of a passphrase and a salt of its own for each copy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import MissingTool, Refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SALT, NONCE = 16, 12
COST = 1 << 15
"""scrypt's N, with r = 8 and p = 1: a tenth of a second and 32 MB (RFC 7914)."""


def seal(data: bytes, passphrase: str, *, bound: bytes) -> bytes:
    """The data encrypted; `bound` is not, and cannot be changed either.

    Raises:
        MissingTool: the package cryptography is not installed.
    """
    salt, nonce = os.urandom(SALT), os.urandom(NONCE)
    return salt + nonce + _cipher(passphrase, salt).encrypt(nonce, data, bound)


def unseal(data: bytes, passphrase: str, *, bound: bytes) -> bytes:
    """What `seal` was given.

    Raises:
        Refused: the passphrase is another one, or the data was changed.
        MissingTool: the package cryptography is not installed.
    """
    salt, nonce, body = data[:SALT], data[SALT : SALT + NONCE], data[SALT + NONCE :]
    cipher = _cipher(passphrase, salt)
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(nonce, body, bound)
    except (InvalidTag, ValueError):
        raise Refused("the copy cannot be opened with this passphrase", "Give the one that it was sealed with (QCITY_VAULT_PASSPHRASE)") from None


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError:
        raise MissingTool("encrypting a vault's copies needs the package cryptography", 'pip install "qcity-nb[vault]"') from None
    return AESGCM(Scrypt(salt=salt, length=32, n=COST, r=8, p=1).derive(passphrase.encode()))
