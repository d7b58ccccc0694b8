"""The tile in JupyterLab's launcher, and the page behind jupyter-server-proxy: real Lab, real proxy, real Chromium, a real engine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest

import qcity_nb
from qcity_nb.client import served
from qcity_nb.model.home import Home
from qcity_nb.web import jupyter

pytest.importorskip("jupyterlab")
pytest.importorskip("jupyter_server_proxy")
pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("ui_lab", ROOT / "tests" / "ui" / "test_lab.py")
of_lab = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(of_lab)


@pytest.fixture(scope="module")
def lab():
    folder = Path(tempfile.mkdtemp(prefix="qcity-tile-"))
    known = {**os.environ}
    if not [one for one in entry_points(group="jupyter_serverproxy_servers") if one.name == "qcity"]:  # a tree that was not installed
        about = folder / "lib" / "qcity_page-1.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: qcity-page\nVersion: 1\n")
        (about / "entry_points.txt").write_text("[jupyter_serverproxy_servers]\nqcity = qcity_nb.web.jupyter:entry\n")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(folder / "lib"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ["QCITY_HOME"] = str(folder / "home")
    made = of_lab.Lab(folder)
    os.environ.clear()
    os.environ.update(known)
    try:
        made.wait()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def test_the_entry_point_is_named_and_holds_its_key_in_no_command():
    text = (ROOT / "pyproject.toml").read_text()
    assert '[project.entry-points.jupyter_serverproxy_servers]\nqcity = "qcity_nb.web.jupyter:entry"' in text
    entry, other = jupyter.entry(), jupyter.entry()
    [key] = entry["environment"].values()
    assert entry["request_headers_override"] == {"X-QCity-Key": key}
    assert key not in " ".join(entry["command"])
    assert key != other["environment"]["QCITY_SERVE_KEY"]
    assert Path(entry["launcher_entry"]["icon_path"]).read_text().startswith("<svg")
    assert entry["update_last_activity"] is False  # no page keeps an idle server alive


def test_a_click_on_the_tile_shows_the_page_live_and_acts(lab, chromium, pictures):
    with qcity_nb.open(lab.folder / "home") as city:
        city.runners.start("command", "alpha", command=["sleep", "1000"])
        before = city.runners["alpha"].pid
        context = chromium.new_context(viewport={"width": 1200, "height": 900})
        page = context.new_page()
        try:
            page.goto(f"{lab.url}/lab?token={lab._token}&reset")
            tile = page.locator(".jp-LauncherCard[title^='QCity']")
            tile.wait_for(timeout=60_000)
            page.wait_for_timeout(1000)  # Lab lays itself out in steps of its own
            page.screenshot(path=pictures / "served-launcher.png")
            with context.expect_page(timeout=60_000) as opening:
                tile.click()
            opened = opening.value
            opened.wait_for_selector(".qcity-board:not(.stale) .row", timeout=60_000)
            assert opened.url == f"{lab.url}/qcity/"
            assert "Signed in as master, jupyter" in opened.locator(".who").inner_text()
            for _ in range(100):
                if "seq 4" in opened.locator(".qcity-board footer").inner_text():
                    break
                opened.wait_for_timeout(100)
            assert "seq" in opened.locator(".qcity-board:not(.stale) footer").inner_text()
            opened.locator('[data-stop="row alpha"]').click()
            opened.keyboard.press("r")
            opened.keyboard.press("Enter")
            opened.wait_for_selector(".result:has-text('it was stopped and is up again (asked by web:master:jupyter)')", timeout=60_000)
            assert city.runners["alpha"].pid != before
            opened.screenshot(path=pictures / "served-behind-jupyter.png")
            nobody_else(lab)
        finally:
            context.close()
            city.stop()


def nobody_else(lab):
    """Another user of this machine, who can reach the page's port and has no key; and somebody whom Jupyter does not know."""
    [page] = served.living(Home(lab.folder / "home"))
    direct = f"http://127.0.0.1:{page.port}"
    assert httpx.get(f"{direct}/").status_code == 401
    assert httpx.get(f"{direct}/session", headers={"x-qcity-key": "guessed"}).status_code == 401
    assert httpx.get(f"{lab.url}/qcity/session").status_code in (302, 403)
    assert "QCITY_SERVE_KEY" not in Path(f"/proc/{page.pid}/cmdline").read_text()
