"""Whom to tell when repair is exhausted: an address that a person gives is kept as a credential, shown by its fingerprint, tried on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BadInput, NotFound
from ..io import secrets

if TYPE_CHECKING:
    from .city import QCity

WAYS = {"webhook": ("QCITY_WEBHOOK",), "smtp": ("QCITY_SMTP",)}
"""Each way with the variables that its address may be in."""


def set_up(city: QCity, way: str) -> str:
    """Keep the address for a way; it is taken from Colab's secrets, the environment, the keyring or the person. Returns a sentence.

    Raises:
        NotFound: there is none, and nobody to ask.
        BadInput: it cannot be used.
    """
    value, source = secrets.find(WAYS[way], ask=True, what=f"the {way}'s address")
    if not value:
        raise NotFound(f"there is no address for {way}", f"Set {WAYS[way][0]} in the environment or in Colab's secrets, or call this in a terminal")
    start = {"webhook": ("https://", "http://127.0.0.1", "http://localhost"), "smtp": ("smtp://", "smtps://")}[way]
    if not value.startswith(start) or (way == "smtp" and "to=" not in value):
        example = "https://…" if way == "webhook" else "smtp://USER:PASSWORD@HOST:587/?to=NAME@EXAMPLE.ORG"
        raise BadInput(f"what {source} holds is no address for {way}", f"It looks like {example}")
    secrets.keep(city.link.store.home, f"notify-{way}", value)
    return f"The {way}'s address (fingerprint {secrets.fingerprint(value)}) was taken from {source}; qcity notify test tries it."


def remove(city: QCity, way: str) -> None:
    """Tell nobody this way any more."""
    secrets.forget(city.link.store.home, f"notify-{way}")


def ways(city: QCity) -> dict[str, str]:
    """The ways that are set up, with the fingerprints of their addresses."""
    home = city.link.store.home
    return {way: secrets.fingerprint(secrets.load(home, f"notify-{way}")) for way in WAYS if secrets.has(home, f"notify-{way}")}


def test(city: QCity) -> str:
    """Send a message now, by every way that is set up; what came of it.

    Raises:
        NotFound: none is.
    """
    if not ways(city):
        raise NotFound("nobody is told anything yet", "qcity notify set webhook, or qcity notify set smtp")
    return str(city.link.ask("notify.test", "", seconds=90.0).get("outcome", ""))

