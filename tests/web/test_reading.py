"""What machines read: health, metrics, the badge."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from qcity_nb.client import served, shapes
from qcity_nb.decide.health import Level
from qcity_nb.decide.platforms import FEEDS
from qcity_nb.model.platform import PlatformView, Says
from qcity_nb.store import platforms
from qcity_nb.web import badge, metrics

COUNTERS = {"qcity_jobs_finished", "qcity_incidents"}


def shaped(name, document):
    jsonschema.Draft202012Validator({**shapes.schema(), "$ref": f"#/$defs/{name}"}).validate(document)
    return document


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_health_is_one_sentence_and_no_name(page, place, engine):
    place.runner("secret-project")
    answer = page.client().get("/healthz")
    assert (answer.status_code, shaped("healthz", answer.json())) == (200, {"ok": True, "engine": "running", "sentence": "The engine is running."})
    engine.die()
    answer = fresh(page)
    assert answer.status_code == 503
    assert shaped("healthz", answer.json())["engine"] == "dead"
    assert answer.json()["sentence"].startswith("The engine died: its last sign of life was ")
    assert "secret" not in answer.text


def test_health_of_a_place_that_is_gone(page, place):
    for path in page.home.glob("qcity.db*"):
        path.unlink()
    answer = fresh(page)
    assert answer.status_code == 503
    assert shaped("healthz", answer.json())["engine"] is None
    assert answer.json()["sentence"].startswith("the store of this place is gone.")
    assert "unknown" in page.client().get("/badge.svg").text


def fresh(page):
    """What is asked when the last look is older than a second."""
    end = time.monotonic() + 1.05
    while time.monotonic() < end:
        page.client().get("/login")
    return page.client().get("/healthz")


def test_metrics_are_what_prometheus_reads(page, place, engine):
    place.fleet()
    with place.store.write() as connection:
        for name, heard in (("github", place.at), ("gitlab", place.at - timedelta(hours=1))):
            platforms.put(connection, place.store.place, name, FEEDS[name], PlatformView(says=Says.MAJOR, heard=heard))
    token = served.metrics_token(page.city.link.store.home)
    answer = page.client().get("/metrics", headers={"authorization": f"Bearer {token}"})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = families(answer.text)
    assert {name for name, family in found.items() if family.type == "counter"} == COUNTERS
    for family in found.values():
        assert family.documentation
        assert re.fullmatch(r"qcity_[a-z0-9_]+", family.name)
        assert len({(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples}) == len(family.samples)
    up = {sample.labels["runner"]: sample.value for sample in found["qcity_runner_up"].samples}
    assert up["gh-07"] == 0
    assert up["linux-06"] == 1
    assert any(name.startswith('<script>document.title="hacked"') for name in up)
    assert len(up) == 20
    assert found["qcity_engine_up"].samples[0].value == 1
    assert found["qcity_tunnel_up"].samples[0].labels == {"tunnel": "app", "provider": "ssh"}
    says = {sample.labels["platform"]: sample.labels["says"] for sample in found["qcity_platform_says"].samples}
    assert says == {"github": "major", "gitlab": "unknown"}
    ended = {sample.labels["outcome"]: sample.value for sample in found["qcity_jobs_finished"].samples}
    assert set(ended) == {"success", "failure"}
    assert page.enter("viewer").get("/metrics").status_code == 200


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer nonsense", "Basic eA=="])
def test_metrics_are_not_for_everybody(page, shown):
    answer = page.client().get("/metrics", headers={"authorization": shown})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_an_empty_place_has_metrics(page):
    assert families(page.enter("viewer").get("/metrics").text)["qcity_runner_up"].samples == []


@given(st.text())
def test_any_name_is_one_label(name):
    [family] = text_string_to_metric_families(metrics._family("x", "gauge", "X.", [({"runner": name}, 1.5)]))
    assert family.samples[0].value == 1.5
    assert family.samples[0].labels == {"runner": name.encode("utf-8", "replace").decode()}


def test_the_badge_has_words_beside_its_colour(page, place, engine):
    place.runner("a")
    place.runner("b")
    answer = page.client().get("/badge.svg")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.headers["cache-control"] == "no-cache, max-age=0"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    picture = ET.fromstring(answer.text)
    assert picture.get("aria-label") == "qcity: well, 2 of 2 up"


@pytest.mark.parametrize("level", list(Level))
@given(text=st.text(min_size=1, max_size=60))
def test_a_badge_is_well_formed_and_as_wide_as_its_words(level, text):
    picture = ET.fromstring(badge.svg(level, text).encode("utf-8", "replace"))
    wide = int(picture.get("width"))
    for one in picture.iter("{http://www.w3.org/2000/svg}text"):
        assert float(one.get("x")) + float(one.get("textLength")) <= wide
    assert "".join(picture.itertext()).count(level.glyph) >= 1
