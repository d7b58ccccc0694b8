"""Which links a file has, and what is made of an answer or of what a browser saw."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide import linkcheck, linkscan
from qcity_nb.model.linkcheck import Answer, Sight, Site, Verdict
from qcity_nb.model.tunnel import Issued

AT = datetime(2026, 1, 1, tzinfo=timezone.utc)
OK, BROKEN, UNKNOWN = Verdict.OK, Verdict.BROKEN, Verdict.UNKNOWN


def urls(text, path="a.md"):
    return [(spot.line, spot.url) for spot in linkscan.links_of(path, text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](x.md)", ["x.md"]),
        ("![a](<a b.png> 'T') [b](c(d).md \"T\")", ["a b.png", "c(d).md"]),
        ("[a]: http://x/y 'T'\n[b]: <z>", ["http://x/y", "z"]),
        ("see http://x/y. And (http://x/z), <http://q/>", ["http://x/y", "http://x/z", "http://q/"]),
        ("http://x/a_(b)", ["http://x/a_(b)"]),
        ("<a href='p.html'>t</a> <img src=\"i.png\">", ["p.html", "i.png"]),
        ("`[a](b)` ``http://x`` \n```\n[a](b)\n```\n~~~\nhttp://x\n~~~\n<!-- [a](b) -->", []),
        ("[a](mailto:a@b.c) [b](#top) ![c](data:image/png;base64,x)", ["#top"]),
        ("[a](http://x/?a=1&amp;b=2)", ["http://x/?a=1&b=2"]),
        ("[![b](i.svg)](l.md)", ["i.svg", "l.md"]),
        ("| [a](b.md) | http://x/y |", ["b.md", "http://x/y"]),
    ],
)
def test_the_links_of_markdown(text, found):
    assert [url for _, url in urls(text)] == found


def test_the_lines_of_links_are_right():
    assert urls("\n[a](b)\n```\nx\n```\n[c](d)") == [(2, "b"), (6, "d")]
    assert urls("<p>\n<a href=x>\n<iframe src=y></iframe>", "a.html") == [(2, "x"), (3, "y")]


def test_only_the_text_of_a_notebook_has_links():
    cells = [{"cell_type": "code", "source": "http://no"}, {"cell_type": "markdown", "source": ["[a](b.md)\n", "http://x/y"]}]
    assert urls(json.dumps({"cells": cells}), "a.ipynb") == [(2, "b.md"), (2, "http://x/y")]
    assert urls("{", "a.ipynb") == urls("[1]", "a.ipynb") == []


def test_the_names_that_can_be_jumped_to():
    text = "# One `two` & Three!\n## Twice\n## Twice\nUnder\n=====\n<a name='old'></a>\n```\n# no\n```\n# Über [x](y)\n"
    assert {"one-two--three", "twice", "twice-1", "under", "old", "über-x"} <= set(linkscan.anchors_of("a.md", text))
    assert "no" not in linkscan.anchors_of("a.md", text)
    assert linkscan.anchors_of("a.html", '<h2 id="x">') == ("x",)
    assert linkscan.title_of("<title>\n a &amp; b </title>") == "a & b"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"status": 200}, OK), ({"status": 204}, OK), ({"status": 304}, BROKEN), ({"status": 400}, BROKEN), ({"status": 401}, UNKNOWN),
        ({"status": 403}, UNKNOWN), ({"status": 404}, BROKEN), ({"status": 410}, BROKEN), ({"status": 429}, UNKNOWN), ({"status": 500}, UNKNOWN),
        ({"status": 503}, UNKNOWN), ({"error": "dns"}, BROKEN), ({"error": "refused"}, BROKEN), ({"error": "timeout"}, UNKNOWN),
        ({"error": "tls"}, BROKEN),
        ({"error": "loop"}, BROKEN), ({"error": "lost"}, UNKNOWN), ({"error": "odd"}, UNKNOWN),
    ],
)  # fmt: skip
def test_an_answer_is_good_bad_or_says_nothing(answer, verdict):
    found, why = linkcheck.judge(Answer(url="http://x", **answer))
    assert found is verdict
    assert bool(why) is (verdict is not OK)


def test_a_fragment_has_to_be_on_the_page():
    page = Answer(url="http://x", status=200, kind="text/html", anchors=("a", "user-content-b", "ü"))
    assert [linkcheck.judge(page, fragment=one)[0] for one in ("a", "b", "%C3%BC", "top", ":~:text=x", "c")] == [OK, OK, OK, OK, OK, BROKEN]
    assert linkcheck.judge(Answer(url="http://x", status=200, kind="text/html"), fragment="a")[0] is UNKNOWN
    assert linkcheck.judge(Answer(url="http://x", status=200, kind="application/pdf"), fragment="page=2")[0] is OK


SEEN = {"url": "https://x.example/a", "final": "https://x.example/a", "status": 200, "title": "App", "text": "hello " * 200}


@pytest.mark.parametrize(
    ("seen", "verdict", "why"),
    [
        ({}, OK, ""),
        ({"title": "You are about to visit x"}, UNKNOWN, "a page of ngrok"),
        ({"text": "To access the website, please enter the Tunnel Password"}, UNKNOWN, "a page of localtunnel"),
        ({"text": "The endpoint x.ngrok-free.app is offline. ERR_NGROK_3200"}, BROKEN, "the tunnel behind it is gone"),
        ({"text": "ERR_NGROK_8012 failed to connect", "status": 502}, BROKEN, "its app is not"),
        ({"text": "Error 1033 Argo Tunnel error", "status": 530}, BROKEN, "the tunnel behind it is gone"),
        ({"title": "Just a moment...", "status": 403}, UNKNOWN, "a human first"),
        ({"final": "https://x.example/login?next=/a"}, UNKNOWN, "sign in"),
        ({"final": "https://accounts.x.example/"}, UNKNOWN, "sign in"),
        ({"password": True}, UNKNOWN, "sign in"),
        ({"url": "https://x.example/login", "final": "https://x.example/login", "password": True}, OK, ""),
        ({"title": "404 - Page not found"}, BROKEN, "there is no such page, although"),
        ({"text": "Sorry, this page does not exist."}, BROKEN, "there is no such page, although"),
        ({"text": "What to do when a file is not found. " * 40}, OK, ""),
        ({"errors": ("ReferenceError: x is not defined",)}, BROKEN, "a script of it fails: ReferenceError"),
        ({"console": ("Refused to display 'http://y/' in a frame because it set 'X-Frame-Options' to 'deny'.",)}, BROKEN, "a frame in it is blocked"),
        ({"console": ("Framing 'http://y/' violates the following Content Security Policy directive: frame-ancestors 'none'.",)}, BROKEN, "a frame"),
        ({"console": ("Mixed Content: The page at 'https://x/' was loaded over HTTPS, but requested 'http://y/'.",)}, BROKEN, "TLS"),
        ({"console": ("Failed to load resource: favicon",)}, OK, ""),
        ({"status": 404}, BROKEN, "404"),
        ({"error": "net::ERR_CONNECTION_REFUSED"}, UNKNOWN, "the browser could not open it"),
    ],
)
def test_what_a_browser_sees_is_judged(seen, verdict, why):
    found = linkcheck.judge_sight(Sight(**{**SEEN, **seen}))
    assert found[0] is verdict
    assert why in found[1]


def test_another_app_lacks_the_expected_words():
    assert linkcheck.judge_sight(Sight(**SEEN), expected="Hello")[0] is OK
    assert linkcheck.judge_sight(Sight(**SEEN), expected="Grafana") == (BROKEN, 'another app answers there: "Grafana" is not on its page')


def one(tunnel, origin, *, ended=False):
    return Issued(tunnel=tunnel, generation=1, provider="ssh", origin=origin, since=AT, until=AT if ended else None)


def test_the_ledger_knows_whose_address_it_was_and_what_it_is_now():
    ledger = [one("app", "https://a.example", ended=True), one("app", "https://b.example"), one("web", "https://c.example", ended=True)]
    assert linkcheck.owner("https://a.example/x", ledger) == linkcheck.Owned(tunnel="app", ended=True, new="https://b.example")
    assert linkcheck.owner("https://b.example", ledger) == linkcheck.Owned(tunnel="app", ended=False, new="")
    assert linkcheck.owner("https://c.example#f", ledger) == linkcheck.Owned(tunnel="web", ended=True, new="")
    assert linkcheck.owner("https://a.example.evil.com", ledger) is None
    again = [*ledger, one("web", "https://a.example")]
    assert linkcheck.owner("https://a.example/x", again) == linkcheck.Owned(tunnel="web", ended=False, new="")


def test_what_links_lead_to():
    sites = {
        "https://x.ngrok-free.app/": Site.TUNNEL, "https://y.trycloudflare.com": Site.TUNNEL, "https://colab.research.google.com/x": Site.NOTEBOOK,
        "https://github.com/a/b.ipynb": Site.NOTEBOOK, "https://hub.example/user/a/proxy/8888/": Site.DASHBOARD, "https://example.org/": Site.OTHER,
        "https://a.streamlit.app/": Site.DASHBOARD,
    }  # fmt: skip
    assert {url: linkcheck.site_of(url, None) for url in sites} == sites


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://localhost:8888", True), ("http://127.0.0.1", True), ("http://10.0.0.1/x", True), ("http://[::1]/", True), ("http://myhost/", True),
        ("https://example.com/x", True), ("https://a.example.org", True), ("https://github.com", False), ("http://8.8.8.8", False),
    ],
)  # fmt: skip
def test_private_addresses_are_known(url, private):
    assert linkcheck.is_private(url) is private


def test_a_machine_without_network_judges_nobody():
    dns, fine = Answer(url="a", error="dns"), Answer(url="b", status=200)
    assert linkcheck.without_network([dns, dns])
    assert not linkcheck.without_network([dns, fine])
    assert not linkcheck.without_network([Answer(url="a", status=200, cached=True), dns])


@given(st.text(max_size=300), st.sampled_from(["a.md", "a.html", "a.ipynb"]))
def test_no_text_makes_it_fail(text, path):
    linkscan.links_of(path, text)
    linkscan.anchors_of(path, text)
