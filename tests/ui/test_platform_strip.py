"""The strip of platforms: what they say of themselves, in the live view and in the static one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from qcity_nb.client import board
from qcity_nb.decide.platforms import FEEDS
from qcity_nb.model.platform import Feed as StatusPage
from qcity_nb.model.platform import PlatformView, Says
from qcity_nb.store import platforms
from qcity_nb.ui.board_feed import Feed

pytestmark = pytest.mark.real
NASTY = '<script>document.title="hacked"</script>'


@pytest.fixture
def say(place):
    """Have a platform say something now."""

    def put(name, says, text="", feed=None):
        now = datetime.now(timezone.utc)
        with place.store.write() as connection:
            platforms.put(connection, place.store.place, name, feed or FEEDS[name], PlatformView(says=says, text=text, heard=now, asked=now))

    return put


def chips(page):
    return page.locator(".platforms .platform").all_inner_texts()


def test_it_shows_what_is_fine_in_a_word_and_what_is_not_in_words_and_only_when_there_is_something(place, engine, say, shown, pictures):
    place.fleet()
    feed = Feed(board.take(place.store), every=1.0, actor="ada@here")
    page = shown(feed.snapshot())
    assert not page.locator(".platforms").is_visible()
    say("github", Says.MAJOR, "Actions: major outage")
    say("huggingface", Says.FINE)
    nasty = StatusPage(title=NASTY, url="https://x.example", page="javascript:alert(1)", family=FEEDS["vercel"].family)
    say("ours", Says.MINOR, NASTY, nasty)
    message, buffers = feed.tick(replace(board.take(place.store), at=feed.board.at + 1))
    page.evaluate("([message, numbers]) => model.say(message, numbers)", [message, [list(one) for one in buffers]])
    assert chips(page) == [
        "✖ GitHub says it has a major fault: Actions: major outage",
        "● Hugging Face fine",
        f"▲ {NASTY} says it has a minor fault: {NASTY}",
    ]
    assert page.locator(".platforms a").evaluate_all("(all) => all.map((one) => one.href)") == [
        "https://www.githubstatus.com/",
        "https://status.huggingface.co/",
    ]
    assert page.title() != "hacked"
    assert page.problems == []
    assert "GitHub" not in page.locator("header").inner_text()  # said once
    page.screenshot(path=pictures / "board-platforms.png", full_page=True)
    page.set_viewport_size({"width": 360, "height": 900})
    page.screenshot(path=pictures / "board-platforms-360.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_its_colours_can_be_read(place, engine, say, shown):
    from .test_page import CONTRAST

    place.fleet()
    for name, says in zip(("github", "gitlab", "vercel", "ngrok", "huggingface"), Says, strict=True):
        say(name, says, "x")
    for dark in (False, True):
        page = shown(Feed(board.take(place.store), every=1.0, actor="ada@here").snapshot(), dark=dark)
        worst = page.evaluate(CONTRAST)[0]
        assert worst[0] >= 4.5, worst
