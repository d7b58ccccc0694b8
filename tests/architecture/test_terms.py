"""D12: nothing that is shipped pretends to be a person, or keeps a machine busy for show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRICKS = re.compile(
    r"<audio|AudioContext|new Audio\b|\.click\(\)|dispatchEvent\(|ClickConnect|KeepClicking|pyautogui|xdotool|colab-connect|tun/m/.*keep-alive",
    re.IGNORECASE,
)
KINDS = (".py", ".js", ".ipynb", ".html", ".sh")
SHIPPED = [path for folder in ("qcity_nb", "notebooks", "binder") for path in (ROOT / folder).rglob("*") if path.suffix in KINDS]


@pytest.mark.parametrize("text", ["setInterval(() => document.querySelector('button').click(), 60000)", "<audio src='silence.wav' loop>"])
def test_it_knows_a_trick(text):
    assert TRICKS.search(text)


def test_no_shipped_file_holds_one():
    assert len(SHIPPED) > 300
    found = [(str(path.relative_to(ROOT)), match.group()) for path in SHIPPED if (match := TRICKS.search(path.read_text("utf-8", "replace")))]
    assert found == []
