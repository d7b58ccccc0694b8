"""The door in front of an app: the only thing a tunnel ever leads to. It answers nonces itself and passes everything else on.

Each connection carries one request (`Connection: close`), because a connection that a provider keeps would carry a nonce to the app; what asks for
an upgrade (WebSockets) is passed on as it is. It listens on loopback only, and never reads more of a request than its head.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import re
import secrets

PREFIX = "/.well-known/qcity/"
HEAD, PIECE = 64 << 10, 64 << 10
HEAD_SECONDS = 60.0
CONNECT_SECONDS = 5.0
NONCE = re.compile(rb"(?:GET|HEAD) /\.well-known/qcity/([0-9a-f]{32}) HTTP/1\.[01]\r\n")
_HOP = re.compile(rb"\r\n(?:connection|keep-alive|proxy-connection):[^\r\n]*", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_DOWN = b"The app behind this address is not running now. The address itself is well: try again in a moment.\n"


class Door:
    """In front of one port of this machine.

    Args:
        port: where the app is, on 127.0.0.1.
        key: what nonces are answered with; another door has another one.
    """

    def __init__(self, port: int, key: bytes | None = None) -> None:
        self._app, self._key = port, key or secrets.token_bytes(32)
        self._server: asyncio.Server | None = None
        self._guests: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0, limit=HEAD)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Let nobody in any more."""
        if self._server is not None:
            self._server.close()
        for guest in list(self._guests):
            guest.cancel()
        await asyncio.gather(*self._guests, return_exceptions=True)

    def answer(self, nonce: str) -> str:
        """What only this door says to a nonce."""
        return hmac.new(self._key, nonce.encode(), hashlib.sha256).hexdigest()

    async def knock(self) -> bool:
        """Whether the app takes connections."""
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self._app), CONNECT_SECONDS)
        except (OSError, asyncio.TimeoutError, TimeoutError):
            return False
        writer.close()
        return True

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._guests.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError, TimeoutError):
                await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the door is closed: what it was doing is cut off
        finally:
            self._guests.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
        if found := NONCE.match(head):
            writer.write(_reply(b"200 OK", self.answer(found[1].decode()).encode()))
            await writer.drain()
            return
        try:
            there, back = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self._app), CONNECT_SECONDS)
        except (OSError, asyncio.TimeoutError, TimeoutError):
            writer.write(_reply(b"502 Bad Gateway", _DOWN))
            await writer.drain()
            return
        try:
            back.write(_once(head))
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        finally:
            back.close()


def _once(head: bytes) -> bytes:
    """A request's head that asks for the connection to be closed after the answer; one that asks for another protocol stays as it is."""
    if _UPGRADE.search(head):
        return head
    plain = _HOP.sub(b"", head[:-2])
    return plain.rstrip(b"\r\n") + b"\r\nConnection: close\r\n\r\n"


def _reply(status: bytes, body: bytes) -> bytes:
    head = (b"HTTP/1.1 " + status, b"Content-Type: text/plain; charset=utf-8", b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, b"Cache-Control: no-store", b"Connection: close", b"", body])


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
