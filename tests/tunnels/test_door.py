"""The door: it answers nonces, and passes everything else on as it is."""

from __future__ import annotations

import asyncio
import socket

from qcity_nb.kinds.tunnels import proof
from qcity_nb.kinds.tunnels.door import PREFIX, Door

NONCE = "0123456789abcdef" * 2


def through(port, *requests, app=None, act=None):
    """What one connection to the door gives back."""

    async def run():
        door = Door(port, b"key")
        try:
            entry = await door.open()
            if act is not None:
                return await act(door, entry)
            reader, writer = await asyncio.open_connection("127.0.0.1", entry)
            for request in requests:
                writer.write(request)
            try:
                return await asyncio.wait_for(reader.read(), 10)
            except ConnectionResetError:
                return b""
            finally:
                writer.close()
        finally:
            await door.close()

    return asyncio.run(run())


def test_it_answers_a_nonce_as_only_it_does(app):
    reply = through(app.port, f"GET {PREFIX}{NONCE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert reply.endswith(Door(0, b"key").answer(NONCE).encode())
    assert not reply.endswith(Door(0, b"other").answer(NONCE).encode())
    assert app.seen == []


def test_what_is_no_nonce_goes_to_the_app_with_its_body(app):
    body = b"x" * 200_000
    head = f"POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    reply = through(app.port, head, body)
    assert reply.startswith(b"HTTP/1.1 200")
    assert b"/a/b?c=d xxxx" in reply
    assert reply.count(b"x") >= len(body)
    assert app.seen[0][2]["Connection"] == "close"


def test_one_connection_carries_one_request_so_that_a_nonce_never_reaches_the_app(app):
    first = b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n"
    reply = through(app.port, first, f"GET {PREFIX}{NONCE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert reply.count(b"HTTP/1.1 200") == 1
    assert [path for _, path, _ in app.seen] == ["/one"]


def test_an_upgrade_is_passed_on_as_it_is_both_ways():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        async def act(_door, entry):
            reader, writer = await asyncio.open_connection("127.0.0.1", entry)
            head = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            writer.write(head)
            there, _ = await asyncio.to_thread(server.accept)
            there.settimeout(10)
            assert await asyncio.to_thread(there.recv, 4096) == head
            there.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            writer.write(b"\x81\x05hello")
            assert await asyncio.to_thread(there.recv, 4096) == b"\x81\x05hello"
            there.sendall(b"\x81\x02hi")
            assert await reader.readexactly(4) == b"\x81\x02hi"
            there.close()
            try:
                return await reader.read()
            finally:
                writer.close()

        assert through(server.getsockname()[1], act=act) == b""


def test_an_app_that_is_down_is_said_and_a_nonce_is_answered_all_the_same(app):
    app.stop()
    reply = through(app.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 502")
    assert b"is not running" in reply
    assert through(app.port, f"GET {PREFIX}{NONCE} HTTP/1.1\r\n\r\n".encode()).startswith(b"HTTP/1.1 200")

    async def knock(door, _entry):
        return await door.knock()

    assert through(app.port, act=knock) is False
    app.start()
    assert through(app.port, act=knock) is True


def test_a_head_without_an_end_is_not_read_for_ever(app):
    assert through(app.port, b"GET /" + b"x" * (200 << 10)) == b""


def test_a_hundred_visitors_at_once(app):
    async def act(_door, entry):
        return await asyncio.gather(*(asyncio.to_thread(proof.look, f"http://127.0.0.1:{entry}/{one}", patience=10) for one in range(100)))

    assert [status for status, _ in through(app.port, act=act)] == [200] * 100


def test_the_proof_says_what_it_saw_instead(app):
    from qcity_nb.errors import TunnelError
    from qcity_nb.model.tunnel import Fault

    def fault(url):
        try:
            proof.ask(url, lambda nonce: nonce[::-1], headers={}, patience=1)
        except TunnelError as error:
            return error.fault, error.what
        raise AssertionError

    assert fault(f"http://127.0.0.1:{app.port}") == (Fault.WRONG_APP, "something else answers there (200)")
    port = app.port
    app.stop()
    assert fault(f"http://127.0.0.1:{port}") == (Fault.SILENT, "connection refused")
    assert fault("http://nothing.invalid") == (Fault.NETWORK, "its name cannot be resolved")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert fault(f"http://127.0.0.1:{silent.getsockname()[1]}") == (Fault.SILENT, "nothing came back within 1.0 s")
    app.start()
