"""When a watcher points a name to the fallback, and when a record has changed often enough."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide import deadman
from qcity_nb.decide.deadman import Change, Watched
from qcity_nb.decide.pointer import Reading, Signpost
from qcity_nb.errors import BadInput

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
POST = Signpost(service="app", url="https://a.example", generation=1, since=NOW, until=NOW)
WATCHED = Watched(name="app.example.org", kind="A", fallback="192.0.2.9")
LATE = NOW + WATCHED.grace


def lapsed(reading=Reading.EXPIRED, *, current="192.0.2.1", now=LATE, post=POST):
    return deadman.lapsed(WATCHED, reading, post, text="the text", current=current, now=now)


def test_a_lease_that_lapsed_has_the_record_changed_with_both_as_prerequisites():
    assert lapsed() == Change(name="app.example.org", kind="A", value="192.0.2.9", expected="192.0.2.1", guard="the text")
    assert lapsed(current=None).expected == "", "it is not there, and has to be so still"


def test_nothing_is_changed_before_the_grace_is_over_or_twice():
    assert lapsed(now=LATE - timedelta(seconds=1)) is None
    assert lapsed(current="192.0.2.9") is None


@pytest.mark.parametrize("reading", [one for one in Reading if one is not Reading.EXPIRED])
def test_what_says_nothing_of_a_runner_changes_nothing(reading):
    assert lapsed(reading) is None


def test_the_seventh_change_in_an_hour_waits_for_the_first_to_be_an_hour_old():
    changes = [NOW - timedelta(minutes=minutes) for minutes in (70, 50, 40, 30, 20, 10, 5)]
    assert deadman.too_many(changes, NOW) == timedelta(minutes=10)
    assert deadman.too_many(changes[:-1], NOW) is None
    assert deadman.too_many([], NOW) is None


@given(st.lists(st.integers(min_value=0, max_value=40_000), max_size=60))
def test_no_hour_ever_has_more_than_its_budget(asked):
    done = []
    for second in sorted(asked):
        now = NOW + timedelta(seconds=second)
        wait = deadman.too_many(done, now)
        if wait is None:
            done.append(now)
        else:
            assert deadman.too_many(done, now + wait) is None
    for moment in done:
        assert sum(moment - deadman.HOUR < one <= moment for one in done) <= deadman.MOST


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [
        ("A", "192.0.2.1", True),
        ("A", "::1", False),
        ("AAAA", "2001:db8::1", True),
        ("AAAA", "192.0.2.1", False),
        ("CNAME", "page.example.net.", True),
        ("CNAME", "not a name", False),
        ("TXT", "x", False),
        ("A", "app.example.org", False),
    ],
)
def test_a_change_that_cannot_be_meant(kind, value, good):
    change = Change(name="app.example.org", kind=kind, value=value)
    if good:
        deadman.check_change(change)
    else:
        with pytest.raises(BadInput):
            deadman.check_change(change)
