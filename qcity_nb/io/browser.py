"""Looks at pages with the system's own Chromium through playwright, and keeps pictures. Nothing is ever downloaded or installed for it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..errors import MissingTool
from ..model.linkcheck import Sight

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 15.0
QUIET_SECONDS = 1.5
"""How long a page that is loaded may go on asking before it is looked at."""
SHOTS = 200


def program() -> str | None:
    """The browser on PATH; QCITY_BROWSER names another one."""
    return os.environ.get("QCITY_BROWSER") or next((found for name in NAMES if (found := shutil.which(name))), None)


def ready() -> bool:
    """Whether there is a browser, and playwright to lead it."""
    import importlib.util

    return program() is not None and importlib.util.find_spec("playwright") is not None


def look(urls: Sequence[str], *, shots: Path, seconds: float = SECONDS) -> list[Sight]:
    """What a fresh browser sees at each of these addresses, one after the other, with a picture of each.

    Args:
        shots: the folder for pictures; the oldest ones go.
        seconds: for each page.

    Raises:
        MissingTool: there is no browser, or no playwright.
    """
    path = program()
    if path is None:
        raise MissingTool("no Chromium or Chrome is on PATH", "apt-get install chromium, or leave the browser out")
    try:
        import playwright.sync_api  # noqa: F401 - asked here so that the sentence is ours
    except ImportError:
        raise MissingTool("playwright is not installed", 'pip install "qcity-nb[browser]"') from None
    shots.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ThreadPoolExecutor(1) as thread:  # playwright refuses to block in a thread that has an event loop, as a notebook's has
        found = thread.submit(_all, path, list(urls), shots, seconds).result()
    for old in sorted(shots.glob("*.png"), key=lambda one: one.stat().st_mtime)[:-SHOTS]:
        old.unlink(missing_ok=True)
    return found


def _all(path: str, urls: list[str], shots: Path, seconds: float) -> list[Sight]:
    from playwright.sync_api import Error, sync_playwright

    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # Chromium has no sandbox for root
    try:
        with sync_playwright() as driver, contextlib.closing(driver.chromium.launch(executable_path=path, headless=True, args=flags)) as browser:
            return [_one(browser, url, shots, seconds) for url in urls]
    except Error as error:
        raise MissingTool(f"{path} does not start ({error.message.splitlines()[0]})", "Set QCITY_BROWSER to another one, or do without") from None


def _one(browser: Browser, url: str, shots: Path, seconds: float) -> Sight:
    from playwright.sync_api import Error

    errors: list[str] = []
    console: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=False)
    try:
        page = context.new_page()
        page.set_default_timeout(seconds * 1000)
        page.on("pageerror", lambda error: errors.append(str(error)[:500]))
        page.on("console", lambda said: console.append(said.text[:500]) if said.type in ("error", "warning") else None)
        reply = page.goto(url, wait_until="load")
        with contextlib.suppress(Error):
            page.wait_for_load_state("networkidle", timeout=QUIET_SECONDS * 1000)
        text = str(page.evaluate("document.body ? document.body.innerText : ''"))[:20_000]
        password = page.locator("input[type=password]:visible").count() > 0
        shot = shots / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.png"
        page.screenshot(path=shot)
        shot.chmod(0o600)
        return Sight(
            url=url, final=page.url, status=reply.status if reply else 0, title=page.title(), text=text, password=password,
            errors=tuple(errors[:20]), console=tuple(console[:50]), shot=str(shot),
        )  # fmt: skip
    except Error as error:
        return msgspec.structs.replace(Sight(url=url), error=error.message.splitlines()[0], errors=tuple(errors[:20]), console=tuple(console[:50]))
    finally:
        with contextlib.suppress(Error):
            context.close()
