"""The board's JavaScript alone, in Chromium, over a model that only remembers what it is told."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from qcity_nb.client import board
from qcity_nb.client.tables import COLOURS
from qcity_nb.decide.board import SLOTS
from qcity_nb.ui.board_feed import Feed

pytestmark = pytest.mark.real

CONTRAST = """() => {
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const under = (node) => {
    for (; node; node = node.parentElement) { const c = rgb(getComputedStyle(node).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
  };
  const found = [];
  for (const node of document.querySelectorAll(".qcity-board *")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!own || !node.getClientRects().length || node.closest(".spoken, svg")) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(under(node))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), node.className + ": " + node.textContent.slice(0, 30)]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""


@pytest.fixture
def feed(place, engine):
    place.fleet()
    return Feed(board.take(place.store), every=1.0, actor="ada@here")


def tell(page, feed, seen):
    """What a tick says of another board, as the page's model hears it."""
    message, buffers = feed.tick(seen)
    page.evaluate("([message, numbers]) => model.say(message, numbers)", [message, [list(one) for one in buffers]])


def changed(old, **fields):
    """A board with other fields in rows: runner's name -> fields."""
    rows = {name: {**row, **fields.get(name, {})} for name, row in old.tables["runners"].items()}
    return replace(old, at=old.at + 1, tables={**old.tables, "runners": rows})


def row(page, name):
    return page.locator(f'[data-stop="row {name}"]')


def focused(page):
    return page.evaluate("document.activeElement.dataset.stop || document.activeElement.dataset.focus || document.activeElement.tagName")


def sent(page, kind):
    return [one for one in page.evaluate("model.sent") if one["kind"] == kind]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1100, 600, 360])
def test_it_fits_and_can_be_read(feed, shown, pictures, dark, width):
    """D7: no overflow, contrast of at least 4.5 for every text; wide, narrow and on a phone, by day and by night; its panels, too."""
    page = shown(feed.snapshot(), width=width, height=1000, dark=dark)
    assert page.locator(".qcity-board").get_attribute("data-theme") == ("dark" if dark else "light")
    for panel in ("incidents", "jobs", "notebooks", "tunnels"):
        page.locator(f"[role=tab][id$={panel}]").click()
        if panel == "jobs":
            row(page, "gh-07").click()
            page.locator(".more button", has_text="Start").click()
        page.screenshot(path=pictures / f"board-{width}-{'dark' if dark else 'light'}-{panel}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), panel
        worst = page.evaluate(CONTRAST)[0]
        assert worst[0] >= 4.5, worst
    assert not page.problems


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_to_complain_of(feed, shown, dark):
    """axe-core's rules of WCAG 2.2 A and AA and its best practices, on every panel, with a row and a question open."""
    axe = os.environ.get("QCITY_AXE", "")
    if not axe:
        assert os.environ.get("CI") != "true", "QCITY_AXE is not set: it is the folder of npm's axe-core"
        pytest.skip("QCITY_AXE is not set: npm install axe-core, then name its folder")
    page = shown(feed.snapshot(), dark=dark)
    page.add_script_tag(content=(Path(axe) / "node_modules" / "axe-core" / "axe.min.js").read_text())
    row(page, "gh-07").click()
    page.locator(".more button", has_text="Start").click()
    for panel in ("incidents", "jobs", "notebooks", "tunnels", "audit"):
        page.locator(f"[role=tab][id$={panel}]").click()
        rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = page.evaluate("(rules) => axe.run('.qcity-board', { runOnly: rules })", rules)
        assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found["violations"]] == [], panel
        assert len(found["passes"]) > 10


def test_a_notebook_that_runs_shows_its_cell_its_share_and_its_last_words(feed, shown):
    page = shown(feed.snapshot())
    page.locator("[role=tab][id$=notebooks]").click()
    said = page.locator("[role=tabpanel]").inner_text()
    assert 'cell 3 "learn", 40%' in said
    assert "epoch 2 <b>loss 0.3</b>" in said
    assert "epoch 1" not in said


