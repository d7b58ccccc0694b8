"""The loopback server under the stand-ins: keep-alive, faults, outages, ETags, pages."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests

from qcity_nb.testing import FakeClock, faults
from qcity_nb.testing.exchange import page, sends, tagged
from qcity_nb.testing.forge import Forge


class Echo(Forge):
    """Counts; says what it got; lists 25 things."""

    count = 0

    def answer(self, request):
        if request.path == "/list":
            shown, total, links = page(range(25), request, url=self.url + request.path)
            return sends({"total": total, "items": shown}, 200, **links)
        self.count += 1
        return tagged(request, sends({"body": request.body.decode(), "query": dict(request.query), "path": request.path}))


@pytest.fixture
def forge():
    with Echo() as forge:
        yield forge


@pytest.fixture
def session():
    with requests.Session() as session:
        yield session


def test_a_connection_is_kept_for_many_requests(forge):
    connection = http.client.HTTPConnection("127.0.0.1", forge.port)
    ports = set()
    for number in range(3):
        connection.request("POST", f"/a%20b?n={number}", body=b"hello")
        ports.add(connection.sock.getsockname())
        assert b"/a b" in connection.getresponse().read()
    connection.close()
    assert len(ports) == 1
    assert [(line.method, line.path, line.query, line.body, line.status) for line in forge.log][2] == ("POST", "/a b", {"n": "2"}, b"hello", 200)


def test_bodies_in_chunks_are_read(forge, session):
    assert session.post(forge.url + "/", data=iter([b"one ", b"two"])).json()["body"] == "one two"


def test_many_at_once(forge):
    def ask():
        with requests.Session() as mine:
            for _ in range(10):
                mine.get(forge.url + "/x")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert forge.count == len(forge.seen("GET", "/x")) == 80


@pytest.mark.parametrize(("fault", "acts"), [(faults.status(503), 0), (faults.unauthorized(), 0), (faults.secondary_limit(7, 429), 0)])
def test_errors_come_instead_of_acting(forge, session, fault, acts):
    """As often as was said, and only where it fits."""
    planted = forge.fault(fault, method="GET", path="/a/*", times=2)
    got = [session.get(forge.url + path).status_code for path in ("/b", "/a/b/c", "/a/x", "/a/b")]
    status = int(fault.replies(forge.now()).status)
    assert got == [200, status, status, 200]
    assert (planted.hits, planted.left, forge.count) == (2, 0, 2)


def test_limits_name_their_end(forge, session):
    forge.fault(faults.rate_limited(timedelta(minutes=3)))
    headers = session.get(forge.url).headers
    assert headers["x-ratelimit-remaining"] == "0"
    assert 170 < int(headers["x-ratelimit-reset"]) - time.time() <= 181
    forge.fault(faults.secondary_limit(7))
    assert session.get(forge.url).headers["Retry-After"] == "7"
    forge.fault(faults.forbidden("actions=write"))
    assert session.get(forge.url).headers["X-Accepted-GitHub-Permissions"] == "actions=write"


@pytest.mark.parametrize(
    ("fault", "count"), [(faults.truncated(), 1), (faults.reset(), 0), (faults.lost_reply(), 1)], ids=["truncated", "reset", "lost reply"]
)
def test_broken_connections(forge, session, fault, count):
    """A reply that was lost was acted on; a connection that was reset before was not."""
    forge.fault(fault)
    with pytest.raises(requests.RequestException):
        session.get(forge.url)
    assert forge.count == count
    assert session.get(forge.url).status_code == 200
    assert forge.log[0].fault == fault.name


def test_malformed_json(forge, session):
    forge.fault(faults.malformed())
    with pytest.raises(requests.JSONDecodeError):
        session.get(forge.url).json()


def test_slow_replies_time_out_and_were_acted_on(forge, session):
    forge.fault(faults.slow(30))
    with pytest.raises(requests.Timeout):
        session.get(forge.url, timeout=0.05)
    assert forge.count == 1
    begin = time.monotonic()
    forge.close()  # ends the wait
    assert time.monotonic() - begin < 5


def test_the_clock_of_the_service(session):
    """It is the test's, off by what the test says, for one reply or for all."""
    clock = FakeClock()
    with Echo(now=clock.wall) as forge:

        def date():
            return parsedate_to_datetime(session.get(forge.url).headers["Date"])

        assert date() == clock.wall()
        clock.advance(60)
        forge.fault(faults.wrong_clock(timedelta(minutes=-10)))
        assert date() == clock.wall() - timedelta(minutes=10)
        forge.clock_offset = timedelta(hours=1)
        assert date() == clock.wall() + timedelta(hours=1)


def test_down_means_refused_and_up_is_the_same_port(forge, session):
    port = forge.port
    session.get(forge.url)
    for _ in range(3):
        with forge.outage(), pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1)
        assert session.get(forge.url).status_code == 200
        assert forge.port == port


def test_an_etag_revalidates(forge, session):
    first = session.get(forge.url + "/x")
    tag = first.headers["ETag"]
    assert not tag.startswith("W/")
    again = session.get(forge.url + "/x", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert session.get(forge.url + "/x?n=1", headers={"If-None-Match": tag}).status_code == 200


def test_pages_are_linked(forge, session):
    found, url, links = [], f"{forge.url}/list?per_page=10", []
    while url:
        reply = session.get(url)
        found += reply.json()["items"]
        links.append(sorted(reply.links))
        url = reply.links.get("next", {}).get("url")
    assert found == list(range(25))
    assert links == [["last", "next"], ["first", "last", "next", "prev"], ["first", "prev"]]
    assert "Link" not in session.get(f"{forge.url}/list").headers


def test_nothing_is_left_behind():
    before = threading.active_count()
    with Echo() as forge:
        connections = [socket.create_connection(("127.0.0.1", forge.port)) for _ in range(5)]
        with requests.Session() as session:
            session.get(forge.url)
    for connection in connections:
        connection.close()
    assert threading.active_count() == before
    with pytest.raises(TimeoutError), Echo() as forge:
        forge.wait(lambda: forge.count, 0.01)


class Broken(Forge):
    """Falls over."""

    def answer(self, request):
        return sends({"found": {}[request.path]})


def test_a_mistake_of_the_stand_in_itself_is_not_hidden(session):
    with pytest.raises(RuntimeError, match=r"(?s)GET /oops.*KeyError"), Broken() as forge:
        assert session.get(forge.url + "/oops").status_code == 500
        assert session.get(forge.url + "/oops").status_code == 500


def test_who_hung_up_is_known(forge):
    """So that nothing is given to a caller that is not there any more."""
    known = []
    forge.answer = lambda request: known.append(request) or sends({})
    with socket.create_connection(("127.0.0.1", forge.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        forge.wait(lambda: known)
        assert connection.recv(10)
        assert not known[0].gone()
    for _ in range(100):
        if known[0].gone():
            break
        time.sleep(0.01)
    assert known[0].gone()
