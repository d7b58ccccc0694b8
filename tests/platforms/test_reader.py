"""What a page answers comes to the engine as it is, and a page that misbehaves is a sentence."""

from __future__ import annotations

import threading

import pytest

from qcity_nb.kinds.platforms import reader
from qcity_nb.model.platform import Family, Feed
from qcity_nb.testing.real_engine import until


@pytest.fixture
def ask(vendor):
    """Ask once and wait for the answer."""
    rung = threading.Event()
    made = reader.Reader(rung.set)

    def once(url=""):
        rung.clear()
        made.begin("x", Feed(title="X", url=url or vendor.url, family=Family.STATUSPAGE))
        assert rung.wait(30)
        [(name, where, *answer)] = made.answers()
        assert (name, where) == ("x", url or vendor.url)
        return tuple(answer)

    once.reader = made
    return once


def test_a_page_that_has_not_changed_is_not_sent_again_and_no_secret_goes_there(vendor, ask, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_secret")
    first, second = ask(), ask()
    assert first == second == (200, vendor.body)
    assert vendor.free == 1
    vendor.says(components=[{"name": "CI", "status": "major_outage"}])
    assert ask() == (200, vendor.body)
    assert "authorization" not in vendor.asked[-1]
    assert "cookie" not in vendor.asked[-1]
    vendor.tagged = False
    assert ask() == (200, vendor.body)


def test_what_is_no_answer_is_said_in_words(vendor, ask, monkeypatch):
    vendor.status = 503
    assert ask()[0] == ask()[0] == 503  # an ETag of a page that fails is none of what it says
    vendor.status = 200
    vendor.body = b" " * (reader.LARGEST + 1)
    assert ask() == (0, b"its page is longer than 4 MB")
    monkeypatch.setattr(reader, "TIMEOUT", (1.0, 0.2))
    vendor.pause = 1.0
    assert ask() == (0, b"it did not answer in time")
    assert ask("http://127.0.0.1:1/") == (0, b"it cannot be reached")
    assert ask("http://[broken/")[0] == 0


def test_what_nobody_foresaw_is_an_answer_too_and_it_may_be_asked_again(vendor, ask, monkeypatch):
    raised = []
    monkeypatch.setattr("threading.excepthook", raised.append)
    monkeypatch.setattr(reader.Reader, "_read", lambda *_: {}["nothing"])
    assert ask() == ask() == (0, b"it could not be asked")
    until(lambda: len(raised) == 2)
    assert raised[0].exc_type is KeyError


def test_one_that_is_being_asked_is_not_asked_again(vendor, ask):
    vendor.pause = 0.5
    feed = Feed(title="X", url=vendor.url, family=Family.STATUSPAGE)
    for _ in range(5):
        ask.reader.begin("x", feed)
    assert until(ask.reader.answers)[0][2] == 200
    assert len(vendor.asked) == 1
