"""Many writers at once, and writers that are killed in the middle: no lock error, nothing acknowledged is lost, nothing is damaged."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from datetime import datetime, timezone

import pytest

from qcity_nb.model.home import Home
from qcity_nb.store import commands
from qcity_nb.store.database import Store

WRITERS, EACH = 20, 15
KILLS = 12
NOW = datetime(2026, 1, 5, tzinfo=timezone.utc)

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")]


def ask(store: Store, key: str) -> int:
    with store.write() as connection:
        return commands.ask(connection, store.place, "runner.start", key, {"filling": "x" * 200}, at=NOW, key=key)


def keys_of(store: Store) -> set[str]:
    with store.read() as connection:
        return {command.subject for command in commands.latest(connection, store.place, limit=1_000_000)}


def fork(work) -> int:
    """Run `work` in a child that ends without any clean-up."""
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            work()
            code = 0
        os._exit(code)
    return pid


def test_twenty_writers_at_once_meet_no_lock_error(store, store_url):
    """Four processes of five threads, each with a store of its own; a reader looks on all the time."""

    def write_all(process: int) -> None:
        failed = []

        def write(thread: int) -> None:
            with contextlib.closing(Store(store.home, store_url)) as mine:
                for number in range(EACH):
                    try:
                        ask(mine, f"{process}-{thread}-{number}")
                    except Exception as error:  # noqa: BLE001  # whatever it is, it counts
                        failed.append(error)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS // 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    store.close()
    pids = [fork(lambda process=process: write_all(process)) for process in range(4)]
    waiting, looks = set(pids), 0
    while waiting:
        keys_of(store)
        looks += 1
        for pid in list(waiting):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                waiting.discard(pid)
                assert status == 0, "a writer met an error"
    assert looks
    assert len(keys_of(store)) == WRITERS * EACH


def test_the_same_key_twice_is_the_same_command(store):
    assert ask(store, "once") == ask(store, "once")


def test_the_same_key_from_two_at_once_is_one_command(store, store_url):
    """Whoever comes second gets the first one's id: a client that repeats a request after an error must not double it."""
    for round_ in range(10):
        ids, failed, start = [], [], threading.Barrier(4)

        def write(key: str, ids=ids, failed=failed, start=start) -> None:
            with contextlib.closing(Store(store.home, store_url)) as mine:
                start.wait()
                try:
                    ids.append(ask(mine, key))
                except Exception as error:  # noqa: BLE001  # whatever it is, it counts
                    failed.append(error)

        threads = [threading.Thread(target=write, args=(f"key-{round_}",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert len(ids) == 4
        assert len(set(ids)) == 1


def test_kill_9_while_writing_loses_nothing_acknowledged(store, store_url):
    """Acknowledged means: written to a pipe after the commit."""
    chance, acknowledged = random.Random(7), set()
    store.close()
    for round_ in range(KILLS):
        acknowledged |= _killed_writer(store.home, store_url, f"r{round_}", after=chance.randint(1, 40), wait=chance.random() * 0.004)
    kept = keys_of(store)
    assert len(acknowledged) >= KILLS
    assert acknowledged <= kept
    if store.embedded:
        with contextlib.closing(sqlite3.connect(store.home.store)) as raw:
            assert raw.execute("pragma integrity_check").fetchone() == ("ok",)


def _killed_writer(home: Home, url: str | None, name: str, *, after: int, wait: float) -> set[str]:
    """Start a writer, kill it a moment after it has acknowledged `after` rows; the rows it acknowledged in all."""
    told, tell = os.pipe()

    def work() -> None:
        mine = Store(home, url)
        for number in range(100_000):
            ask(mine, f"{name}-{number}")
            os.write(tell, f"{name}-{number}\n".encode())

    pid = fork(work)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        keys = {pipe.readline().decode().strip() for _ in range(after)}
        time.sleep(wait)  # not to wait for anything: the kill is to strike at any point
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        keys |= {line.decode().strip() for line in pipe.readlines()}
    assert "" not in keys, "the writer ended by itself"
    return keys
