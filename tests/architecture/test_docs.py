"""What the documents promise is there: the drawing is current, every kind has a line and a test, every word of the domain is in the glossary."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from pathlib import Path

import pytest

from qcity_nb.kinds import KINDS
from qcity_nb.model import service, work
from qcity_nb.testing import draw

ROOT = Path(__file__).parents[2]
NOTES = (ROOT / "qcity_nb" / "README.md").read_text()
GLOSSARY = NOTES.partition("## Glossary")[2].partition("\n## ")[0]
WORDS = {word.lower() for found in re.findall(r"\*\*([^*]+)\*\*", GLOSSARY) for word in [found]}
PLAIN = {"policy", "limits", "identity", "exit", "status", "desired", "state", "spec", "plan"}
"""Parts of names that mean what they mean everywhere."""


def test_the_drawing_is_current():
    assert draw.redrawn(NOTES) == NOTES, "run python -m qcity_nb.testing.draw"


def test_the_readme_has_its_two_commands():
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert blocks[0].splitlines() == ["pip install . && qcity demo", 'pip install -e ".[test]" && pytest -n logical']


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, kinds in KINDS.items() for name in kinds])
def test_every_kind_has_its_line_and_its_test(family, name):
    assert re.search(rf"^\| {family} \| `{name}` \|", NOTES, re.MULTILINE), f"no line for {name} in the table of kinds"
    words = re.sub(r"[-.]", " ", name)
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if re.search(rf"\b{words}\b", path.stem.replace("_", " "))]
    named = [path for path in (ROOT / "tests").rglob("test_*.py") if re.search(rf"kinds\.{family}(\.| import .*\b){name}\b", path.read_text())]
    assert tests or named, f"no test of {family} {name}"


@pytest.mark.parametrize("module", [service, work], ids=lambda module: module.__name__)
def test_every_word_of_the_model_is_in_the_glossary(module):
    for name, thing in inspect.getmembers(module, inspect.isclass):
        if thing.__module__ != module.__name__:
            continue
        parts = {part.lower() for part in re.findall(r"[A-Z][a-z]+", name)} - PLAIN
        parts = {"restart" if part == "restart" else part for part in parts} - {"restart"}
        assert parts <= WORDS, f"{name}: {parts - WORDS} not in the glossary"
        if issubclass(thing, Enum) and thing is service.Phase:
            assert all(phase.value in GLOSSARY for phase in thing)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "qcity_nb/README.md"])
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (ROOT / document).parent.joinpath(target).exists(), target


def test_no_document_quotes_line_numbers_or_machine_paths():
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "qcity_nb" / "README.md"):
        assert not re.search(r"\.py:\d|/home/|/root/|/work/", path.read_text()), path