def test_what_needs_somebody_comes_first_and_the_rest_is_folded(feed, shown):
    page = shown(feed.snapshot())
    assert page.locator(".headline").inner_text().startswith("✖ 1 of 20 needs you: gh-07 is quarantined")
    assert [one.get_attribute("data-stop") for one in page.locator(".stop").all()] == [
        "row gh-07", "row gl-03", "row gh-04", "row linux-05", "row linux-06", "fold well", "fold off",
    ]  # fmt: skip
    assert "flapping" in row(page, "gh-04").inner_text()
    assert page.locator(".fold").all_inner_texts() == ["▸ ● 14 well", "▸ ○ 1 stopped or standing by"]
    page.locator(".fold").first.click()
    assert page.locator(".row").count() == 19
    label = row(page, "gh-07").locator("svg").get_attribute("aria-label")
    assert label.startswith("last hour: ")
    assert "11 down" in label or "12 down" in label


def test_names_and_logs_are_shown_and_never_obeyed(feed, shown):
    page = shown(feed.snapshot())
    page.locator(".fold").first.click()
    names = page.locator(".name").all_inner_texts()
    assert any(name.startswith('<script>document.title="hacked"</script>') for name in names)
    bad = {"kind": "result", "verb": "start", "name": "<b id=x>", "ok": False, "text": "<img src=x onerror=document.title=1>"}
    page.evaluate("(message) => model.say(message)", bad)
    assert page.locator(".result").inner_text() == "✖ Start <b id=x>: <img src=x onerror=document.title=1>"
    row(page, "gh-07").click()
    page.locator(".more button", has_text="Show log").click()
    assert sent(page, "log") == [{"kind": "log", "name": "gh-07"}]
    page.evaluate("""() => { model.say({ kind: "log", name: "gh-07", text: "<script>document.title='hacked'</script>" }) }""")
    assert page.locator(".more pre").inner_text() == "<script>document.title='hacked'</script>"
    assert page.title() == ""
    assert page.locator("#host script, #host img, #host #x").count() == 0


def test_ticks_change_what_changed_and_nothing_else(feed, shown):
    """The row's node stays, and so does the focus on it."""
    page = shown(feed.snapshot())
    page.evaluate("""() => { window.before = document.querySelector('[data-stop="row gl-03"]'); before.focus(); }""")
    tell(page, feed, changed(feed.board, **{"gl-03": {"word": "attention", "level": "warn", "glyph": "▲", "rank": 3, "text": "is starting"}}))
    assert row(page, "gl-03").inner_text().startswith("▲\ngl-03\nattention")
    assert page.evaluate("""before === document.querySelector('[data-stop="row gl-03"]') && document.activeElement === before""")
    tell(page, feed, changed(feed.board, **{"gh-04": {"level": "bad", "glyph": "✖", "word": "bad", "rank": 0}}))  # it moves up, past the focus
    assert page.locator(".row").first.get_attribute("data-stop") == "row gh-04"
    assert focused(page) == "row gl-03"
    rows = {name: one for name, one in feed.board.tables["runners"].items() if name != "gl-03"}
    beats = {name: bytes([1] * SLOTS) for name in rows}
    seen = {name: int(feed.board.at) - 200 for name in rows}
    tell(page, feed, replace(feed.board, tables={**feed.board.tables, "runners": rows}, beats=beats, seen=seen))
    assert row(page, "gl-03").count() == 0
    assert "60 down" in row(page, "gh-07").locator("svg").get_attribute("aria-label")
    assert "3 min ago" in row(page, "gh-07").inner_text()
    assert sent(page, "resync") == []


