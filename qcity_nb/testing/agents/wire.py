"""The scripted agents' way to their platform: a kept connection, JSON out and in. Standard library only: it is packed into a single file."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import Any
from urllib.parse import urlencode, urlsplit


class Unreachable(Exception):
    """No connection, or an answer of 500 and above."""


class Wire:
    """A connection to a platform, made when it is needed and kept.

    Args:
        root: http://host:port, with whatever path behind it.
        seconds: how long an answer may take.
    """

    def __init__(self, root: str, *, seconds: float = 60.0) -> None:
        parts = urlsplit(root)
        self.root = f"{parts.scheme}://{parts.netloc}"
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port or (443 if secure else 80), timeout=seconds)

    def ask(self, method: str, path: str, body: Any = None, **query: object) -> tuple[int, Any]:
        """Status and JSON of an answer; a value of the query that is empty is left out.

        Raises:
            Unreachable: there was no answer, or the platform is broken.
        """
        sent = b"" if body is None else json.dumps(body).encode()
        status, _, got = self.send(method, path, sent, {"Content-Type": "application/json"}, **query)
        try:
            return status, json.loads(got) if got.strip() else {}
        except ValueError as error:
            raise Unreachable(f"The answer to {method} {path} is no JSON") from error

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str], **query: object) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (their names in small letters) and bytes of an answer.

        Raises:
            Unreachable: there was no answer, or the platform is broken.
        """
        wanted = urlencode({key: value for key, value in query.items() if value not in {"", None}})
        target = f"{path}?{wanted}" if wanted else path
        try:
            try:
                status, told, got = self._once(method, target, body, headers)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.close()  # a kept connection may have been closed by the other side meanwhile
                status, told, got = self._once(method, target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) else None
            raise Unreachable(f"{reason} ({self.root.partition('//')[2]})" if reason else str(error) or repr(error)) from error
        if status >= 500:
            raise Unreachable(f"The service answered {status} to {method} {path}")
        return status, told, got

    def _once(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self._connection.request(method, target, body=body, headers=headers)
        answer = self._connection.getresponse()
        got = answer.read()
        return answer.status, {key.lower(): text for key, text in answer.getheaders()}, got

    def close(self) -> None:
        """Hang up; the next question calls again."""
        with contextlib.suppress(OSError):
            if isinstance(self._connection.sock, socket.socket):
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._connection.close()
