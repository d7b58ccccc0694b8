"""The second tier, with the system's own Chromium: what only a browser sees. Against an HTTP server on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from pathlib import Path

import pytest

from qcity_nb.client.linkchecks import Expected, examine
from qcity_nb.errors import MissingTool
from qcity_nb.io import browser
from qcity_nb.io.fetch import Manners
from qcity_nb.model.home import Home
from qcity_nb.model.linkcheck import Verdict

_spec = importlib.util.spec_from_file_location("links_site", Path(__file__).with_name("test_checks.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)
site = scene.site

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
FAST = Manners(interval=0, retries=0)


@pytest.fixture(scope="module", autouse=True)
def _there():
    """A machine without a browser says so; CI has one, so there it fails."""
    if not browser.ready():
        reason = "no Chromium on PATH, or no playwright: what only a browser sees cannot be tried here"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def place(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def other():
    made = scene.Site()
    yield made
    made.close()


def pages(other):
    text = "A dashboard with something to say about everything. " * 30
    return {
        "/proxy/1/good": (200, {}, f"<title>App</title><p>{text}"),
        "/proxy/1/interstitial": (200, {}, "<title>You are about to visit x</title>ngrok-skip-browser-warning"),
        "/proxy/1/framed": (200, {}, f"<p>{text}<iframe src={other.url}/frame></iframe>"),
        "/proxy/1/guarded": (302, {"Location": "/login?next=/"}, ""),
        "/login": (200, {}, "<form><input type=password></form>"),
        "/proxy/1/soft": (200, {}, "<title>Oops</title><h1>Page not found</h1>"),
        "/proxy/1/script": (200, {}, f"<p>{text}<script>window.nothing.at.all()</script>"),
        "/proxy/1/drawn": (200, {}, "<div id=a></div><script>document.getElementById('a').innerText='Page not found'</script>"),
        "/other": (200, {}, f"<title>Someone else</title>{text}"),
        "/plain": (200, {}, "<p>never looked at"),
    }


def test_what_only_a_browser_sees(site, other, place, tmp_path):
    site.pages = pages(other)
    other.pages = {"/frame": (200, {"X-Frame-Options": "DENY"}, "no")}
    (tmp_path / "a.md").write_text("\n".join(f"[x]({site.url}{path})" for path in site.pages if path != "/login"))
    expected = (Expected(origin=f"{site.url}/other", text="My own app"),)
    report = examine(place, [str(tmp_path / "a.md")], private=True, browser=True, expected=expected, manners=FAST)
    seen = {one.spot.url.rpartition("/")[2]: one for one in report.checked}
    assert {name: one.verdict.value for name, one in seen.items()} == {
        "good": "ok", "interstitial": "unknown", "framed": "broken", "guarded": "unknown", "soft": "broken", "script": "broken", "drawn": "broken",
        "other": "broken", "plain": "ok",
    }  # fmt: skip
    assert "a frame in it is blocked" in seen["framed"].why
    assert "sign in" in seen["guarded"].why
    assert "a script of it fails" in seen["script"].why
    assert "although it answers 200" in seen["soft"].why
    assert "another app answers there" in seen["other"].why
    assert report.looked == 8, "a plain page is not looked at"
    for name, one in seen.items():
        if name in ("good", "plain"):
            assert one.shot == ""
        else:
            shot = Path(one.shot)
            assert shot.read_bytes().startswith(b"\x89PNG"), name
            assert shot.stat().st_mode & 0o777 == 0o600
    assert len(list((place.link_checks / "shots").iterdir())) == 7, "what is well leaves no picture"


def test_it_works_where_an_event_loop_runs_as_in_a_notebook(site, tmp_path):
    site.pages = {"/": (200, {}, "<title>T</title>hello")}

    async def cell():
        return browser.look([f"{site.url}/", "http://127.0.0.1:1/"], shots=tmp_path / "shots")

    one, two = asyncio.run(cell())
    assert (one.title, one.text.strip(), one.status) == ("T", "hello", 200)
    assert "ERR_" in two.error


def test_a_page_that_never_ends_costs_its_time_and_nothing_more(site, tmp_path):
    site.pages = {"/": lambda ask: (200, {}, "x") if site.slow.wait(60) else (0, {}, "")}
    [sight] = browser.look([f"{site.url}/"], shots=tmp_path, seconds=1)
    assert "Timeout" in sight.error


def test_without_a_browser_it_is_left_out_unless_asked_for(site, place, tmp_path, monkeypatch):
    site.pages = {"/proxy/1/x": (200, {}, "x")}
    (tmp_path / "a.md").write_text(f"{site.url}/proxy/1/x")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("QCITY_BROWSER", raising=False)
    report = examine(place, [str(tmp_path / "a.md")], private=True, manners=FAST)
    assert (report.looked, report.checked[0].verdict) == (0, Verdict.OK)
    with pytest.raises(MissingTool, match="no Chromium or Chrome is on PATH"):
        examine(place, [str(tmp_path / "a.md")], private=True, browser=True, manners=FAST)
    monkeypatch.setenv("QCITY_BROWSER", "/bin/false")
    with pytest.raises(MissingTool, match="/bin/false does not start"):
        examine(place, [str(tmp_path / "a.md")], private=True, browser=True, manners=FAST)
