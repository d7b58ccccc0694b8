"""What a home has noted of its vaults: which there are, and how each was at the last try. A file each, written by several processes, read by all."""

from __future__ import annotations

import msgspec

from ..errors import HomeError
from ..model.home import Home
from ..model.vault import VaultNotes, VaultState
from .files import write_atomic


def added(home: Home) -> VaultNotes:
    """The vaults that were added.

    Raises:
        HomeError: their file cannot be read.
    """
    path = home.root / "vaults.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=VaultNotes)
    except FileNotFoundError:
        return VaultNotes()
    except (OSError, msgspec.DecodeError) as error:
        raise HomeError(f"{path} cannot be read ({str(error).splitlines()[0]})", "Remove it: only the names of vaults are in it") from None


def keep(home: Home, notes: VaultNotes) -> None:
    """These are the vaults from now on."""
    write_atomic(home.root / "vaults.json", msgspec.json.format(msgspec.json.encode(notes), indent=1))


def state(home: Home, name: str) -> VaultState:
    """How one was at the last try; fresh when nothing is known of it."""
    try:
        return msgspec.json.decode((home.vaults / f"{name}.json").read_bytes(), type=VaultState)
    except (OSError, msgspec.DecodeError):
        return VaultState()


def note(home: Home, name: str, known: VaultState) -> None:
    """Note how one is."""
    write_atomic(home.vaults / f"{name}.json", msgspec.json.encode(known))
