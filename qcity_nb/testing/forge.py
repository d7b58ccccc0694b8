"""The loopback HTTP server under the stand-ins of platforms: real sockets, HTTP/1.1 with keep-alive, a log of what was asked, faults on demand.

It knows nothing of any platform: `answer` is what a platform overrides. It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from .exchange import Exchange, Request, sends, utcnow
from .faults import Fault, Planted, Reply

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class Forge:
    """An HTTP server in this process, started by `with`.

    Args:
        now: the time on the platform; give a `FakeClock`'s to move it in a test.
        base: a path that every address begins with, as GitHub Enterprise's `/api/v3`.

    Attributes:
        log: what was asked, oldest first.
        clock_offset: how wrong the `Date` header of every reply is.
        mistakes: what went wrong inside the stand-in itself; leaving the `with` block raises when there are any.
        lock: a condition; hold it to look at or change the state from a test, it is notified after every change.
    """

    def __init__(self, *, now: Callable[[], datetime] = utcnow, base: str = "") -> None:
        self.now, self.base = now, base.rstrip("/")
        self.log: list[Exchange] = []
        self.clock_offset = timedelta(0)
        self.mistakes: list[str] = []
        self.lock = threading.Condition(threading.RLock())
        self._faults: list[Planted] = []
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._listening: socket.socket | None = None
        self._address = socket.socket()  # bound, never listening: it keeps the port while the server is down, and connecting to it is refused
        self._address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    # what a platform overrides

    def answer(self, request: Request) -> Reply:
        """What the platform says to a request. Called with the lock held."""
        return sends({"message": "Not Found"}, 404)

    # life

    def start(self) -> None:
        """Listen. `with` does it."""
        self._address.bind(("127.0.0.1", 0))
        self.up()

    def close(self) -> None:
        """Stop, cutting every connection. `with` does it."""
        self._over.set()
        with self.lock:
            self.lock.notify_all()
        self.down()
        for thread in self._threads:
            thread.join(5)
        self._address.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        if error is None and self.mistakes:
            raise RuntimeError("a mistake in the stand-in: " + "\n".join(self.mistakes))

    @property
    def port(self) -> int:
        """The port; the same after `down` and `up`."""
        return int(self._address.getsockname()[1])

    @property
    def root(self) -> str:
        """http://127.0.0.1:port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The root of the API, with the base path, without a slash at its end."""
        return self.root + self.base

    # faults

    def fault(self, fault: Fault, *, method: str = "*", path: str = "*", times: int | None = 1) -> Planted:
        """Plant a fault: the next `times` requests (None: all) whose method and path fit the patterns (as of `fnmatch`) meet it.

        Where several fit, the one planted first is met.
        """
        planted = Planted(fault=fault, method=method, path=path, left=times)
        with self.lock:
            self._faults.append(planted)
        return planted

    def heal(self) -> None:
        """Take all faults away."""
        with self.lock:
            self._faults.clear()

    def down(self) -> None:
        """Refuse connections, and cut those that are open."""
        with self.lock:
            listening, self._listening = self._listening, None
            open_ones = list(self._connections)
        if listening is not None:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # wakes accept
            listening.close()
        for connection in open_ones:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def up(self) -> None:
        """Listen again, on the same port."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(128)
        with self.lock:
            self._listening = listening
        self._thread(self._accept, listening)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Down inside the block, up after it."""
        self.down()
        try:
            yield
        finally:
            self.up()

    # looking back

    def seen(self, method: str = "*", path: str = "*") -> list[Exchange]:
        """The lines of the log whose method and path fit the patterns."""
        with self.lock:
            return [line for line in self.log if Planted.fits(method, line.method) and Planted.fits(path, line.path)]

    def wait(self, until: Callable[[], T], seconds: float = 20.0) -> T:
        """Wait until something is true of the state, and return it.

        Raises:
            TimeoutError: it did not become true.
        """
        with self.lock:
            got = self.lock.wait_for(until, seconds)
        if not got:
            raise TimeoutError(f"waited {seconds} seconds in vain")
        return got

    # the wire

    def _thread(self, target: Callable[[socket.socket], None], connection: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(connection,), daemon=True, name=f"{type(self).__name__} {target.__name__}")
        self._threads = [known for known in self._threads if known.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return  # closed: down
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                if self._listening is not listening:
                    connection.close()
                    return
                self._connections.add(connection)
                self._thread(self._converse, connection)

    def _converse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError, http.client.HTTPException), connection.makefile("rb") as reader:
            try:
                while (request := self._read(connection, reader)) is not None and self._serve(connection, request):
                    pass
            finally:
                with self.lock:
                    self._connections.discard(connection)

    def _read(self, connection: socket.socket, reader: io.BufferedReader) -> Request | None:
        line = reader.readline(65536).decode("latin-1").split()
        if len(line) != 3 or not line[2].startswith("HTTP/"):
            return None
        headers = http.client.parse_headers(reader)
        if headers.get("Expect", "").lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
        body = _chunks(reader) if chunked else reader.read(int(headers.get("Content-Length") or 0))
        parts = urlsplit(line[1])
        raw = parts.path.removeprefix(self.base) if self.base and parts.path.startswith(self.base + "/") else parts.path

        def gone() -> bool:
            try:
                return self._over.is_set() or connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True

        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Request(method=line[0], path=unquote(raw), raw=raw, target=line[1], query=query, headers=headers, body=body, at=self.now(), gone=gone)

    def _serve(self, connection: socket.socket, request: Request) -> bool:
        """Answer one request; whether the connection lives on."""
        with self.lock:
            planted = next((one for one in self._faults if one.meets(request.method, request.path)), None)
            if planted is not None:
                planted.hit()
            fault = planted.fault if planted is not None else Fault(name="")
            reply = fault.replies(request.at) if fault.replies is not None else None
            if reply is None:
                reply = self._act(request) if fault.acts else Reply(status=0)
            reply = fault.spoil(reply)
            self._write_down(request, reply, fault)
            self.lock.notify_all()
        if fault.delay:
            self._over.wait(fault.delay)
        if fault.hangs_up:
            fault.hang_up(connection)
            return False
        return self._send(connection, request, reply, fault)

    def _act(self, request: Request) -> Reply:
        """The answer. An exception in it is a mistake of the stand-in: told at once by 500, and at the end."""
        try:
            return self.answer(request)
        except Exception:  # noqa: BLE001 - a server's thread is where nobody sees it
            self.mistakes.append(f"{request.method} {request.target}\n{traceback.format_exc()}")
            return sends({"message": "a mistake in the stand-in"}, 500)

    def _write_down(self, request: Request, reply: Reply, fault: Fault) -> None:
        status = 0 if fault.hangs_up else reply.status
        self.log.append(
            Exchange(
                method=request.method,
                path=request.path,
                query=request.query,
                headers=request.headers,
                body=request.body,
                status=status,
                at=request.at,
                reply=reply.body,
                reply_headers=reply.headers,
                fault=fault.name,
            )
        )

    def _send(self, connection: socket.socket, request: Request, reply: Reply, fault: Fault) -> bool:
        phrase = http.client.responses.get(reply.status, "Unknown")
        skew = self.clock_offset + fault.skew
        lasts = not fault.cut and request.header("Connection").lower() != "close" and not self._over.is_set()
        headers = {"Date": format_datetime(self.now().astimezone(timezone.utc) + skew, usegmt=True), "Server": "qcity stand-in", **reply.headers}
        if reply.status not in {204, 304}:
            headers["Content-Length"] = str(len(reply.body))
        if not lasts:
            headers["Connection"] = "close"
        head = "".join(f"{key}: {text}\r\n" for key, text in headers.items())
        body = b"" if request.method == "HEAD" else reply.body[: len(reply.body) // 2] if fault.cut else reply.body
        connection.sendall(f"HTTP/1.1 {reply.status} {phrase}\r\n{head}\r\n".encode("latin-1") + body)
        return lasts


def _chunks(reader: io.BufferedReader) -> bytes:
    body = b""
    while size := int(reader.readline().split(b";")[0], 16):
        body += reader.read(size)
        reader.readline()
    while reader.readline().strip():
        pass  # trailers
    return body
