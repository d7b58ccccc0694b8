"""The public side of a tunnel on loopback, and the ways to start a stand-in of an agent. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
UPSTREAM_SECONDS = 10.0


class Server(ThreadingHTTPServer):
    """An HTTP server on 127.0.0.1 whose every answer comes from one function of method, path, headers and body."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[str, str, Mapping[str, str], bytes], Answer], port: int = 0) -> None:
        self.answer = answer
        super().__init__(("127.0.0.1", port), _Request)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell of."""


class _Request(BaseHTTPRequestHandler):
    protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", 1 << 16, True  # one packet an answer: two would wait for each other 40 ms

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def _any(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, raw = server.answer(self.command, self.path, self.headers, body)  # type: ignore[arg-type]  # a message is near enough a mapping
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _any  # noqa: N815  # the names that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name in http.server
        """Nothing is logged."""


def passed_on(upstream: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
    """What the app at `upstream` (`http://host:port`) answers, or None when it cannot be reached."""
    connection = http.client.HTTPConnection(upstream.partition("://")[2], timeout=UPSTREAM_SECONDS)
    try:
        connection.request(method, path, body or None, {name: value for name, value in headers.items() if name.lower() not in HOP})
        reply = connection.getresponse()
        raw = reply.read()
        return reply.status, {name: value for name, value in reply.getheaders() if name.lower() not in HOP}, raw
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class NonceApp:
    """An app on loopback that answers every path with itself, so that a random one is a proof. Counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._server = Server(self._answer)
        self.port = int(self._server.server_address[1])

    def _answer(self, _method: str, path: str, _headers: Mapping[str, str], _body: bytes) -> Answer:
        self.asked.append(path)
        return 200, {"Content-Type": "text/plain"}, path.encode()

    def close(self) -> None:
        """Stop listening."""
        self._server.close()


def install(folder: Path, name: str, module: str, **script: Any) -> Path:
    """Put an executable `name` into the folder that is a stand-in, with its script beside it. Returns its path.

    Args:
        module: of `qcity_nb.testing`, with a function `main(folder, argv)`.
        script: what it is told to do; see there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tell(folder, **script)
    code = (  # the modules on their own: their package would load what a bare interpreter does not have
        f"import sys, types; from pathlib import Path; standin = sys.modules['standin'] = types.ModuleType('standin'); "
        f"standin.__path__ = [{str(Path(__file__).parent)!r}]; from standin.{module} import main; sys.exit(main(Path({str(folder)!r}), sys.argv[1:]))"
    )
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -E -S -c {shlex.quote(code)} "$@"\n')
    path.chmod(0o755)
    return path


def tell(folder: Path, **script: Any) -> None:
    """Change what a stand-in is told; it looks many times a second."""
    new = folder / ".script.json"
    new.write_text(json.dumps(script))
    os.replace(new, folder / "script.json")


def told(folder: Path) -> dict[str, Any]:
    """What a stand-in is told now."""
    found: dict[str, Any] = json.loads((folder / "script.json").read_text())
    return found


def note(folder: Path, argv: list[str]) -> None:
    """A stand-in writes down how it was started."""
    with (folder / "starts.jsonl").open("a") as file:
        file.write(json.dumps({"pid": os.getpid(), "argv": argv}) + "\n")


def starts(folder: Path) -> list[dict[str, Any]]:
    """How a stand-in was started, each time: its pid and argv."""
    path = folder / "starts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
