"""What visitors are told: a snapshot, numbered ticks, what they missed; and readers that do not read."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
import time
from itertools import pairwise

import pytest

from qcity_nb.client import board, served
from qcity_nb.web import stream


def test_a_snapshot_then_ticks_that_go_on_from_it(page, place, engine, listen):
    place.runner("a")
    told = listen(page.enter("viewer"))
    assert told.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    kind, id_, snapshot = told.next()
    assert kind == "snapshot"
    assert [name for name, _ in snapshot["tables"]["runners"]] == ["a"]
    assert snapshot["actor"] == ""  # the same for all: whoever looks knows himself
    place.change("a", reason="x")
    place.beat("a")
    ticks = [told.next() for _ in range(5)]
    assert [(kind, data["seq"] - snapshot["seq"]) for kind, _, data in ticks] == [("tick", number) for number in range(1, 6)]
    assert re.fullmatch(r"[0-9a-f]{8}-\d+", id_)


def test_who_comes_back_gets_what_he_missed_and_anybody_else_a_snapshot(page, place, engine, listen):
    place.runner("a")
    client = page.enter("viewer")
    stays = listen(client)  # the numbers go on while somebody looks
    gone = listen(client)
    _, id_, snapshot = gone.next()
    gone.close()
    for _ in range(4):
        stays.next()
    kind, _, data = listen(client, id_).next()
    assert (kind, data["seq"]) == ("tick", snapshot["seq"] + 1)
    for strange in ("", "nonsense", "deadbeef-3", f"{id_.partition('-')[0]}-999999", f"{id_.partition('-')[0]}--1", "x-9\x7f"):
        assert listen(client, strange).next()[0] == "snapshot", strange


def test_the_store_is_looked_at_once_for_all_and_not_at_all_for_nobody(page, place, engine, listen, monkeypatch):
    place.runner("a")
    looks, real = [], board.mark
    monkeypatch.setattr(board, "mark", lambda store: looks.append(time.monotonic()) or real(store))  # counts what the one thread does
    client = page.enter("viewer")
    assert looks == []
    streams = [listen(client) for _ in range(12)]
    begun = [one.next()[0] for one in streams]
    for one in streams:
        for _ in range(6):
            one.next()
    assert begun == ["snapshot"] * 12
    assert len(looks) >= 5
    assert all(later - earlier > 0.2 for earlier, later in pairwise(looks))  # four times a second at most


def test_a_session_that_ends_ends_its_stream(page, place, engine, listen):
    place.runner("a")
    told = listen(page.enter("viewer"))
    told.next()
    served.revoke(page.city.link.store.home, page.port)
    with pytest.raises(EOFError):
        for _ in range(40):
            told.next()


def test_a_place_that_vanishes_is_said_and_its_return_is_seen(page, place, engine, listen):
    place.runner("a")
    client = page.enter("viewer")
    told, root = listen(client), page.home
    told.next()
    aside = root.with_name("aside")
    aside.mkdir()
    for path in root.glob("qcity.db*"):
        shutil.move(path, aside / path.name)
    said = next(data for _, _, data in (told.next() for _ in range(40)) if "trouble" in data)
    assert said["trouble"].startswith("the store of this place is gone. Put its folder back")
    assert client.get("/").status_code == 200
    assert page.client().get("/healthz").json()["ok"] in (True, False)
    for path in aside.iterdir():
        shutil.move(path, root / path.name)
    assert next(data for _, _, data in (told.next() for _ in range(40)) if "trouble" not in data)["at"]


def test_a_clock_that_jumps_ends_no_session_and_no_stream(page, place, engine, listen, monkeypatch):
    place.runner("a")
    client = page.client(cookie=cookie_of(page.enter("viewer")))  # a cookie jar would look at the clock, too
    told, now = listen(client), time.time
    told.next()
    monkeypatch.setattr(time, "time", lambda: now() + 86400 * 3)  # as if somebody had set it
    assert client.get("/session").status_code == 200
    assert told.next()[0] == "tick"
    monkeypatch.setattr(time, "time", lambda: now() - 86400 * 3)
    assert client.get("/session").status_code == 200
    assert told.next()[0] == "tick"


@pytest.mark.real
def test_a_reader_that_does_not_read_is_cut_off_and_the_others_hear_on(page, place, engine, listen, monkeypatch):
    """Its window fills, its messages wait, and then it is one too many behind; nothing grows."""
    monkeypatch.setattr(stream, "SEND_SECONDS", 0.5)
    place.fleet(40)
    client = page.enter("viewer")
    cookie = cookie_of(client)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", page.port))
        deaf.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
        while not page.hub.guests:
            client.get("/session")
        [first] = page.hub._guests
        told = listen(client)
        for _ in range(3):
            told.next()
        wide = [b"data: " + b"x" * 200_000 + b"\n\n"] * 40  # what a place that changes all over says
        for message in wide:
            page._loop.call_soon_threadsafe(first.put, message)
        deadline = time.monotonic() + 20
        while page.hub.guests > 1 and time.monotonic() < deadline:
            told.next()
        assert page.hub.guests == 1
    assert told.next()[0] == "tick"


def cookie_of(client):
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


@pytest.mark.real
@pytest.mark.slow
def test_two_hundred_visitors_hear_the_same(page, place, engine):
    place.fleet()
    client = page.enter("viewer")
    cookie = cookie_of(client)
    sockets, texts = [], {}
    for _ in range(200):
        one = socket.create_connection(("127.0.0.1", page.port))
        one.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
        one.settimeout(30)
        sockets.append(one)

    def read(number):
        text = b""
        while text.count(b"event: tick") < 3:
            text += sockets[number].recv(65536)
        texts[number] = [json.loads(line[6:])["seq"] for line in text.decode().split("\n") if line.startswith("data: {") and line.endswith("}")]

    threads = [threading.Thread(target=read, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one in sockets:
        one.close()
    assert len(texts) == 200
    for seqs in texts.values():
        assert seqs == sorted(seqs)
