"""Pointers as somebody elsewhere sees them, and the dead man's switch for names that a person owns. No engine is needed: only a home."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import BadInput, PlatformError, QCityError
from ..io import secrets, signing
from ..model.dns import DnsAnswer, DnsAsk
from ..model.home import Home
from ..model.tunnel import Pointer
from . import questions

SECONDS = 90.0


def key(folder: Path) -> str:
    """The public key by which a home's pointers are known; the pair is made when there is none. Raises `MissingTool`, `HomeError`."""
    return signing.public_key(Home(folder))


def keep(folder: Path, name: str, value: str) -> str:
    """Keep a credential of a DNS service, or of a host for pages, in the home; what is said of it is its fingerprint.

    Raises:
        BadInput: it is none, or nothing was given.
    """
    if not value:
        raise BadInput(f"nothing was given as the credential {name}", "Type it when asked, or give it on standard input")
    secrets.keep(Home(folder), name, value)
    return secrets.fingerprint(value.strip())


def show(folder: Path, kind: str, name: str, *, key: str = "", service: str = "", options: Mapping[str, str] | None = None) -> DnsAnswer:
    """What a pointer says now, to somebody who trusts one public key.

    Args:
        key: empty means that of this home.
        service: whose it has to be; empty takes any.

    Raises:
        QCityError: it could not be asked.
    """
    return _ask(DnsAsk(home=str(folder), pointer=Pointer(kind=kind, name=name, options=dict(options or {})), key=key, service=service))


def watch(
    folder: Path,
    kind: str,
    name: str,
    *,
    record: str,
    fallback: str,
    type_: str = "A",
    key: str = "",
    service: str = "",
    options: Mapping[str, str] | None = None,
) -> DnsAnswer:
    """Point `record` to `fallback` if the lease of the pointer `name` has lapsed; once and out, for a schedule elsewhere.

    Args:
        type_: of the record: A, AAAA or CNAME.
        key: the public key of the runner's home.

    Raises:
        QCityError: it could not be looked at or changed. A runner that came back meanwhile wins, and is one, too.
    """
    if not key:
        raise BadInput("a watcher needs the key of the runner that it watches", "qcity dns key prints it, on the runner's machine")
    pointer = Pointer(kind=kind, name=name, options=dict(options or {}))
    return _ask(DnsAsk(home=str(folder), pointer=pointer, key=key, service=service, record=record, kind=type_, fallback=fallback))


def _ask(ask: DnsAsk) -> DnsAnswer:
    name = ask.pointer.name
    return questions.put(
        "dns",
        ask,
        DnsAnswer,
        seconds=SECONDS,
        late=PlatformError(f"{name} has not been answered for {SECONDS:.0f} s", "Try again", kind="unreachable"),
        failed=lambda said: PlatformError(f"{name} could not be asked about ({said})", "Try again", kind="server"),
        other=QCityError,
    )