def test_a_gap_asks_once_and_a_snapshot_heals_it(feed, shown):
    page = shown(feed.snapshot())
    feed.tick(feed.board)  # lost
    for count in range(5):
        tell(page, feed, changed(feed.board, **{"gh-07": {"text": f"lost {count}"}}))
    assert "lost" not in row(page, "gh-07").inner_text()
    assert len(sent(page, "resync")) == 1
    page.evaluate("(snapshot) => model.set(snapshot)", feed.snapshot())
    assert "lost 4" in row(page, "gh-07").inner_text()
    tell(page, feed, changed(feed.board, **{"gh-07": {"text": "goes on"}}))
    assert "goes on" in row(page, "gh-07").inner_text()
    assert sent(page, "hello") == [{"kind": "hello", "seq": 0}]


def test_silence_turns_to_stale_by_itself_and_back(feed, shown, pictures):
    """The kernel is gone: nobody says so. And the other way round: Python says that nothing can be read."""
    feed.every = 0.3
    page = shown(feed.snapshot())
    assert page.locator("footer").inner_text().startswith("live · seq 0")
    page.wait_for_selector(".qcity-board.stale", timeout=4000)
    page.wait_for_function("document.querySelector('footer').textContent.startsWith('STALE 00:02')", timeout=5000)
    page.screenshot(path=pictures / "board-stale.png", full_page=True)
    assert "nothing is heard from the kernel" in page.locator("footer").inner_text()
    assert sent(page, "resync")
    tell(page, feed, changed(feed.board))
    assert page.locator("footer").inner_text().startswith("live · seq 1")
    page.evaluate("(message) => model.say(message)", feed.silent("the disk below the store is full"))
    assert page.locator("footer").inner_text().startswith("STALE 00:00")
    assert page.locator("footer").inner_text().endswith("the disk below the store is full")


def test_everything_by_keyboard(feed, shown):
    """D8: move, open, filter, go back, act with its second step, and leave, without a mouse; nothing gets through to the notebook."""
    page = shown(feed.snapshot())
    page.evaluate("() => { window.leaked = []; document.addEventListener('keydown', (event) => leaked.push(event.key)); }")
    keys = page.keyboard
    keys.press("Tab")
    assert focused(page) == "INPUT"
    keys.press("Tab")
    assert focused(page) == "SELECT"
    keys.press("Tab")
    assert focused(page) == "row gh-07"
    for key, where in (("j", "row gl-03"), ("ArrowDown", "row gh-04"), ("k", "row gl-03"), ("End", "fold off"), ("Home", "row gh-07")):
        keys.press(key)
        assert focused(page) == where
    keys.press("Enter")
    assert row(page, "gh-07").get_attribute("aria-expanded") == "true"
    keys.press("s")
    assert focused(page) == "sure start gh-07"
    assert sent(page, "act") == []
    keys.press("Escape")
    assert focused(page) == "row gh-07"
    assert page.locator("button.sure").count() == 0
    keys.press("s")
    keys.press("Enter")
    [act] = sent(page, "act")
    assert (act["verb"], act["name"], act["confirmed"], bool(act["nonce"])) == ("start", "gh-07", True, True)
    keys.press("Escape")
    assert row(page, "gh-07").get_attribute("aria-expanded") == "false"
    keys.press("/")
    keys.type("linux-1")
    assert page.locator(".row").count() == 10
    assert page.locator(".bar .soft").first.inner_text() == "10 of 20"
    keys.press("ArrowDown")
    assert focused(page) == "fold well"
    keys.press("Enter")
    assert page.locator(".row").count() == 0
    keys.press("Escape")
    assert page.locator(".row").count() == 5
    page.locator("[role=tab]").first.focus()
    keys.press("ArrowRight")
    assert page.locator("[aria-selected=true]").inner_text() == "Jobs (2)"
    assert page.evaluate("leaked") == ["Tab"]  # the first one, before the board had the focus


