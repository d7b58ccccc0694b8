"""Programs that hold a tunnel: nothing of them is left, nobody waits for one that hangs, and a file is known by its digest."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from qcity_nb.io import agents

pytestmark = pytest.mark.real
PATIENCE = 10.0
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
POLITE = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"
FAMILY = """
import signal, subprocess, sys
child = "import signal, time; {child}; print('there', flush=True); time.sleep(60)"
{itself}
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
signal.pause()
"""


@pytest.mark.parametrize(
    ("itself", "child", "grace", "ending"),
    [(DEAF, "0", 0.0, "killed by signal 9"), (DEAF, "0", 0.2, "killed by signal 9"), (POLITE, DEAF, 5.0, "exit code 0")],
)
def test_nothing_is_left_of_a_program_that_ends(itself, child, grace, ending):
    """One that ignores the request, and one with a child in a session of its own that ignores it and outlives it."""
    program = FAMILY.format(itself=itself, child=child)
    family = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    with family.stdout as words:
        assert words.readline()
    ours = [psutil.Process(family.pid), *psutil.Process(family.pid).children(recursive=True)]
    assert len(ours) == 2
    asyncio.run(agents.end(family, grace=grace))
    assert not [one for one in ours if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert agents.ending(family) == ending
    asyncio.run(agents.end(family))


def test_a_thread_that_hangs_keeps_no_loop_from_ending():
    free = threading.Event()

    async def run():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(agents.in_thread(lambda: free.wait(60)), 0.05)

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < PATIENCE
    free.set()


def test_what_a_thread_raises_is_raised_where_it_is_waited_for():
    async def run():
        with pytest.raises(ZeroDivisionError):
            await agents.in_thread(lambda: 1 // 0)
        agents.in_thread(lambda: 1 // 0)  # nobody waits: nothing is said
        assert await agents.in_thread(lambda: 7) == 7

    asyncio.run(run())


def test_an_answer_that_drips_is_given_up():
    """The bound is for the whole of it, not for each byte."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            connection, _ = server.accept()
            with connection:
                try:
                    for _ in range(1000):
                        connection.sendall(b"H")
                        stop.wait(0.02)
                except OSError:
                    pass

        stop = threading.Event()
        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        assert asyncio.run(agents.ask(f"127.0.0.1:{server.getsockname()[1]}", "/", seconds=0.2)) == (0, b"")
        assert time.monotonic() - began < PATIENCE
        stop.set()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0\r\n\r\n", b"\x00\xff", b"HTTP/1.1 abc\r\n\r\n"])
def test_an_answer_that_is_none_is_none(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def say():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        threading.Thread(target=say, daemon=True).start()
        assert asyncio.run(agents.ask(f"127.0.0.1:{server.getsockname()[1]}", "/", seconds=PATIENCE)) == (0, b"")


def test_nobody_there_is_no_answer():
    assert asyncio.run(agents.ask(f"127.0.0.1:{agents.free_port()}", "/", seconds=PATIENCE)) == (0, b"")


def test_a_digest_follows_its_file(tmp_path):
    path = tmp_path / "program"
    for number, content in enumerate((b"one", b"other")):
        path.write_bytes(content)
        os.utime(path, (number, number))
        assert agents.digest(str(path)) == hashlib.sha256(content).hexdigest()
    link = tmp_path / "link"
    link.symlink_to(path)
    assert agents.digest(str(link)) == agents.digest(str(path))
    with pytest.raises(OSError, match="nothing"):
        agents.digest(str(tmp_path / "nothing"))
