"""The report opens offline, holds everything and obeys nothing from outside."""

from __future__ import annotations

import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path

from qcity_nb.model.work import Outcome
from qcity_nb.ui import report

_spec = importlib.util.spec_from_file_location("unit_scene", Path(__file__).with_name("conftest.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)


class Balance(HTMLParser):
    """Fails on a tag that is closed in the wrong place."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_holds_everything_and_asks_nobody(city, sqlite, tmp_path):
    scene.put_runner(sqlite, "local-1", beats=5)
    scene.put_build(sqlite, outcome=Outcome.FAILURE)
    scene.put_incident(sqlite)
    path = report.write(city, tmp_path / "report.html")
    text = path.read_text()
    balance = Balance()
    balance.feed(text)
    assert balance.open == []
    assert "script" not in balance.tags
    assert "svg" in balance.tags
    assert not re.search(r"(?:src|href|url\()\s*=?\s*[\"']?(?:https?:)?//", text)
    for part in ("local-1", "step 2 &quot;run&quot;", "assert 3 == 4", "killed from outside", "gave a sign of life", "prefers-color-scheme"):
        assert part in text
    assert "hush" not in text
    assert "\x1b" not in text


def test_an_empty_place_has_a_report_too(city):
    assert "No build yet." in report.page(city)