def test_an_act_takes_two_steps_and_says_what_came_of_it(feed, shown):
    page = shown(feed.snapshot())
    page.locator("[role=tab][id$=jobs]").click()
    page.locator(".item button", has_text="Re-run").first.click()
    assert sent(page, "act") == []
    page.locator(".item button", has_text="No").click()
    assert page.locator("button.sure").count() == 0
    page.locator(".item button", has_text="Re-run").first.click()
    tell(page, feed, changed(feed.board))  # a tick between the two steps takes nothing away
    page.locator("button.sure").click()
    [act] = sent(page, "act")
    assert act["verb"] == "rerun"
    assert "asked …" in page.locator(".panel").inner_text()
    answer = {**act, "kind": "result", "ok": True, "text": "1 job queued: 99", "actor": "ada@here"}
    page.evaluate("(answer) => model.say(answer)", answer)
    assert page.locator(".result").inner_text() == f"✔ Re-run {act['name']}: 1 job queued: 99 (asked by ada@here)"
    assert page.locator(".spoken").inner_text() == page.locator(".result").inner_text()
    assert "asked …" not in page.locator(".panel").inner_text()
    assert page.locator("[aria-live]").count() == 1


@pytest.mark.parametrize(("host", "dark"), [("data-jp-theme-light", True), ("", True), ("", False)])
def test_it_follows_the_theme_of_its_host(feed, shown, host, dark):
    page = shown(feed.snapshot(), host=host, dark=dark)
    theme = page.locator(".qcity-board")
    assert theme.get_attribute("data-theme") == ("dark" if dark else "light")
    page.evaluate("document.body.className = 'vscode-dark'; document.body.removeAttribute('data-jp-theme-light')")
    page.wait_for_selector('.qcity-board[data-theme="dark"]')
    page.evaluate("document.documentElement.setAttribute('theme', 'light')")
    page.wait_for_selector('.qcity-board[data-theme="light"]')


def test_a_pause_is_asked_with_a_note_and_a_time_and_typing_is_not_disturbed(feed, shown, pictures):
    page = shown(feed.snapshot())
    row(page, "linux-05").click()
    page.keyboard.press("p")
    assert focused(page) == "note pause linux-05"
    page.keyboard.type("the disk is ")
    tell(page, feed, changed(feed.board, **{"linux-05": {"text": "is running 1 job", "day": "98.1 %"}}))  # all of it is drawn anew
    page.keyboard.type("swapped")
    assert page.locator('[data-focus="note pause linux-05"]').input_value() == "the disk is swapped"
    page.keyboard.press("Tab")
    page.keyboard.type("2 h")
    page.screenshot(path=pictures / "board-pause.png", full_page=True)
    page.keyboard.press("Enter")
    (act,) = sent(page, "act")
    assert (act["verb"], act["name"], act["note"], act["time"], act["confirmed"]) == ("pause", "linux-05", "the disk is swapped", "2 h", True)
    page.keyboard.press("p")
    page.keyboard.press("Escape")
    assert len(sent(page, "act")) == 1


def test_the_audit_is_asked_for_when_somebody_looks_and_hidden_from_who_may_not(feed, shown, pictures):
    page = shown(feed.snapshot())
    assert sent(page, "audit") == []
    page.locator("[role=tab][id$=audit]").click()
    assert len(sent(page, "audit")) == 1
    entry = {"level": "warn", "glyph": "▲", "word": "refused", "actor": "ada@box", "what": "runner.stop <b>", "why": "no"}
    page.evaluate("(rows) => model.say({ kind: 'audit', rows })", [{**entry, "begun": feed.board.at - 60}])
    assert "refused runner.stop <b> by ada@box" in page.locator(".panel").inner_text()
    page.screenshot(path=pictures / "board-audit.png", full_page=True)
    page = shown({**feed.snapshot(), "may": ["restart"]})
    assert not page.locator("[role=tab][id$=audit]").is_visible()
    page.locator("[role=tab][id$=tunnels]").click()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id").endswith("incidents")


