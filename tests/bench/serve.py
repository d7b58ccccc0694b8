"""The bench of the served page: bytes for each tick and visitor, and processor of the server, with 0, 1, 100 and 200 visitors on one looker.

A place of 20 runners, each with a beat in every second: more than an engine writes. The server is a process of its own. Nothing is asserted.
`--seconds N` says how long each count is measured (default 10).
"""

from __future__ import annotations

import argparse
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import httpx
import psutil

from qcity_nb.client import served
from qcity_nb.decide.roles import Role
from qcity_nb.model.service import Desired, Phase, ServiceSpec, ServiceState
from qcity_nb.store import history, services
from qcity_nb.store.database import Store, prepare, prepare_home

RUNNERS = 20


def fill(store: Store) -> list[int]:
    """Runners that are up; their ids."""
    now = datetime.now(timezone.utc)
    with store.write() as connection:
        made = [
            services.add(
                connection,
                store.place,
                ServiceSpec(name=f"runner-{number:02}", kind="local"),
                ServiceState(name=f"runner-{number:02}", phase=Phase.RUNNING, desired=Desired.UP, since=now),
                at=now,
            )
            for number in range(RUNNERS)
        ]
    return [row.id for row in made]


def measure(page: served.Served, store: Store, ids: list[int], cookie: str, visitors: int, seconds: float) -> str:
    """One line: what so many visitors cost."""
    watched, chosen = psutil.Process(page.pid), selectors.DefaultSelector()
    sockets = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(visitors)]
    for one in sockets:
        one.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
        one.setblocking(False)
        chosen.register(one, selectors.EVENT_READ)
    first, size, ticks, beat = 0, 0, 0, 0.0
    begin = time.monotonic() + 5  # the snapshots are over by then
    while time.monotonic() < begin + seconds:
        if time.monotonic() - beat >= 1:
            beat = time.monotonic()
            with store.write() as connection:
                history.beat(connection, [(id_, True, 0) for id_ in ids], at=datetime.now(timezone.utc))
        for key, _ in chosen.select(0.1) if sockets else ():
            got = key.fileobj.recv(1 << 16)
            counts = time.monotonic() >= begin
            first += 0 if counts else len(got)
            size += len(got) if counts else 0
            ticks += got.count(b"event: tick") if counts else 0
        if not sockets:
            time.sleep(0.1)
        if time.monotonic() < begin:
            before = watched.cpu_times()
    after = watched.cpu_times()
    for one in sockets:
        one.close()
    busy = (after.user + after.system - before.user - before.system) / seconds * 100
    each = f"{size / ticks:8.0f} B a tick, {first / visitors / 1000:7.1f} kB at the start" if ticks else " " * 40
    return f"{visitors:4} visitors  {each}  {busy:5.1f} % of a core  {watched.memory_info().rss / 1e6:5.0f} MB"


def main() -> None:
    """Serve, then count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qcity-bench-") as folder:
        home = prepare_home(Path(folder) / "home")
        store, _ = prepare(home)
        with closing(store):
            ids = fill(store)
            command = [sys.executable, "-m", "qcity_nb", "serve", "--home", str(home.root), "--port", "0"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            while not served.living(home):
                time.sleep(0.05)
            page = served.one(home)
            with httpx.Client(base_url=page.url) as client:
                client.post("/login", json={"token": served.issue(home, page.port, Role.VIEWER)})
                cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
            for visitors in (0, 1, 100, 200):
                print(measure(page, store, ids, cookie, visitors, args.seconds), flush=True)
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
