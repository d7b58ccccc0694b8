"""What a client asks of the DNS, in a process of its own, and what it is answered: `python -m qcity_nb.kinds.dns`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .tunnel import Pointer


@dataclass(frozen=True, kw_only=True)
class DnsAsk:
    """Look at a pointer, and with a `record` point that to `fallback` if the lease has lapsed.

    `key`: the public key that is trusted; empty means that of `home`. `service`: whose pointer it has to be; empty takes any. `kind`: of the record.
    """

    home: str
    pointer: Pointer
    key: str = ""
    service: str = ""
    record: str = ""
    kind: str = "A"
    fallback: str = ""


@dataclass(frozen=True, kw_only=True)
class DnsAnswer:
    """What a pointer says: `reading` as one of `decide.pointer.Reading`; or the error, by its class, what and what to do."""

    text: str = ""
    reading: str = ""
    service: str = ""
    url: str = ""
    generation: int = 0
    since: datetime | None = None
    until: datetime | None = None
    changed: int = 0
    error: str = ""
    what: str = ""
    todo: str = ""
