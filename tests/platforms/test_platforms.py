"""Platforms from end to end: a real engine asks a page, and everybody who looks is told what it says and how old that is."""

from __future__ import annotations

import json

import pytest

from qcity_nb.cli import main, parser_platform
from qcity_nb.client import board, shapes
from qcity_nb.decide.platforms import FEEDS
from qcity_nb.errors import BadInput, NotFound
from qcity_nb.model.platform import Family, Says
from qcity_nb.testing.real_engine import until
from qcity_nb.ui import board_static

OUTAGE = [{"name": "CI", "status": "major_outage"}, {"name": "Site", "status": "operational"}]


def test_a_platform_is_asked_and_what_it_says_is_where_people_look(city, vendor, capsys):
    vendor.says(components=OUTAGE, status={"indicator": "major", "description": "Partial outage"}, incidents=[])
    city.platforms.add("ours", vendor.url, title="Our <b>CI</b>", parts=["CI"])
    row = until(lambda: next((one for one in city.platforms if one.view.heard), None))
    assert (row.view.says, row.view.text) == (Says.MAJOR, "CI: major outage")
    assert "Our <b>CI</b> says it has a major fault: CI: major outage" in repr(city.platforms)
    assert "&lt;b&gt;" in city.platforms._repr_html_()
    status = city.status()
    assert status.view.about["platforms"].text == "Our <b>CI</b> says it has a major fault: CI: major outage."
    assert status.headline != status.view.about["platforms"].text  # what runs here is well
    shown = board.take(city.link.store)
    assert shown.tables["platforms"]["ours"]["word"] == "major"
    assert board_static.page(shown).count("Our &lt;b&gt;CI&lt;/b&gt; says it has a major fault") == 1

    assert main(["platform", "list", "--home", str(city.home), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    shapes_checked(told)
    assert (told["platforms"][0]["says"], told["platforms"][0]["level"]) == ("major", "bad")

    vendor.says(components=[{"name": "CI", "status": "operational"}])
    city.platforms.add("ours", vendor.url, parts=["CI"])  # asked again at once
    until(lambda: city.platforms["ours"].view.says is Says.FINE)
    assert main(["platform", "list", "--home", str(city.home)]) == 0
    assert "is fine" in capsys.readouterr().out
    assert "platforms" not in city.status().view.about

    city.platforms.drop("ours")
    assert list(city.platforms) == []
    assert board.take(city.link.store).tables["platforms"] == {}
    assert repr(city.platforms) == "no platform is watched"


def shapes_checked(told):
    import jsonschema

    schema = shapes.schema()
    jsonschema.validate(told, {**schema, "$ref": "#/$defs/platforms"})


def test_a_page_that_goes_away_leaves_what_was_known_and_the_next_engine_asks_on(city, vendor):
    city.platforms.add("ours", vendor.url)
    until(lambda: city.platforms["ours"].view.heard)
    city.stop()
    assert city.platforms["ours"].view.says is Says.FINE
    vendor.status = 500
    city.platforms.add("other", vendor.url)  # starts an engine, which asks both
    other = until(lambda: city.platforms["other"].view.trouble and city.platforms["other"])
    assert other.view.trouble == "its page answers with 500"
    assert city.platforms.condition(other).text == "nothing is known of it: its page answers with 500"


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda city: city.platforms.watch(), "no platform was named"),
        (lambda city: city.platforms.watch("github", "gihub"), 'no platform "gihub" is known. Did you mean "github"?'),
        (lambda city: city.platforms.add("x", "ftp://example.org"), "is not the address of a page"),
        (lambda city: city.platforms.add("x", "https://example.org", family="statuspge"), 'Did you mean "statuspage"?'),
        (lambda city: city.platforms.add("a/b", "https://example.org"), "is not a name for a platform"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_and_changes_nothing(city, ask, said):
    with pytest.raises(BadInput, match=said.replace("?", r"\?")):
        ask(city)
    assert len(city.platforms) == 0


def test_what_is_not_watched_is_a_sentence(city, capsys):
    with pytest.raises(NotFound, match='no platform "github" is watched'):
        city.platforms.drop("github")
    with pytest.raises(NotFound):
        city.platforms["github"]
    assert main(["platform", "list", "--home", str(city.home)]) == 0
    assert "qcity platform watch github" in capsys.readouterr().out
    assert main(["platform", "drop", "github", "--home", str(city.home)]) != 0
    assert "Traceback" not in capsys.readouterr().err


def test_the_commands_know_the_same_platforms_and_forms():
    """They are written down twice, so that `--help` needs to load nothing."""
    assert tuple(sorted(FEEDS)) == parser_platform.KNOWN
    assert tuple(family.value for family in Family) == parser_platform.FORMS
