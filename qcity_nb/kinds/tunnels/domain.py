"""A domain that a person owns and that is served by somebody else: used while its name, its certificate, its answer and its app are right."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from ...decide import providers
from ...errors import BadInput, TunnelError
from ...model.tunnel import Fault, Reach
from ...ports import Target
from .given import Given
from .proof import look


class Domain:
    """A domain that a person owns and that is served by somebody else: used while it is well."""

    secrets: tuple[str, ...] = ()

    def check(self, options: Mapping[str, str]) -> None:
        """Options: `url` (https://HOST), `expect` (a text that the right app shows), `every` (seconds between two looks)."""
        providers.known_options("domain", options, ("url", "expect", "every"))
        parts = urlsplit(options.get("url", ""))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f'"{options.get("url", "")}" is no address of a domain', "Write it as https://app.example.org")
        if not re.fullmatch(r"\d+(\.\d+)?", options.get("every", "10")):
            raise BadInput(f"domain.every is {options['every']}", "Give seconds")

    async def open(self, target: Target) -> Given:
        """The domain; whether it is well is for its proofs to say."""
        url, expect = target.options["url"].rstrip("/"), target.options.get("expect", "").encode()

        def prove(_: Callable[[str], str], patience: float) -> float:
            begun = time.monotonic()
            status, body = look(url, patience=patience)
            if status >= 400:
                raise TunnelError(f"it answers with {status}", fault=Fault.SILENT)
            if expect and expect not in body:
                raise TunnelError(f'another app answers there: it does not show "{expect.decode()}"', fault=Fault.WRONG_APP)
            return time.monotonic() - begun

        return Given(url, reach=Reach.PUBLIC, every=float(target.options.get("every", "10")), prove=prove)


KIND = Domain()
