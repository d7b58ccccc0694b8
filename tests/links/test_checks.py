"""Links are asked for politely, and what is known of them is right: against an HTTP server on loopback."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.client.linkchecks import examine
from qcity_nb.io.fetch import Fetcher, Manners
from qcity_nb.model.home import Home
from qcity_nb.model.linkcheck import Verdict
from qcity_nb.model.tunnel import Issued

AT = datetime(2026, 1, 1, tzinfo=timezone.utc)
FAST = Manners(interval=0, patience=5, seconds=2, retries=2)
DOOR = "/.well-known/qcity/"


class Site:
    """A server whose pages are a table: path -> (status, headers, body), or a list of these, one after the other."""

    def __init__(self) -> None:
        self.pages, self.asked, self.running, self.most, self.moments = {}, [], 0, 0, []
        self._lock, self.slow = threading.Lock(), threading.Event()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with site._lock:
                    site.asked.append((self.command, self.path))
                    site.moments.append(time.monotonic())
                    site.running += 1
                    site.most = max(site.most, site.running)
                page = site.pages.get(self.path.partition("?")[0], (404, {}, ""))
                if isinstance(page, list):
                    page = page.pop(0) if len(page) > 1 else page[0]
                if callable(page):
                    page = page(self)
                status, headers, body = page
                if status == 0:
                    self.close_connection = True
                else:
                    body = body.encode()
                    self.send_response(status)
                    for name, value in {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    if self.command == "GET":
                        self.wfile.write(body)
                with site._lock:
                    site.running -= 1

            do_HEAD = do_GET  # noqa: N815 - as the library names it

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.slow.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site():
    made = Site()
    yield made
    made.close()


@pytest.fixture
def place(tmp_path):
    return Home(tmp_path / "home")


def fetcher(memory=None, **more):
    naps = []
    manners = Manners(**{"interval": 0, **more})
    return Fetcher(memory, read=lambda page: (page[:20], ("a",)), again=frozenset({429, 503, 500}), manners=manners, sleep=naps.append), naps


def verdicts(report):
    return {one.spot.url.rpartition("/")[2]: one.verdict for one in report.checked}


def test_every_outcome_of_a_file(site, place, tmp_path):
    site.pages = {
        "/ok": (200, {}, "fine"), "/gone": (410, {}, ""), "/moved": (301, {"Location": "/ok"}, ""), "/loop": (302, {"Location": "/loop"}, ""),
        "/often": (429, {}, ""), "/login": (401, {}, ""), "/no-head": lambda ask: (405 if ask.command == "HEAD" else 200, {}, "x"),
        "/lost": (0, {}, ""), "/page": (200, {}, "<h1 id=there>x</h1>"),
    }  # fmt: skip
    names = ["ok", "gone", "moved", "loop", "often", "login", "no-head", "lost", "missing", "page#there", "page#elsewhere"]
    (tmp_path / "a.md").write_text("\n".join(f"[x]({site.url}/{name})" for name in names))
    report = examine(place, [str(tmp_path / "a.md")], private=True, browser=False, manners=Manners(interval=0, retries=0))
    good, bad, unknown = Verdict.OK, Verdict.BROKEN, Verdict.UNKNOWN
    assert verdicts(report) == {
        "ok": good, "gone": bad, "moved": good, "loop": bad, "often": unknown, "login": unknown, "no-head": good, "lost": unknown, "missing": bad,
        "page#there": good, "page#elsewhere": bad,
    }  # fmt: skip
    assert [one.spot.line for one in report.checked] == list(range(1, 12))
    assert not report.ok
    assert "4 are broken, of 3 nobody could tell" in report.sentence()


def test_links_to_files_need_no_network(place, tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/b c.md").write_text("# Über\n\n<a id='x'></a>\n")
    good = "[a](b%20c.md) [b](b%20c.md#über) [c](<b c.md#x>) [d](/docs/a.md) [e](#here) [f](../docs) \n# Here\n"
    (tmp_path / "docs/a.md").write_text(good + "[g](gone.md) [h](b%20c.md#gone) [i](/gone) [j](#gone) http://[bad")
    report = examine(place, [str(tmp_path)], offline=True)
    assert [one.verdict for one in report.checked[:6]] == [Verdict.OK] * 6
    whys = [one.why for one in report.checked[6:]]
    assert whys == ["there is no gone.md", "the page has no #gone", "there is no /gone", "the page has no #gone", "it is no address"]
    assert not place.root.exists()


def test_private_addresses_and_examples_are_left_out(site, place, tmp_path):
    (tmp_path / "a.md").write_text(f"{site.url}/x https://app.example.org http://localhost:1")
    report = examine(place, [str(tmp_path)], browser=False)
    assert (report.checked, report.skipped, site.asked) == ([], 3, [])


def test_good_answers_are_remembered_and_no_others(site, tmp_path):
    site.pages = {"/ok": (200, {}, "x"), "/moved": (301, {"Location": "/ok"}, ""), "/bad": (404, {}, ""), "/ill": (500, {}, "")}
    urls = [f"{site.url}/{name}" for name in ("ok", "bad", "ill")]
    fetcher(tmp_path / "m/answers.json", retries=0)[0].ask(urls)
    site.asked.clear()
    again = fetcher(tmp_path / "m/answers.json", retries=0)[0].ask(urls)
    assert [again[url].cached for url in urls] == [True, False, False]
    assert {path for _, path in site.asked} == {"/bad", "/ill"}
    kept = json.loads((tmp_path / "m/answers.json").read_text())
    assert list(kept) == [urls[0]]
    old = fetcher(tmp_path / "m/answers.json", max_age=0)[0].ask(urls[:1])
    assert not old[urls[0]].cached
    (tmp_path / "m/answers.json").write_text("{")
    assert fetcher(tmp_path / "m/answers.json")[0].ask(urls[:1])[urls[0]].status == 200


def test_a_server_that_asks_for_patience_gets_it(site):
    site.pages = {"/a": [(429, {"Retry-After": "3"}, ""), (200, {}, "x")], "/b": (429, {"Retry-After": "3600"}, ""), "/c": (503, {}, "")}
    made, naps = fetcher()
    assert made.ask([f"{site.url}/a"])[f"{site.url}/a"].status == 200
    assert naps == [3.0]
    naps.clear()
    assert made.ask([f"{site.url}/b"])[f"{site.url}/b"].status == 429
    assert naps == [], "an hour is not waited for"
    made.ask([f"{site.url}/c"])
    assert naps == [0.5, 1.0]


def test_one_host_is_asked_by_few_at_once(site):
    gate = threading.Barrier(2, timeout=5)

    def page(ask):
        gate.wait()
        return 200, {}, "x"

    site.pages = {f"/{number}": page for number in range(8)}
    fetcher(at_once=2)[0].ask([f"{site.url}/{number}" for number in range(8)])
    assert site.most == 2


def test_between_two_questions_to_a_host_there_is_a_pause(site):
    site.pages = {f"/{number}": (200, {}, "x") for number in range(4)}
    made, naps = fetcher(interval=0.5, at_once=1)
    made.ask([f"{site.url}/{number}" for number in range(4)])
    assert len(naps) == 3
    assert all(pause > 0 for pause in naps)


def test_each_address_is_asked_once_however_often_it_is_linked(site, place, tmp_path):
    site.pages = {"/a": (200, {}, "<p id=x>")}
    (tmp_path / "a.md").write_text(f"[a]({site.url}/a) [b]({site.url}/a#x) [c]({site.url}/a#y)\n[d]({site.url}/a)")
    report = examine(place, [str(tmp_path)], private=True, browser=False, manners=FAST)
    assert Counter(site.asked) == {("GET", "/a"): 1}
    assert [one.verdict.value for one in report.checked] == ["ok", "ok", "broken", "ok"]


@pytest.mark.parametrize(
    ("url", "error"),
    [("http://127.0.0.1:1/", "refused"), ("http://nowhere.invalid/", "dns"), ("http://[::1", "invalid"), ("http://a..b/", "invalid")],
)
def test_what_cannot_be_asked_says_why(url, error):
    assert fetcher(retries=0)[0].ask([url])[url].error == error


def test_a_server_that_hangs_and_one_without_a_good_certificate(site):
    site.pages = {"/slow": lambda ask: (200, {}, "x") if site.slow.wait(10) else (0, {}, "")}
    assert fetcher(retries=0, seconds=0.3)[0].ask([f"{site.url}/slow"])[f"{site.url}/slow"].error == "timeout"
    url = site.url.replace("http://", "https://")
    assert fetcher(retries=0, seconds=2)[0].ask([url])[url].error == "tls"


def issued(*origins, live=True):
    ended = [AT + timedelta(hours=number) for number in range(len(origins))]
    last = len(origins) - 1
    return [
        Issued(tunnel="app", generation=number, provider="ssh", origin=origin, since=AT, until=None if live and number == last else ended[number])
        for number, origin in enumerate(origins)
    ]


def test_what_the_ledger_knows_needs_no_asking(site, place, tmp_path):
    (tmp_path / "a.md").write_text("https://old.example/x")
    report = examine(place, [str(tmp_path)], issued=issued("https://old.example", site.url))
    [found] = report.checked
    assert (found.verdict, found.tunnel, found.new) == (Verdict.BROKEN, "app", site.url)
    assert list(report.repairs()) == [("app", site.url, [str(tmp_path / "a.md")])]
    [gone] = examine(place, [str(tmp_path)], issued=issued("https://old.example", live=False)).checked
    assert (gone.new, "has no address now" in gone.why) == ("", True)
    assert site.asked == []


def test_another_app_behind_a_reused_address_is_seen(site, place, tmp_path):
    site.pages = {"/": (200, {}, "hello")}
    (tmp_path / "a.md").write_text(f"{site.url}/")
    [found] = examine(place, [str(tmp_path)], issued=issued(site.url), browser=False, manners=FAST).checked
    assert (found.verdict, found.why) == (Verdict.BROKEN, "something else answers under the address of the tunnel app")
    nonce = next(path for _, path in site.asked if path.startswith(DOOR))
    assert len(nonce) == len(DOOR) + 32

    class WithDoor(dict):
        def get(self, path, default=None):
            return (200, {}, "0" * 64) if path.startswith(DOOR) else super().get(path, default)

    site.pages = WithDoor(site.pages)
    [found] = examine(place, [str(tmp_path)], issued=issued(site.url), browser=False, manners=FAST).checked
    assert found.verdict is Verdict.OK
