"""A forge's token on its way from where a person keeps it to where the engine's processes find it; it is shown by its fingerprint only."""

from __future__ import annotations

import contextlib

from ..decide.redact import redact
from ..errors import BadInput, NotFound
from ..io import secrets
from ..model.agent import FORGES, TOKENS, credential
from .link import Link


def provide(link: Link, forge: str, url: str, name: str = "") -> None:
    """See to it that the token for a forge is there. One that people keep elsewhere now is taken over; else the one that is here stays.

    Raises:
        BadInput: `name` is a token itself.
        NotFound: there is none anywhere, and nobody to ask.
    """
    if len(name) > 80 or redact(name) != name:
        todo = "Put the token into the environment or Colab's secrets; nothing was stored"
        raise BadInput("a token was given where only the name of one belongs", todo)
    name, home = name or credential(forge, url), link.store.home
    where = (url or FORGES[forge]).partition("://")[2]
    value, source = secrets.find(TOKENS[forge])
    if not value:
        with contextlib.suppress(NotFound):
            secrets.load(home, name)
            return
        value, source = secrets.find((), ask=True, what=f"token for {where}")
    if not value:
        names = " or ".join(TOKENS[forge][:2])
        todo = f"Put it into Colab's secrets or the environment as {names}, or into the keyring, or start from a terminal to be asked"
        raise NotFound(f"there is no token for {where}", todo)
    keep(link, name, value, f"token for {where}", source)


def keep(link: Link, name: str, value: str, what: str, source: str) -> None:
    """Put one where the engine's processes find it, and say so if it is another than the one that was there. Raises `BadInput`."""
    known, home = "", link.store.home
    with contextlib.suppress(NotFound):
        known = secrets.load(home, name)
    if value != known:
        secrets.keep(home, name, value)
        link.say(f"The {what} (fingerprint {secrets.fingerprint(value)}) was taken from {source}.")