def test_a_button_stays_the_one_that_it_was_while_facts_change(feed, shown):
    """A click is a press and a release on one element: a tick in between must not put another one there."""
    page = shown(feed.snapshot())
    row(page, "linux-05").click()
    button = page.locator(".more button", has_text="Restart")
    box = button.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    tell(page, feed, changed(feed.board, **{"linux-05": {"text": "is running 2 jobs", "day": "97.0 %"}}))
    page.mouse.up()
    assert focused(page) == "sure restart linux-05"
    assert "is running 2 jobs" in page.locator(".more .facts").inner_text()
    page.locator("[role=tab][id$=jobs]").click()
    button = page.locator(".panel button", has_text="Re-run").first
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    rows = {**feed.board.tables["jobs"], "999": {**feed.board.tables["jobs"]["1"], "name": "new"}}
    tell(page, feed, replace(feed.board, at=feed.board.at + 1, tables={**feed.board.tables, "jobs": rows}))
    page.mouse.up()
    assert focused(page).startswith("sure rerun ")
    page.wait_for_selector(".panel b:has-text('999 new')")


def test_nothing_moves_below_a_press_and_a_press_that_nobody_ends_is_over_by_itself(feed, shown):
    """STALE has a line of its own, which moves everything; a release may get lost in another frame."""
    feed.every = 0.3
    page = shown(feed.snapshot())
    row(page, "linux-05").click()
    page.evaluate("() => { document.querySelector('.more button').dispatchEvent(new PointerEvent('pointerdown', { bubbles: true })); }")
    page.wait_for_timeout(1500)  # silence for longer than STALE waits
    assert not page.locator(".old").is_visible()
    page.wait_for_selector(".old:visible", timeout=10_000)
    tell(page, feed, changed(feed.board, **{"linux-05": {"text": "is running 2 jobs"}}))
    assert "is running 2 jobs" in page.locator(".more .facts").inner_text()
    assert not page.locator(".old").is_visible()


def test_runners_can_be_ordered_otherwise(feed, shown, pictures):
    page = shown(feed.snapshot())

    def names() -> list[str]:
        return [one.split(" ", 1)[1] for one in page.evaluate("[...document.querySelectorAll('.row')].map((one) => one.dataset.stop)")]

    assert names()[0] == "gh-07"
    page.get_by_label("Order of runners").select_option("by name")
    assert names() == sorted(feed.board.tables["runners"])
    assert page.locator(".fold").count() == 0
    page.get_by_label("Order of runners").select_option("least up first")
    shares = [page.locator(f'[data-stop="row {name}"] .day').inner_text() for name in names()[:3]]
    assert [float(share.split()[0]) for share in shares] == sorted(float(share.split()[0]) for share in shares)
    page.get_by_label("Order of runners").select_option("flapping first")
    assert names()[0] == "gh-04"
    page.screenshot(path=pictures / "board-sorted.png", full_page=True)
    page.get_by_label("Order of runners").select_option("worst first")
    assert names()[0] == "gh-07"
    assert page.locator(".fold").count() == 2


def test_its_end_leaves_nothing(feed, shown):
    page = shown(feed.snapshot())
    page.evaluate("stop()")
    assert page.evaluate("model.subs.length") == 0
    assert page.evaluate("document.getElementById('host').childNodes.length") == 0
    assert not page.problems


def test_two_hundred_runners_are_drawn_again_as_they_were(place, engine, shown):
    place.fleet(200)
    page = shown(Feed(board.take(place.store), every=1.0, actor="").snapshot())
    page.locator(".fold").first.click()
    took = page.evaluate("""async () => {
      const begin = performance.now(), el = document.getElementById("host");
      window.stop();
      (await import("./board.js")).default.render({ model, el });
      document.body.offsetHeight;
      return performance.now() - begin;
    }""")
    print(f"200 runners are drawn in {took:.0f} ms")
    assert page.locator(".fold").first.inner_text() == "▸ ● 194 well"


def test_the_sheet_uses_the_colours_of_the_tables():
    css = (board_static() / "board.css").read_text()
    assert all(colour in css for colour in COLOURS.values())


def board_static():
    from importlib import resources

    return resources.files("qcity_nb.ui") / "static"
