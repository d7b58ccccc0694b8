"""Tells by an HTTP POST: JSON with `text` (which chat services show) and the notice's parts."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from ...errors import BadInput, PlatformError
from ...model.notice import Notice

TIMEOUT = (5.0, 15.0)


class Webhook:
    """The kind `webhook`."""

    def check(self, address: str) -> None:
        """Raises `BadInput` when it is no address that a secret may be sent to."""
        parts = urlsplit(address)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
            raise BadInput("a webhook's address begins with https://", "Its address is as good as a password")

    def send(self, address: str, notice: Notice) -> None:
        """Send one. Raises `PlatformError` when it was not taken; its sentence does not hold the address."""
        body = {
            "text": notice.text(),
            "title": notice.title,
            "service": notice.service,
            "place": notice.place,
            "since": notice.since.isoformat(),
            "cause": notice.cause,
            "evidence": list(notice.evidence),
            "tried": list(notice.tried),
            "next": notice.todo,
            "well": notice.well,
        }
        host = urlsplit(address).hostname
        try:
            reply = requests.post(address, json=body, timeout=TIMEOUT, headers={"Idempotency-Key": notice.key}, allow_redirects=False)
        except requests.RequestException as error:
            raise PlatformError(f"{host} does not answer ({type(error).__name__})", kind="unreachable") from None
        if reply.status_code >= 300:
            raise PlatformError(f"{host} answered {reply.status_code}", "Check the webhook's address: qcity notify set webhook", kind="server")


KIND = Webhook()
