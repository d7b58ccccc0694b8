"""An app, a server to lead to it, and a place of its own for each test of tunnels."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time

import pytest

import qcity_nb
from qcity_nb.testing.sshd import Sshd, program


class App:
    """An HTTP app on loopback that says what it was asked, and can be stopped and started again on the same port."""

    def __init__(self, word="hello", port=0) -> None:
        self.word, self.port, self.seen = word, port, []
        self.start()

    def start(self) -> None:
        app = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                app.seen.append((self.command, self.path, dict(self.headers)))
                length = int(self.headers.get("Content-Length", 0))
                body = f"{app.word} {self.path} {self.rfile.read(length).decode()}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815  # as the library names it

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def app():
    with contextlib.closing(_Closing(App())) as one:
        yield one.app


@pytest.fixture
def other_app():
    with contextlib.closing(_Closing(App("other"))) as one:
        yield one.app


class _Closing:
    def __init__(self, app):
        self.app = app

    def close(self):
        self.app.stop()


@pytest.fixture
def sshd():
    if not program():
        pytest.fail("sshd is not installed; .ci/run installs it")
    with Sshd() as server:
        yield server


@pytest.fixture
def city(tmp_path):
    with qcity_nb.open(tmp_path / "home") as place:
        yield place
        with contextlib.suppress(qcity_nb.errors.NotFound):
            place.stop()


@pytest.fixture
def until():
    def wait(probe, seconds=60.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := probe():
                return found
            time.sleep(0.02)
        return pytest.fail("not seen in time")

    return wait


def options(server, provider="ssh"):
    """The options of a provider that is this server."""
    return {f"{provider}.{key}": value for key, value in server.options.items()}


@pytest.fixture
def over(city, app):
    """Open a tunnel to the app over these servers."""

    def opened(server, *, name="app", **more):
        return city.tunnels.open(app.port, name=name, chain=more.pop("chain", "ssh"), options={**options(server), **more.pop("options", {})}, **more)

    return opened
