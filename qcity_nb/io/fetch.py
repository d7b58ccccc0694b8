"""Asks for addresses politely: few at once and not too often of one host, HEAD before GET, and again when a server asks for patience.

Good answers are remembered and nothing else: a redirection or a failure of today says nothing about tomorrow.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from ..model.linkcheck import Answer
from .files import write_atomic

if TYPE_CHECKING:
    import requests

LARGEST = 4 << 20
HEADERS = {"User-Agent": "qcity-linkcheck", "Accept": "text/html,*/*;q=0.5", "ngrok-skip-browser-warning": "1", "bypass-tunnel-reminder": "1"}
"""Tunnels of the free plans show programs their app and no page for people when they are asked like this."""
_AS_GET = frozenset({400, 403, 404, 405, 406, 500, 501})
"""Statuses that servers give to HEAD although GET would do."""


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How politely to ask: seconds between two questions to one host, how many at once, how often again, how long to wait at most."""

    interval: float = 0.1
    at_once: int = 2
    workers: int = 16
    retries: int = 2
    patience: float = 10.0
    seconds: float = 15.0
    max_age: float = 86400.0


class _Remembered(msgspec.Struct, frozen=True):
    at: float
    answer: Answer


class _Host:
    """One host's turn: a few questions at once, with a pause between two of them."""

    def __init__(self, manners: Manners) -> None:
        self.slots = threading.BoundedSemaphore(manners.at_once)
        self._interval, self._next, self._lock = manners.interval, 0.0, threading.Lock()

    def wait(self, sleep: Callable[[float], None]) -> None:
        """Until it may be asked again."""
        with self._lock:
            now = time.monotonic()
            pause, self._next = max(0.0, self._next - now), max(now, self._next) + self._interval
        if pause:
            sleep(pause)


class Fetcher:
    """Asks, with a memory in a file.

    Args:
        memory: where good answers are kept; None forgets them.
        read: what a page says to whoever links to it: its title and the names that can be jumped to.
        again: statuses after which it is asked once more.
    """

    def __init__(
        self,
        memory: Path | None,
        *,
        read: Callable[[str], tuple[str, tuple[str, ...]]],
        again: frozenset[int],
        manners: Manners | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._memory, self._read, self._again, self._manners, self._sleep = memory, read, again, manners or Manners(), sleep
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()
        self._known = self._load()
        self._last: dict[str, Answer] = {}

    def ask(self, urls: Sequence[str], *, whole: frozenset[str] = frozenset()) -> dict[str, Answer]:
        """The answers of these addresses (without fragments); of those in `whole` the page is read."""
        with ThreadPoolExecutor(self._manners.workers) as workers:
            found = dict(zip(urls, workers.map(lambda url: self._one(url, whole=url in whole), urls), strict=True))
        self._keep(found)
        self._last |= found
        return found

    def known(self, url: str) -> Answer | None:
        """What was answered."""
        return self._last.get(url)

    def text(self, url: str) -> tuple[int, str]:
        """Status and the begin of what stands at an address, now; 0 when nobody answers."""
        import requests

        with contextlib.suppress(requests.RequestException):
            reply = requests.get(url, headers=HEADERS, timeout=self._manners.seconds, stream=True, allow_redirects=False)
            with contextlib.closing(reply):
                return reply.status_code, next(reply.iter_content(4096), b"").decode("utf-8", "replace")
        return 0, ""

    def _one(self, url: str, *, whole: bool) -> Answer:
        known = self._known.get(url)
        if known and time.time() - known.at < self._manners.max_age and (known.answer.anchors or known.answer.title or not whole):
            return msgspec.structs.replace(known.answer, cached=True)
        try:
            name = urlsplit(url).netloc
        except ValueError:
            return Answer(url=url, error="invalid")
        with self._lock:
            host = self._hosts.setdefault(name, _Host(self._manners))
        with host.slots:
            for turn in range(self._manners.retries + 1):
                host.wait(self._sleep)
                answer, after = self._try(url, whole=whole)
                if answer.error != "timeout" and answer.status not in self._again:
                    break
                pause = after if after is not None else 0.5 * 2**turn
                if turn == self._manners.retries or pause > self._manners.patience:
                    break
                self._sleep(pause)
        return answer

    def _try(self, url: str, *, whole: bool) -> tuple[Answer, float | None]:
        import requests

        try:
            with requests.Session() as session:
                session.max_redirects = 10
                session.headers.update(HEADERS)
                if not whole:
                    reply = session.head(url, timeout=self._manners.seconds, allow_redirects=True)
                    moved = reply.history and "html" in reply.headers.get("Content-Type", "")
                    if reply.status_code not in _AS_GET and not moved:
                        return _answer(url, reply), _after(reply)
                with contextlib.closing(session.get(url, timeout=self._manners.seconds, stream=True)) as reply:
                    title, anchors = self._page(reply)
                    return msgspec.structs.replace(_answer(url, reply), title=title, anchors=anchors), _after(reply)
        except (requests.RequestException, ValueError) as error:
            return Answer(url=url, error=_kind(error)), None

    def _page(self, reply: requests.Response) -> tuple[str, tuple[str, ...]]:
        if "html" not in reply.headers.get("Content-Type", ""):
            return "", ()
        data = b""
        for piece in reply.iter_content(65536):
            data += piece
            if len(data) > LARGEST:
                break
        return self._read(data.decode(reply.encoding or "utf-8", "replace"))

    def _load(self) -> dict[str, _Remembered]:
        try:
            return msgspec.json.decode(self._memory.read_bytes(), type=dict[str, _Remembered]) if self._memory else {}
        except (OSError, msgspec.DecodeError):
            return {}

    def _keep(self, found: dict[str, Answer]) -> None:
        if self._memory is None:
            return
        now = time.time()
        kept = {url: one for url, one in self._known.items() if now - one.at < self._manners.max_age}
        kept |= {url: _Remembered(now, one) for url, one in found.items() if 200 <= one.status < 300 and not one.error and not one.cached}
        if kept == self._known:
            return
        self._known = kept
        with contextlib.suppress(OSError):  # a memory that cannot be written costs time, nothing else
            self._memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(self._memory, msgspec.json.encode(kept))


def _answer(url: str, reply: requests.Response) -> Answer:
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Answer(url=url, status=reply.status_code, final=reply.url, kind=kind)


def _after(reply: requests.Response) -> float | None:
    text = reply.headers.get("Retry-After", "")
    if text.strip().isdecimal():
        return float(text)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    return None


def _kind(error: Exception) -> str:
    import requests
    from urllib3.exceptions import NameResolutionError

    if isinstance(error, requests.TooManyRedirects):
        return "loop"
    if isinstance(error, requests.exceptions.SSLError):
        return "tls"
    if isinstance(error, requests.Timeout):
        return "timeout"
    if isinstance(error, ValueError):
        return "invalid"
    chain: list[object] = [error]
    for one in chain:
        inner = (*getattr(one, "args", ()), getattr(one, "reason", None), getattr(one, "__cause__", None))
        chain += [below for below in inner if isinstance(below, Exception)]
        if isinstance(one, (NameResolutionError, socket.gaierror)):
            return "dns"
        if isinstance(one, ConnectionRefusedError):
            return "refused"
        if len(chain) > 40:
            break
    return "lost"
