"""Days on which a view has it hard: two tabs on one model, a clock that jumps, ten thousand incidents. Nothing freezes, nothing is untrue."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from qcity_nb.client import board
from qcity_nb.decide.board import SLOT_SECONDS
from qcity_nb.store.schema import incidents
from qcity_nb.ui import board_static
from qcity_nb.ui.board_feed import Feed

pytestmark = pytest.mark.real
SECOND = """async () => {
  const host = document.body.appendChild(document.createElement("div"));
  host.id = "second";
  window.stop_second = (await import("./board.js")).default.render({ model, el: host });
}"""
HOUR = 3600.0


@pytest.fixture
def feed(place, engine):
    place.fleet()
    return Feed(board.take(place.store), every=1.0, actor="ada@here")


@pytest.fixture
def tell(feed):
    """Have a page hear of another board."""

    def said(page, seen):
        message, buffers = feed.tick(seen)
        page.evaluate("([message, numbers]) => model.say(message, numbers)", [message, [list(one) for one in buffers]])

    return said


def renamed(feed, text):
    rows = {name: {**row, "text": text} if name == "gh-07" else row for name, row in feed.board.tables["runners"].items()}
    return replace(feed.board, at=feed.board.at + 1, tables={**feed.board.tables, "runners": rows})


def test_two_tabs_see_the_same_and_what_one_asks_is_asked_once(feed, shown, tell):
    page = shown(feed.snapshot())
    page.evaluate(SECOND)
    boards = [page.locator("#host .qcity-board"), page.locator("#second .qcity-board")]
    tell(page, renamed(feed, "has been told"))
    for one in boards:
        assert "has been told" in one.locator('[data-stop="row gh-07"]').inner_text()
    assert page.evaluate("new Set([...document.querySelectorAll('[id]')].map((one) => one.id)).size === document.querySelectorAll('[id]').length")
    boards[0].locator('[data-stop="row gh-07"]').click()
    boards[0].locator(".more button", has_text="Start").click()
    boards[0].locator("button.sure").click()
    [act] = [one for one in page.evaluate("model.sent") if one["kind"] == "act"]
    assert boards[1].locator(".more").count() == 0  # the other one's rows are as they were
    answer = {"kind": "result", "verb": "start", "name": "gh-07", "nonce": act["nonce"], "ok": True, "text": "it is up", "actor": "ada@here"}
    page.evaluate("(message) => model.say(message)", answer)
    for one in boards:
        assert one.locator(".result").inner_text() == "✔ Start gh-07: it is up (asked by ada@here)"
    page.evaluate("stop_second()")
    tell(page, renamed(feed, "goes on"))
    assert page.locator("#second .qcity-board").count() == 0
    assert "goes on" in boards[0].locator('[data-stop="row gh-07"]').inner_text()
    assert page.problems == []


@pytest.mark.parametrize("jump", [-3 * HOUR, 3 * HOUR, -400 * 24 * HOUR], ids=["back", "forward", "a year back"])
def test_a_clock_that_jumps_makes_no_age_negative_and_stops_nothing(feed, shown, tell, jump):
    """The clock is Python's; the page's own is not asked for an age."""
    page = shown(feed.snapshot())
    page.locator("[role=tab][id$=jobs]").click()
    slot = (int(feed.board.at + jump) // SLOT_SECONDS) * SLOT_SECONDS
    tell(page, replace(renamed(feed, "after the jump"), at=feed.board.at + jump, slot=slot))
    assert "after the jump" in page.locator('[data-stop="row gh-07"]').inner_text()
    assert page.locator("footer").inner_text().startswith("live · seq 1")
    ages = page.locator("[data-moment]").all_inner_texts()
    assert ages
    assert not [age for age in ages if "-" in age or "NaN" in age]
    sides = "(all) => all.map((one) => one.getBoundingClientRect()).map((box) => [box.left, box.right])"
    widths, [(left, right), *_] = (page.locator(where).evaluate_all(sides) for where in (".gantt .track .box", ".gantt .track"))
    assert all(left - 1 <= begin <= end <= right + 4 for begin, end in widths)  # a bar of no length is three pixels wide
    tell(page, renamed(feed, "and on"))
    assert "and on" in page.locator('[data-stop="row gh-07"]').inner_text()
    assert page.problems == []


def test_ten_thousand_incidents_are_a_page_of_the_newest(place, engine, shown):
    place.runner("alpha")
    same = {"place": place.store.place, "service": "alpha", "cause": "x" * 5000, "evidence": ("y" * 5000,), "done": (), "proof": (), "awaits": ()}
    rows = [
        {
            **same,
            "title": f"incident {number}",
            "state": "open" if number % 2 else "healthy",
            "opened": place.at - timedelta(seconds=20_000 - number),
            "closed": None if number % 2 else place.at,
        }
        for number in range(10_000)
    ]
    with place.store.write() as connection:
        connection.execute(incidents.insert(), rows)
    seen = board.take(place.store)
    assert len(json.dumps(Feed(seen, every=1.0, actor="").snapshot())) < 150_000
    assert "incident 9999" in board_static.page(seen)
    page = shown(Feed(seen, every=1.0, actor="").snapshot())
    assert int(re.search(r"incidents open\s+(\d+)", page.locator(".figures").inner_text())[1]) == 5000
    shown_ones = page.locator(".panel .item").all_inner_texts()
    assert 0 < len(shown_ones) <= 2 * board.INCIDENTS
    assert any("incident 9999" in one for one in shown_ones)
    assert page.problems == []
