"""Freenom: the service that gave names away. It ended, and whoever asks for it is told so, and what takes its place."""

from __future__ import annotations

from typing import NoReturn

from ...errors import Refused
from ...model.home import Home
from ...model.tunnel import Pointer

ENDED = "Freenom ended: it took no new names after March 2023, lost its accreditation that year, and its names went off in February and March 2024"
INSTEAD = (
    "Use a name of your own (rfc2136, cloudflare, or lexicon for some 90 services, deSEC among them, which is free), or a free one at duckdns. "
    "A fallback page (git, huggingface) needs no name at all"
)


class Freenom:
    """The kind `freenom`, as `ports.Publisher`: every call raises `Refused`."""

    def check(self, pointer: Pointer) -> None:
        """Say that it ended."""
        _ended()

    def publish(self, pointer: Pointer, value: str, *, expected: str | None, home: Home) -> str:
        """Say that it ended."""
        _ended()

    def read(self, pointer: Pointer, *, home: Home) -> str | None:
        """Say that it ended."""
        _ended()


def _ended() -> NoReturn:
    raise Refused(ENDED, INSTEAD)


KIND = Freenom()
