"""Tells by mail. The address is one line: smtp://USER:PASSWORD@HOST:587/?to=MASTER@EXAMPLE.ORG&from=…; smtps:// for TLS from the begin.

With smtp:// STARTTLS is used before anything is said, unless the host is this machine.
"""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import make_msgid
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from ...errors import BadInput, PlatformError
from ...model.notice import Notice

SECONDS = 20.0
HERE = ("127.0.0.1", "localhost", "::1")


class Smtp:
    """The kind `smtp`."""

    def check(self, address: str) -> None:
        """Raises `BadInput` when the address cannot be used."""
        parts = urlsplit(address)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or "@" not in _asked(parts, "to"):
            raise BadInput("a mail notifier's address is smtp://USER:PASSWORD@HOST:587/?to=NAME@EXAMPLE.ORG", "Give it like that, in one line")

    def send(self, address: str, notice: Notice) -> None:
        """Send one. Raises `PlatformError` when it was not taken; its sentence holds no password."""
        self.check(address)
        parts = urlsplit(address)
        mail = EmailMessage()
        mail["Subject"] = f"[QCity] {notice.title}".replace("\n", " ")[:200]
        mail["To"] = _asked(parts, "to")
        mail["From"] = _asked(parts, "from") or mail["To"]
        mail["Message-ID"] = make_msgid(domain="qcity.invalid")
        mail.set_content(notice.text())
        host = parts.hostname or ""
        try:
            with self._connect(parts, host) as server:
                if parts.username:
                    server.login(unquote(parts.username), unquote(parts.password or ""))
                server.send_message(mail)
        except (smtplib.SMTPException, OSError) as error:
            code = getattr(error, "smtp_code", "")
            raise PlatformError(f"the mail server {host} did not take it ({type(error).__name__} {code})".replace(" )", ")"), kind="server") from None

    def _connect(self, parts: SplitResult, host: str) -> smtplib.SMTP:
        if parts.scheme == "smtps":
            return smtplib.SMTP_SSL(host, parts.port or 465, timeout=SECONDS, context=ssl.create_default_context())
        server = smtplib.SMTP(host, parts.port or 587, timeout=SECONDS)
        if host not in HERE:
            server.starttls(context=ssl.create_default_context())
        return server


def _asked(parts: SplitResult, name: str) -> str:
    return (parse_qs(parts.query).get(name) or [""])[0]


KIND = Smtp()
