"""What platforms say of themselves: each form read, each trap of it, and nothing unreadable taken for fine."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide import platforms
from qcity_nb.decide.health import Level
from qcity_nb.decide.platforms import FEEDS, condition, due, heard, overall
from qcity_nb.model.platform import Family, PlatformView, Says

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
NEVER = PlatformView()


def statuspage(*, parts=None, indicator="none", description="All Systems Operational", incidents=(), maintenances=()):
    known = {"Actions": "operational", "API Requests": "operational", "Webhooks": "operational", "Git Operations": "operational"}
    components = [{"name": name, "status": status} for name, status in {**known, "Copilot": "operational", **(parts or {})}.items() if status]
    status = {"indicator": indicator, "description": description}
    return {"status": status, "components": components, "incidents": list(incidents), "scheduled_maintenances": list(maintenances)}


def said(name, body, *, status=200):
    """What is known of a platform after this answer, when nothing was known before."""
    return heard(FEEDS[name], status, body if isinstance(body, bytes) else json.dumps(body).encode(), NEVER, NOW)


def incident(name, *parts, impact="minor", status="investigating"):
    return {"name": name, "impact": impact, "status": status, "components": [{"name": part} for part in parts]}


@pytest.mark.parametrize(
    ("page", "says", "text"),
    [
        (statuspage(), Says.FINE, ""),
        (statuspage(parts={"Actions": "degraded_performance"}), Says.MINOR, "Actions: degraded performance"),
        (statuspage(parts={"Actions": "partial_outage", "Webhooks": "major_outage"}), Says.MAJOR, "Webhooks: major outage"),
        (statuspage(parts={"Copilot": "major_outage"}, indicator="critical"), Says.FINE, ""),
        (statuspage(parts={"Actions": "under_maintenance"}), Says.MAINTENANCE, "Actions: under maintenance"),
        (statuspage(incidents=[incident("Jobs are late", "Actions")]), Says.MINOR, "Jobs are late"),
        (statuspage(incidents=[incident("Copilot is slow", "Copilot", impact="critical")]), Says.FINE, ""),
        (statuspage(incidents=[incident("Something is wrong", impact="major")]), Says.MAJOR, "Something is wrong"),
        (statuspage(incidents=[incident("It was", "Actions", status="resolved")]), Says.FINE, ""),
        (statuspage(maintenances=[incident("Later", "Actions", impact="maintenance", status="scheduled")]), Says.FINE, ""),
        (statuspage(maintenances=[incident("Now", "Actions", impact="maintenance", status="in_progress")]), Says.MAINTENANCE, "Now"),
        (statuspage(parts={"Actions": "haunted"}), Says.UNKNOWN, "Actions: haunted"),
    ],
)
def test_of_a_statuspage_the_parts_that_count_and_their_incidents_say_it(page, says, text):
    view = said("github", page)
    assert (view.says, view.text, view.heard, view.trouble) == (says, text, NOW, "")


def test_a_page_without_chosen_parts_is_taken_as_a_whole():
    assert said("vercel", statuspage()).says is Says.FINE
    view = said("vercel", statuspage(indicator="major", description="Partial System Outage"))
    assert (view.says, view.text) == (Says.MAJOR, "Partial System Outage")
    assert said("vercel", statuspage(parts={"Copilot": "partial_outage"})).text == "Copilot: partial outage"


@pytest.mark.parametrize(
    ("name", "body", "trouble"),
    [
        ("github", statuspage(parts={"Actions": None}), "it does not say how Actions is"),
        ("github", b"<html>moved</html>", "cannot be read"),
        ("github", b"", "cannot be read"),
        ("github", [], "an object was expected"),
        ("github", {"status": "up"}, "status was expected"),
        ("gitlab", {"result": None}, "result was expected"),
        ("huggingface", {"data": {}}, "attributes was expected"),
        ("google-cloud", {"incidents": []}, "a list was expected"),
        ("google-cloud", ["x"], "an object in a list was expected"),
    ],
)
def test_what_cannot_be_read_is_no_news_and_never_fine(name, body, trouble):
    view = said(name, body)
    assert (view.says, view.heard, view.asked) == (Says.UNKNOWN, None, NOW)
    assert trouble in view.trouble
    assert condition(FEEDS[name], view, NOW).level is Level.STALE


def test_two_parts_of_one_name_are_both_heard():
    page = statuspage()
    page["components"] += [{"name": "Copilot", "status": "major_outage"}, {"name": "Copilot", "status": "operational"}]
    assert said("vercel", page).says is Says.MAJOR


WORDS = st.sampled_from(
    ["status", "components", "incidents", "name", "result", "status_overall", "status_code", "data", "attributes", "included", "type", "impact"]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["none", "status_report", "status_page_resource"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {
        "status": ANY | st.fixed_dictionaries({"indicator": ANY}),
        "components": ANY | st.lists(st.fixed_dictionaries({"name": ANY, "status": ANY}), max_size=2),
        "incidents": ANY | st.lists(st.fixed_dictionaries({"status": ANY, "impact": ANY, "components": ANY}), max_size=2),
        "result": ANY | st.fixed_dictionaries({"status_overall": st.fixed_dictionaries({"status_code": ANY}), "status": ANY}),
        "data": ANY | st.fixed_dictionaries({"attributes": st.fixed_dictionaries({"aggregate_state": ANY})}),
        "included": ANY | st.lists(st.fixed_dictionaries({"type": ANY, "attributes": ANY}), max_size=2),
    }
)


@pytest.mark.parametrize("name", ["github", "vercel", "gitlab", "huggingface", "google-cloud"])
@given(body=st.binary(max_size=50) | (SHAPED | ANY | st.lists(ANY, max_size=3)).map(lambda one: json.dumps(one).encode()))
def test_no_answer_whatever_it_is_ends_anything(name, body):
    view = said(name, body)
    assert view.asked == NOW
    assert (view.heard is None) == bool(view.trouble)
    assert condition(FEEDS[name], view, NOW).text


@pytest.mark.parametrize("name", ["github", "gitlab", "huggingface", "google-cloud"])
def test_an_answer_that_is_nested_without_end_is_no_news(name):
    assert "cannot be read" in said(name, b"[" * 1_000_000).trouble


def status_io(code, *parts, incidents=()):
    status = [{"name": name, "status": text, "status_code": number} for name, text, number in parts]
    result = {"status_overall": {"status": "Operational", "status_code": code}, "status": status, "incidents": [{"name": one} for one in incidents]}
    return {"result": result}


def test_status_io():
    assert (said("gitlab", status_io(100)).says, said("gitlab", status_io(100)).text) == (Says.FINE, "Operational")
    view = said("gitlab", status_io(300, ("CI/CD", "Degraded Performance", 300), ("Website", "Operational", 100), incidents=["Pipelines wait"]))
    assert (view.says, view.text) == (Says.MINOR, "Pipelines wait; CI/CD: Degraded Performance")
    assert said("gitlab", status_io(500)).says is Says.MAJOR
    assert said("gitlab", status_io(200)).says is Says.MAINTENANCE
    assert said("gitlab", status_io(777)).says is Says.UNKNOWN


def better_stack(state, *included):
    return {"data": {"attributes": {"aggregate_state": state}}, "included": [{"type": kind, "attributes": about} for kind, about in included]}


def test_better_stack_and_a_report_that_is_over_without_an_end():
    hub = ("status_page_resource", {"public_name": "Hub", "status": "downtime"})
    over = ("status_report", {"title": "It was down", "ends_at": None, "aggregate_state": "resolved"})
    open_ = ("status_report", {"title": "Uploads fail", "ends_at": None, "aggregate_state": "downtime"})
    assert said("huggingface", better_stack("operational", over)).says is Says.FINE
    view = said("huggingface", better_stack("downtime", hub, over, open_, ("status_page_section", {"name": "x"})))
    assert (view.says, view.text) == (Says.MAJOR, "Uploads fail; Hub: downtime")
    unwatched = ("status_page_resource", {"public_name": "Old", "status": "not_monitored"})
    assert said("huggingface", better_stack("operational", unwatched)).says is Says.FINE
    assert said("huggingface", better_stack("whatever")).says is Says.UNKNOWN


def test_google_says_which_incidents_are_open_and_no_more():
    over = {"external_desc": "Old", "status_impact": "SERVICE_OUTAGE", "end": "2026-02-01T00:00:00Z"}
    now = {"external_desc": "Cloud Run fails in one region", "status_impact": "SERVICE_DISRUPTION", "affected_products": [{"title": "Cloud Run"}]}
    assert (said("google-cloud", []).says, said("google-cloud", [over]).text) == (Says.FINE, "no incident is open")
    view = said("google-cloud", [over, now])
    assert (view.says, view.text) == (Says.MINOR, "Cloud Run fails in one region")
    only = replace(FEEDS["google-cloud"], parts=("Cloud Storage",))
    assert heard(only, 200, json.dumps([now]).encode(), NEVER, NOW).says is Says.FINE


def test_one_that_has_no_page_is_measured_and_says_so():
    """DagsHub."""
    feed = FEEDS["dagshub"]
    fine = heard(feed, 404, b"", NEVER, NOW)
    assert condition(feed, fine, NOW).text == "answers with 404; it has no page that says how it is"
    assert condition(feed, heard(feed, 502, b"", NEVER, NOW), NOW).level is Level.BAD
    assert condition(feed, heard(feed, 0, b"it cannot be reached", NEVER, NOW), NOW).text == "nothing is known of it: it cannot be reached"


def test_what_it_said_last_counts_for_five_minutes_and_then_no_more():
    feed = FEEDS["github"]
    bad = said("github", statuspage(parts={"Actions": "major_outage"}))
    assert condition(feed, bad, NOW).text == "says it has a major fault: Actions: major outage"
    later = heard(feed, 503, b"", bad, NOW + 2 * MINUTE)
    assert (later.says, later.heard, later.trouble) == (Says.MAJOR, NOW, "its page answers with 503")
    assert condition(feed, later, NOW + 4 * MINUTE).level is Level.BAD
    old = condition(feed, later, NOW + 6 * MINUTE)
    assert (old.level, old.text) == (Level.STALE, "was last heard 6 min ago: its page answers with 503")
    assert condition(feed, bad, NOW + 6 * MINUTE, alive=False).text == "was last heard 6 min ago: no engine asks it"
    assert condition(feed, NEVER, NOW).text == "nothing is known of it: is being asked"


def test_each_is_asked_once_a_minute_and_a_clock_that_was_set_back_does_not_silence_it():
    view = said("github", statuspage())
    assert due(NEVER, NOW)
    assert not due(view, NOW + MINUTE / 2)
    assert due(view, NOW + MINUTE)
    assert due(view, NOW - MINUTE)


def test_one_line_for_all_names_the_worst_and_is_silent_while_there_is_none():
    fine, stale = condition(FEEDS["github"], said("github", statuspage()), NOW), condition(FEEDS["gitlab"], NEVER, NOW)
    assert overall({"GitHub": fine, "GitLab": stale}) is None
    minor = condition(FEEDS["github"], said("github", statuspage(parts={"Actions": "partial_outage"})), NOW)
    major = condition(FEEDS["gitlab"], said("gitlab", status_io(500, ("CI", "Down", 500))), NOW)
    found = overall({"GitHub": minor, "GitLab": major})
    assert (found.level, found.text) == (Level.WARN, "GitLab says it has a major fault: CI: Down. So does another one.")


@pytest.mark.parametrize("name", sorted(FEEDS))
def test_those_that_are_known_by_name_are_asked_over_https_and_each_form_has_a_reader(name):
    feed = FEEDS[name]
    assert feed.url.startswith("https://")
    assert feed.page.startswith("https://")
    assert feed.family is Family.ANSWERS or feed.family in platforms._READERS
