"""The served page in Chromium: live, by role, by day and by night, narrow, without a script, and on bad days."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path

import pytest

from qcity_nb.client import served
from qcity_nb.model.service import Desired, Phase

pytestmark = [pytest.mark.real]

_spec = importlib.util.spec_from_file_location("ui_page", Path(__file__).parents[1] / "ui" / "test_page.py")
of_board = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(of_board)


@pytest.fixture
def browse(chromium):
    """Opens an address in a browser of its own; what the page could not do is in `problems`."""
    contexts = []

    def open_(url: str, *, width: int = 1100, dark: bool = False, script: bool = True):
        theme = "dark" if dark else "light"
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=script)
        contexts.append(context)
        opened = context.new_page()
        opened.problems = []
        opened.on("pageerror", lambda error: opened.problems.append(str(error)))
        opened.on("console", lambda said: opened.problems.append(said.text) if said.type == "error" else None)
        opened.goto(url)
        return opened

    yield open_
    for context in contexts:
        context.close()


def link(page, role="operator", name="ada"):
    return served.link(page.url, page.token(role, name=name))


def row(opened, name):
    return opened.locator(f'[data-stop="row {name}"]')


def until(opened, holds, seconds=60):
    """Until an expression is true; the page's policy forbids playwright's own way, which evaluates a string inside the page."""
    for _ in range(seconds * 10):
        if opened.evaluate(holds):
            return
        opened.wait_for_timeout(100)
    raise AssertionError(holds)


def test_a_link_signs_in_and_the_page_is_live(page, place, engine, browse, pictures):
    place.fleet()
    opened = browse(link(page))
    opened.wait_for_selector(".qcity-board .row")
    assert opened.url == f"{page.url}/"  # no token in the address, nor behind the button that goes back
    until(opened, "Number(document.querySelector('.qcity-board footer').textContent.match(/seq (\\d+)/)[1]) > 2")
    place.change("gl-03", phase=Phase.RUNNING, desired=Desired.UP, failures=0)
    until(opened, """!document.querySelector('[data-stop="row gl-03"]')?.textContent.includes('starts again')""")
    assert opened.locator(".qcity-board.stale").count() == 0
    opened.screenshot(path=pictures / "served-live.png", full_page=True)
    assert "Signed in as operator, ada" in opened.locator(".who").inner_text()
    assert opened.problems == []
    opened.go_back()
    assert "#" not in opened.url


def test_an_operator_acts_in_two_steps_and_sees_what_came_of_it(page, place, engine, browse, pictures):
    place.runner("a")
    engine.answers = {
        "runner.stop": lambda command: place.change("a", phase=Phase.STOPPED, desired=Desired.DOWN) or ("done", {}),
        "runner.start": lambda command: place.change("a", phase=Phase.RUNNING, desired=Desired.UP) or ("done", {}),
    }
    path = place.store.home.service("a") / "log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<script>document.title='hacked'</script>\n")
    opened = browse(link(page))
    row(opened, "a").click()
    opened.keyboard.press("r")
    opened.screenshot(path=pictures / "served-confirm.png")
    assert [command.verb for command in engine.seen] == []
    opened.locator("button.sure").click()
    opened.wait_for_selector(".result:has-text('Restart a: it was stopped and is up again (asked by web:operator:ada)')")
    assert [(command.actor, command.verb) for command in engine.seen] == [("web:operator:ada", "runner.stop"), ("web:operator:ada", "runner.start")]
    opened.locator("text=Show log").click()
    opened.wait_for_selector(".more pre:has-text(\"document.title='hacked'\")")
    assert opened.title() == "QCity"
    assert opened.problems == []


def test_a_viewer_sees_that_acts_are_locked(page, place, engine, browse, pictures):
    place.fleet()
    opened = browse(link(page, "viewer"))
    row(opened, "gh-07").click()
    buttons = opened.locator(".more button")
    assert buttons.all_inner_texts() == ["Start", "Show log"]
    assert all(button.is_disabled() for button in buttons.all())
    assert "your role may look, not act" in opened.locator(".more").inner_text()
    row(opened, "gh-07").focus()
    opened.keyboard.press("s")
    assert opened.locator("button.sure").count() == 0
    opened.locator("[role=tab][id$=jobs]").click()
    assert all(button.is_disabled() for button in opened.locator(".item.job button").all())
    opened.screenshot(path=pictures / "served-viewer.png", full_page=True)
    forced = """() => fetch("act", { method: "POST", headers: { "x-qcity-csrf": document.getElementById("board").dataset.csrf },
      body: JSON.stringify({ verb: "start", name: "gh-07", nonce: "x", confirmed: true }) }).then((answer) => answer.status)"""
    assert opened.evaluate(forced) == 403
    assert engine.seen == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_it_fits_and_can_be_read(page, place, engine, browse, pictures, dark, width):
    place.fleet()
    opened = browse(link(page, "viewer"), width=width, dark=dark)
    row(opened, "gh-07").click()
    opened.locator("[role=tab][id$=jobs]").click()
    opened.screenshot(path=pictures / f"served-{width}-{'dark' if dark else 'light'}.png", full_page=True)
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    worst = opened.evaluate(of_board.CONTRAST.replace(".qcity-board *", "body *"))[0]
    assert worst[0] >= 4.5, worst
    assert opened.locator(".lane .box").first.evaluate("(box) => box.getBoundingClientRect().width") >= 3  # the policy lets the board place them
    assert opened.problems == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_without_a_script_there_is_a_copy_and_a_way_in(page, place, engine, browse, pictures, dark):
    place.fleet()
    opened = browse(f"{page.url}/", width=400, dark=dark, script=False)
    opened.screenshot(path=pictures / f"served-login-{'dark' if dark else 'light'}.png")
    opened.fill("#token", page.token("viewer"))
    opened.locator("button").click()
    opened.wait_for_selector(".copy")
    assert "gh-07 is quarantined" in opened.locator(".copy").inner_text()
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    opened.set_viewport_size({"width": 1000, "height": 900})
    opened.screenshot(path=pictures / f"served-copy-{'dark' if dark else 'light'}.png", full_page=True)
    box = opened.locator(".copy td span[title*='min up'] span").first
    assert box.evaluate("(one) => getComputedStyle(one).height") in ("1px", "4px", "9px", "14px")  # its styles came through the policy
    opened.locator("text=Sign out").click()
    opened.wait_for_selector("#token")


def test_a_link_that_is_used_up_says_so(page, browse, pictures):
    used = page.token("viewer")
    page.client().post("/login", json={"token": used})
    opened = browse(served.link(page.url, used))
    opened.wait_for_selector("#said:has-text('That link is used up')")
    opened.screenshot(path=pictures / "served-denied.png")
    assert used not in opened.url


def test_a_server_that_ends_is_stale_and_a_session_that_ends_is_said(page, serve, place, engine, browse, pictures):
    place.runner("a")
    opened, other = browse(link(page)), serve()
    opened.wait_for_selector(".qcity-board:not(.stale) .row")
    closing = threading.Thread(target=page.close)
    closing.start()
    opened.wait_for_selector(".qcity-board.stale")
    assert "nothing is heard from the server" in opened.locator(".qcity-board footer").inner_text()
    closing.join(15)
    second = browse(link(other))
    second.wait_for_selector(".qcity-board:not(.stale) .row")
    served.revoke(place.store.home, other.port)
    second.wait_for_selector(".old:has-text('you were signed out')", timeout=20_000)
    second.screenshot(path=pictures / "served-signed-out.png")


def test_an_engine_that_died_and_a_place_that_vanished_are_said(page, place, engine, browse, pictures):
    place.fleet()
    opened = browse(link(page))
    opened.wait_for_selector(".qcity-board:not(.stale) .row")
    engine.die()
    opened.wait_for_selector(".headline:has-text('The engine died: its last sign of life was')", timeout=15_000)
    opened.screenshot(path=pictures / "served-engine-dead.png", full_page=True)
    moved = {path: path.with_name(f"away-{path.name}") for path in page.home.glob("qcity.db*")}
    for path, away in moved.items():
        path.rename(away)
    opened.wait_for_selector(".old:has-text('the store of this place is gone')", timeout=15_000)
    for path, away in moved.items():
        away.rename(path)
    opened.wait_for_selector(".qcity-board:not(.stale)", timeout=15_000)


def test_a_reader_that_missed_something_comes_back_right(page, place, engine, browse):
    """The network of one visitor is away for a while: the page goes on from what it knows, or from a snapshot."""
    place.runner("a")
    opened = browse(link(page))
    opened.wait_for_selector(".qcity-board:not(.stale) .row")
    opened.context.set_offline(True)
    opened.evaluate("window.dispatchEvent(new Event('offline'))")
    place.change("a", phase=Phase.QUARANTINED, reason="its disk is full")
    opened.context.set_offline(False)
    opened.wait_for_selector(".headline:has-text('its disk is full')", timeout=20_000)
    opened.wait_for_selector(".qcity-board:not(.stale)", timeout=20_000)
