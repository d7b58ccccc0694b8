"""Where leases are kept: anything with compare-and-swap. `open_lease` turns what `[fleet]` says into the store of one claim."""

from __future__ import annotations

import msgspec

from ...errors import BadInput, LeaseError
from ...model.fleet import CLAIM, Holding
from ...model.home import Home
from ...ports import LeaseStore
from .. import KINDS, load


def open_lease(where: str, claim: str, *, home: Home, timeout: float) -> LeaseStore:
    """The store of one claim.

    Args:
        where: `KIND` or `KIND:ADDRESS`, as `[fleet]` says it.
        timeout: seconds that one call may take.

    Raises:
        BadInput: there is no such kind, or its address or the claim's name cannot be used.
    """
    kind, _, address = where.partition(":")
    if kind not in KINDS["leases"]:
        raise BadInput(f'leases cannot be kept in "{kind}"', f"There are: {', '.join(KINDS['leases'])}")
    if not CLAIM.fullmatch(claim) or claim.endswith((".", ".lock")) or len(claim) > 64:
        raise BadInput(f'"{claim}" cannot be the name of a claim', "Use letters, digits, dots, dashes and underscores, 64 at most")
    store: LeaseStore = load("leases", kind).open(address, claim, home=home, timeout=timeout)
    return store


def to_text(record: Holding) -> bytes:
    """A record as it is kept."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def from_text(text: bytes | str, where: str) -> Holding:
    """A record that was kept.

    Raises:
        LeaseError: it is none.
    """
    try:
        return msgspec.json.decode(text, type=Holding)
    except msgspec.DecodeError as error:
        raise LeaseError(f"what is in {where} is no lease ({error})", "Look at it; remove it if nobody needs it") from None
