"""What the visitors of a page are told, over server-sent events: one thread looks at the store for all of them, and each message is made once.

A snapshot, then numbered ticks. Who comes back within half a minute gets what he missed, anybody else a snapshot. A reader that does not read
is cut off, and comes back by himself.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from ..client import board as facts
from ..client.board import Board
from ..store.database import Store
from ..ui.board_feed import Feed, Looker

KEPT = 30
"""So many ticks are kept for who comes back."""
BEHIND = 8
"""A reader that is so many messages behind is cut off."""
SEND_SECONDS = 20.0
FRESH_SECONDS = 3.0
MOST = 500
"""So many streams at once."""


class Guest:
    """One open stream: what it has not been sent."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._more = asyncio.Event()
        self.over = False

    def put(self, message: bytes) -> None:
        """One more message; a reader that is too far behind has had its last."""
        self.over = self.over or len(self._waiting) >= BEHIND
        self._waiting.append(message)
        self._more.set()

    def forget(self) -> None:
        """Leave out what waits."""
        self._waiting.clear()
        if not self.over:
            self._more.clear()

    def end(self) -> None:
        """Nothing comes any more."""
        self.over = True
        self._more.set()

    async def next(self) -> bytes | None:
        """The next message; None at the end."""
        await self._more.wait()
        if self.over:
            return None
        message = self._waiting.popleft()
        if not self._waiting:
            self._more.clear()
        return message


class Hub:
    """The one looker of a page. All but its thread lives on the loop of the server.

    Args:
        every: seconds between two looks.
    """

    def __init__(self, store: Store, *, every: float) -> None:
        board = facts.take(store)
        self._feed, self._looker = Feed(board, every=every, actor=""), Looker(store, board)
        self._epoch = secrets.token_hex(4)  # numbers of an earlier server mean nothing here
        self._ticks: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._snapshot: tuple[int, bytes] = (-1, b"")
        self._guests: set[Guest] = set()
        self._fresh = asyncio.Event()
        self._wake, self._end = threading.Event(), threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="page-looker", daemon=True)

    def start(self) -> None:
        """Begin; to be called on the server's loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        """End every stream, and the looking."""
        self._end.set()
        self._wake.set()
        for guest in self._guests:
            guest.end()

    @property
    def guests(self) -> int:
        """How many look."""
        return len(self._guests)

    async def listen(self, after: str) -> AsyncGenerator[bytes, None]:
        """All messages after the one of this id (empty: none), until the end of the stream."""
        guest = Guest()
        self._guests.add(guest)
        self._wake.set()
        try:
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):  # nobody looked for a while: the first word shall not be an old one
                await asyncio.wait_for(self._fresh.wait(), FRESH_SECONDS)
            first = self._since(after)
            guest.forget()  # what came while it waited is in there
            for message in first:
                yield message
            while (told := await guest.next()) is not None:
                yield told
        finally:
            self._guests.discard(guest)
            if not self._guests:
                self._fresh.clear()

    def _since(self, after: str) -> list[bytes]:
        epoch, _, number = after.partition("-")
        missed = [(seq, tick) for seq, tick in self._ticks if number.isdecimal() and seq > int(number)]
        if epoch == self._epoch and number.isdecimal() and (int(number) == self._feed.seq or (missed and missed[0][0] == int(number) + 1)):
            return [tick for _, tick in missed]
        if self._snapshot[0] != self._feed.seq:
            self._snapshot = self._feed.seq, self._message("snapshot", self._feed.snapshot())
        return [self._snapshot[1]]

    def _message(self, kind: str, message: Mapping[str, Any], buffers: Iterable[bytes] = ()) -> bytes:
        numbers = [base64.b64encode(one).decode() for one in buffers]
        data = msgspec.json.encode({**message, "buffers": numbers} if numbers else message)  # one line: JSON holds no line end
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._epoch.encode(), message["seq"], kind.encode(), data)

    def _run(self) -> None:
        while not self._end.is_set():
            if not self._guests:
                self._wake.wait()
                self._wake.clear()
                continue
            begun, found = time.monotonic(), self._looker.look()
            assert self._loop is not None
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._told, found)
            self._end.wait(max(0.0, self._feed.every - (time.monotonic() - begun)))

    def _told(self, found: Board | str) -> None:
        tick = self._message("tick", *self._feed.told(found))
        self._ticks.append((self._feed.seq, tick))
        self._fresh.set()
        for guest in self._guests:
            guest.put(tick)


class Events:
    """One visitor's stream, as an ASGI answer: it ends when nobody reads, when the reader left, or when his session did.

    Args:
        good: whether the session still is.
    """

    def __init__(self, hub: Hub, after: str, *, good: Callable[[], bool]) -> None:
        self._hub, self._after, self._good = hub, after, good

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _put(send, b"retry: 1000\n\n")
        left = asyncio.ensure_future(_left(receive))
        try:
            async with contextlib.aclosing(self._hub.listen(self._after)) as messages:
                async for message in messages:
                    if left.done() or not self._good() or not await _put(send, message):
                        break
            if not left.done():
                await asyncio.wait_for(send({"type": "http.response.body", "body": b""}), SEND_SECONDS)
        except (asyncio.TimeoutError, TimeoutError):
            pass  # nobody reads: the server closes the connection
        finally:
            left.cancel()


async def _put(send: Send, message: bytes) -> bool:
    """Send it; whether it was taken in time."""
    try:
        await asyncio.wait_for(send({"type": "http.response.body", "body": message, "more_body": True}), SEND_SECONDS)
    except (asyncio.TimeoutError, TimeoutError, OSError):
        return False
    return True


async def _left(receive: Receive) -> None:
    """Until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
