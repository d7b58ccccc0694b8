"""The fallback page in a real Chromium: what a reader sees, and that nothing is asked of anybody but the host of the page."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from qcity_nb.kinds.followers import carry
from qcity_nb.model.home import Home
from qcity_nb.model.tunnel import Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is in the extra browser")
pytest.importorskip("cryptography", reason="it signs the pointers")
pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # playwright's event loop
    pytest.mark.skipif(not shutil.which("chromium"), reason="there is no chromium here: apt-get install chromium"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
URL = "https://quiet-river-1234.tunnel.example"
LOW_DATA = ("mirror.campus.example", "https://lite.example.org/a-rather-long-path/that-has-to-break-somewhere")
STATE = "#card[data-state=%s]"  # a selector: the page's policy lets nobody evaluate text, a waiting test neither


class Web:
    """A folder behind a web server, a resolver for DNS-over-HTTPS at /dns-query, and a log of what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked, self.texts = folder, [], []
        web = self

        class Answer(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(folder))

            def do_GET(self):
                web.asked.append(self.path)
                if not self.path.startswith("/dns-query"):
                    super().do_GET()
                    return
                body = json.dumps({"Status": 0, "Answer": [{"type": 16, "TTL": 60, "data": text} for text in web.texts]}).encode()
                self.send_response(200)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.send_header("Content-Type", "application/dns-json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=shutil.which("chromium"), headless=True, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def web(tmp_path):
    (tmp_path / "public").mkdir()
    made = Web(tmp_path / "public")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def published(web, tmp_path):
    """Publishes what a tunnel did, each step of it (address, generation, seconds ago), and gives the last outcome."""

    def publish(*steps, low_data=(), **options):
        page = Page(kind="folder", target=str(web.folder), options={"contact": "ops@example.org", **options}, low_data=low_data)
        last = None
        for url, generation, ago in steps:
            now = datetime.now(timezone.utc) - timedelta(seconds=ago)
            last = carry(page, tunnel="app", url=url, generation=generation, home=Home(tmp_path / "home"), last=last, now=now)
            assert last.ok, last
        return last

    return publish


@pytest.fixture
def see(browser, web):
    """Opens the page and waits until it has made up its mind; checks that nothing went wrong and nobody else was asked."""
    contexts = []

    def look(*, wait="live", before="", **kind):
        context = browser.new_context(**{"viewport": {"width": 900, "height": 760}, **kind})
        contexts.append(context)
        page = context.new_page()
        page.foreign, page.complaints = [], []
        context.on("request", lambda request: urlsplit(request.url).port != web.server.server_port and page.foreign.append(request.url))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda said: "Content Security" in said.text and page.complaints.append(said.text))
        if before:
            page.add_init_script(before)
        page.goto(web.url)
        if wait and kind.get("java_script_enabled", True):
            page.wait_for_selector(STATE % wait, timeout=15_000)
        assert page.complaints == []
        assert page.foreign == []
        return page

    yield look
    for context in contexts:
        context.close()


def test_a_live_address_is_one_click_away(see, web, published):
    published((URL, 17, 4000), (URL, 17, 10))
    page = see()
    assert "Live since" in page.inner_text("#what")
    assert "(1 hour)" in page.inner_text("#what")
    assert page.get_attribute("#go", "href") == f"{URL}/" or page.get_attribute("#go", "href") == URL
    assert page.inner_text("#go") == "Go to quiet-river-1234.tunnel.example"
    assert web.asked == ["/", "/pointer.json"]
    assert page.url.startswith(web.url), "nobody is sent anywhere by itself"


def test_what_has_expired_or_was_closed_is_offline(see, published):
    published((URL, 17, 1000))
    page = see(wait="offline")
    assert "(11 minutes)" in page.inner_text("#what")
    assert page.inner_text("#go") == "Last known: quiet-river-1234.tunnel.example"
    assert "ops@example.org" in page.inner_text("main")
    published((URL, 18, 100), ("", 18, 50))
    assert "seconds)" in see(wait="offline").inner_text("#what")


@pytest.mark.parametrize(
    ("old", "new"), [("quiet", "evil"), ('"gen": 17', '"gen": 99'), ('"exp": ', '"exp": 9'), ('"sig": "', '"sig": "AAAA'), ("{", "[")]
)
def test_what_was_changed_is_shown_as_forged_and_leads_nowhere(see, web, published, old, new):
    """Whatever is changed in the pointer, no link of it is shown; what cannot even be read counts as not there."""
    published((URL, 17, 10))
    path = web.folder / "pointer.json"
    path.write_text(path.read_text().replace(old, new, 1))
    if new == "[":
        assert see().get_attribute("#go", "href").startswith(URL), "the page's own copy is signed and still holds"
        return
    page = see(wait="forged")
    assert page.is_hidden("#go")
    assert "was not signed by this page's key" in page.inner_text("#card")


