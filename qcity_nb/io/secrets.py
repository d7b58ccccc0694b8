"""Tokens: found where people keep them, put into a file of mode 0600 below the home, spoken of by a name and a fingerprint only."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import BadInput, NotFound
from ..model.home import Home
from .files import write_atomic

SERVICE = "qcity"
"""What our entries are called in a keyring."""


def fingerprint(value: str) -> str:
    """Four letters that tell two tokens apart and say nothing about either."""
    return hashlib.sha256(value.encode()).hexdigest()[:4]


def keep(home: Home, name: str, value: str) -> None:
    """Put a token where the engine's processes find it.

    Raises:
        BadInput: it holds what no token holds.
    """
    value = value.strip()
    if not value or not value.isascii() or any(letter.isspace() or not letter.isprintable() for letter in value):
        raise BadInput(f"what was given as the token {name} is none", "A token is one word of plain letters, digits and signs")
    path = _path(home, name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, value)


def load(home: Home, name: str) -> str:
    """A token that was kept.

    Raises:
        NotFound: there is none of that name.
    """
    try:
        return _path(home, name).read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        raise NotFound(f"there is no token {name} here", f"qcity runner start asks for it, or set it in the environment ({name.upper()})") from None


def has(home: Home, name: str) -> bool:
    """Whether there is one of that name."""
    return _path(home, name).exists()


def forget(home: Home, name: str) -> None:
    """Remove a token that was kept."""
    _path(home, name).unlink(missing_ok=True)


def find(names: Sequence[str], *, ask: bool = False, what: str = "token") -> tuple[str, str]:
    """A token and where it came from: Colab's secrets, the environment, the keyring, or the person (typed, not shown).

    Args:
        names: the variables it may be in, the best first.
        ask: whether there is a person to ask.

    Returns:
        Two empty texts when there is none.
    """
    for name in names:
        if value := _from_colab(name):
            return value, f"Colab's secret {name}"
    for name in names:
        if value := os.environ.get(name, "").strip():
            return value, f"the environment's {name}"
    for name in names:
        if value := _from_keyring(name):
            return value, f"the keyring's {name}"
    if ask and sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass(f"{what} (not shown): ").strip(), "you"
    return "", ""


def _path(home: Home, name: str) -> Path:
    return home.root / "secrets" / "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)


def _from_colab(name: str) -> str:
    if "google.colab" not in sys.modules:
        return ""
    with contextlib.suppress(Exception):  # not granted, not there, or no front end to ask: each has an error class of its own in each release
        from google.colab import userdata  # type: ignore[import-not-found]  # there is no stub of Colab's

        return str(userdata.get(name) or "").strip()
    return ""


def _from_keyring(name: str) -> str:
    with contextlib.suppress(Exception):  # no keyring installed, none unlocked, none for this desktop
        import keyring  # type: ignore[import-not-found,unused-ignore]  # an extra

        return str(keyring.get_password(SERVICE, name) or "").strip()
    return ""
