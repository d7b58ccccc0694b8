"""The Ed25519 key of a home, with which it signs where its tunnels are. It is made once, never replaced, and never leaves its file of mode 0600."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

from ..errors import HomeError, MissingTool
from ..model.home import Home

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign(home: Home, text: str) -> str:
    """The signature of a text by the home's key, base64url without padding. The key is made when there is none.

    Raises:
        HomeError: the key cannot be read or made.
        MissingTool: the package cryptography is not installed.
    """
    return _plain(_key(home).sign(text.encode()))


def public_key(home: Home) -> str:
    """The public half of the home's key: 32 bytes, base64url without padding. Raises as `sign` does."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return _plain(_key(home).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def verify(public: str, text: str, signature: str) -> bool:
    """Whether a signature of a text is by the key whose public half is `public`.

    Raises:
        MissingTool: the package cryptography is not installed.
    """
    _installed()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(_raw(public)).verify(_raw(signature), text.encode())
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _key(home: Home) -> Ed25519PrivateKey:
    _installed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = home.pointer_key
    try:
        if not path.exists():
            _make(home)
        key: object = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        what = f"the key that signs pointers cannot be read from {path} ({error.strerror})"
        raise HomeError(what, "Make it readable to whoever runs qcity") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        todo = "Put the right one back, or remove it: then a new one is made and pages need to be published again"
        raise HomeError(f"what is in {path} is no Ed25519 key", todo)
    return key


def _make(home: Home) -> None:
    """Written whole beside it and then linked: of two that make one at the same time the first wins, and nothing is ever overwritten."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".pointer.", dir=home.root)  # mode 0600 from the beginning
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, home.pointer_key)
    finally:
        os.unlink(temporary)


def _installed() -> None:
    try:
        import cryptography  # noqa: F401 - only whether it is there
    except ImportError:
        raise MissingTool("signing where a tunnel is needs the package cryptography", 'pip install "qcity-nb[tunnel]"') from None


def _plain(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
