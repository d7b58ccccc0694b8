"""Asks pages that say how a platform is. Unchanged answers are asked for by ETag; a redirect is followed; no credentials are ever sent."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...model.platform import Feed

if TYPE_CHECKING:
    import requests

TIMEOUT, SECONDS, LARGEST = (5.0, 15.0), 40.0, 4 << 20
"""Seconds to connect and between two bytes, seconds in all, and the longest answer in bytes."""
HEADERS = {"User-Agent": "qcity-nb (status)", "Accept": "application/json, */*;q=0.5"}


class Reader:
    """See `engine.platforms.Reader`.

    Args:
        wake: called from a thread when an answer is there.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._answers: queue.SimpleQueue[tuple[str, str, int, bytes]] = queue.SimpleQueue()
        self._under_way: set[str] = set()
        self._kept: dict[str, tuple[str, bytes]] = {}  # by address: its ETag and what it said with it

    def begin(self, name: str, feed: Feed) -> None:
        """Ask; nothing while this one is being asked."""
        if name not in self._under_way:
            self._under_way.add(name)
            threading.Thread(target=self._ask, args=(name, feed), name=f"qcity-status-{name}", daemon=True).start()

    def answers(self) -> list[tuple[str, str, int, bytes]]:
        """What has come since the last call: name, address, the status of HTTP and the body; 0 and why, when nobody answered."""
        found = []
        while not self._answers.empty():
            found.append(self._answers.get())
        return found

    def _ask(self, name: str, feed: Feed) -> None:
        import requests

        answer = 0, b"it could not be asked"
        try:
            with requests.get(feed.url, headers=self._headers(feed), timeout=TIMEOUT, stream=True) as reply:
                answer = self._read(feed, reply)
        except (requests.RequestException, OSError, ValueError) as error:
            answer = 0, _words(error).encode()
        finally:  # whatever happened is an answer: else it would be asked again without a rest, or never
            self._under_way.discard(name)
            self._answers.put((name, feed.url, *answer))
            self._wake()

    def _headers(self, feed: Feed) -> dict[str, str]:
        return {**HEADERS, **({"If-None-Match": self._kept[feed.url][0]} if feed.url in self._kept else {})}

    def _read(self, feed: Feed, reply: requests.Response) -> tuple[int, bytes]:
        if reply.status_code == 304 and feed.url in self._kept:
            return 200, self._kept[feed.url][1]
        body, end = b"", time.monotonic() + SECONDS
        for piece in reply.iter_content(1 << 16):
            body += piece
            if len(body) > LARGEST:
                return 0, f"its page is longer than {LARGEST >> 20} MB".encode()
            if time.monotonic() > end:
                return 0, f"its page was not read in {SECONDS:.0f} s".encode()
        if reply.status_code == 200 and (tag := reply.headers.get("ETag")):
            self._kept[feed.url] = tag, body
        return reply.status_code, body


def _words(error: Exception) -> str:
    """Why nobody answered, without the address and what a library wraps it in."""
    import requests

    if isinstance(error, requests.Timeout):
        return "it did not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.ConnectionError):
        return "it cannot be reached"
    return f"it could not be asked ({type(error).__name__})"