def test_an_older_word_than_one_that_was_seen_is_not_believed(see, web, published):
    published((URL, 17, 10))
    old = {path.name: path.read_bytes() for path in web.folder.iterdir()}
    published((URL, 18, 5))
    page = see()
    for name, data in old.items():
        (web.folder / name).write_bytes(data)
    page.reload()
    page.wait_for_selector(STATE % "forged")
    assert "older than what this browser has seen" in page.inner_text("#card")
    assert page.is_hidden("#go")


def test_a_host_that_was_not_allowed_is_not_linked(see, published):
    published((URL, 17, 10), hosts=".tunnel.example")
    see()
    published((URL, 18, 10), hosts="other.example")
    page = see(wait="forged")
    assert page.is_hidden("#go")
    published(("http://quiet.example", 19, 10))
    assert "not told to trust" in see(wait="forged").inner_text("#card"), "without TLS anybody could answer there"


def test_without_scripts_the_last_known_address_and_its_time_are_there(see, published):
    published((URL, 17, 10))
    page = see(java_script_enabled=False)
    assert page.inner_text("#go") == "Last known: quiet-river-1234.tunnel.example"
    assert "UTC" in page.inner_text("#what")
    assert "Without scripts" in page.inner_text("#card")


def test_a_browser_that_cannot_verify_says_so(see, web, published):
    published((URL, 17, 10), redirect="yes")
    broken = "crypto.subtle.importKey = () => Promise.reject(new DOMException('no', 'NotSupportedError'))"
    page = see(wait="", before=broken)
    page.wait_for_selector("#why:has-text('cannot check signatures')")
    assert page.inner_text("#go").startswith("Last known")
    assert web.asked == ["/"], "what it could not check it does not ask for"


def test_the_pointer_in_the_dns_is_asked_when_the_one_beside_it_is_not_live(see, web, published, browser):
    """By DNS-over-HTTPS; strings of a long record are put together."""
    last = published((URL, 17, 10), pointer="_qcity.app.example.org", doh=f"{web.url}/dns-query")
    web.texts = ['"v=spf1 -all"', f'"{last.address[:100]}" "{last.address[100:]}"']
    see()
    assert web.asked == ["/", "/pointer.json"], "one source is enough"
    (web.folder / "pointer.json").unlink()
    see()
    assert web.asked[-1] == "/dns-query?name=_qcity.app.example.org&type=TXT"


def test_it_looks_again_each_minute_and_only_when_asked_where_data_is_dear(web, published, browser):
    """`Save-Data` is honoured: then nothing is asked for before a person does."""
    published((URL, 17, 10))
    for lean in (False, True):
        context = browser.new_context()
        page = context.new_page()
        page.clock.install()
        page.add_init_script(f"Object.defineProperty(navigator, 'connection', {{value: {{saveData: {str(lean).lower()}}}}})")
        page.goto(web.url)
        page.wait_for_selector(STATE % "live")
        asked = len(web.asked)
        if lean:
            page.clock.run_for(200_000)
            assert len(web.asked) == asked
        with page.expect_response("**/pointer.json"):
            page.click("#again") if lean else page.clock.run_for(61_000)
        context.close()


def test_only_what_is_signed_and_live_is_gone_to_and_only_when_asked_for(web, published, browser):
    target = f"{web.url}/there"
    published((target, 17, 10), redirect="yes")
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    page.goto(web.url)
    page.wait_for_selector(STATE % "live")
    page.wait_for_selector("#stay", state="visible")
    page.clock.run_for(3100)
    page.wait_for_url(target)
    path = web.folder / "pointer.json"
    path.write_text(path.read_text().replace("there", "evil"))
    page.goto(web.url)
    page.wait_for_selector(STATE % "forged")
    page.clock.run_for(10_000)
    assert page.url.rstrip("/") == web.url
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 900])
def test_it_can_be_read_on_any_screen(see, published, scheme, width, tmp_path_factory):
    """No sideways scrolling, contrast of 4.5 and more (WCAG 2.2, 1.4.3), a heading, a status, everything by keyboard."""
    published((URL, 17, 4000), (URL, 17, 10), low_data=LOW_DATA)
    page = see(color_scheme=scheme, viewport={"width": width, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").count() == 1
    assert page.locator("[role=status]").count() == 1
    for chosen in ("h1", "#word", "#what", "#go", "#why", "#again", "li a", "footer p"):
        assert page.evaluate(CONTRAST, chosen) >= 4.5, chosen
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "go"
    page.screenshot(path=tmp_path_factory.getbasetemp() / f"page-{scheme}-{width}.png", full_page=True)


CONTRAST = """chosen => {
  const light = text => {
    const part = one => one / 255 <= .03928 ? one / 255 / 12.92 : ((one / 255 + .055) / 1.055) ** 2.4;
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(part);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  let node = document.querySelector(chosen);
  const ink = light(getComputedStyle(node).color);
  while (getComputedStyle(node).backgroundColor === 'rgba(0, 0, 0, 0)') node = node.parentElement;
  const paper = light(getComputedStyle(node).backgroundColor);
  return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
}"""
