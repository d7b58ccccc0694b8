"""The fallback page, the last of a chain: it leads to the app as soon as there is an address again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from ...decide import providers
from ...errors import TunnelError
from ...model.tunnel import Fault, Reach
from ...ports import Target
from .given import Given
from .proof import look

PAGE = re.compile(rb"qcity", re.IGNORECASE)


class Static:
    """The fallback page, the last of a chain: it leads to the app as soon as there is an address again."""

    secrets: tuple[str, ...] = ()

    def check(self, options: Mapping[str, str]) -> None:
        """Options: `url`, where the page is."""
        providers.known_options("static", options, ("url",))

    async def open(self, target: Target) -> Given:
        """The page."""
        url = target.options.get("url", "")
        if not url:
            raise TunnelError("no fallback page is named", "static.url=https://… names it; qcity tunnel page publishes one", fault=Fault.MISSING)

        def prove(_: Callable[[str], str], patience: float) -> float:
            begun = time.monotonic()
            status, body = look(url, patience=patience)
            if status != 200 or not PAGE.search(body):
                raise TunnelError(f"the fallback page is not there ({status})", fault=Fault.WRONG_APP)
            return time.monotonic() - begun

        return Given(url, reach=Reach.READERS, every=60, prove=prove)


KIND = Static()
