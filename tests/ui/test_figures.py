"""Health as a picture: it covers what was watched and not a second more, whatever the beats were summed up to."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.client.health import Health
from qcity_nb.store import history
from qcity_nb.ui import figures
from qcity_nb.ui.painter import PAINTER

pd = pytest.importorskip("pandas")
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def beats(*rows):
    """A frame of (begin, seconds, beats, up)."""
    found = [{"at": pd.Timestamp(at), "runner": "alpha", "span_s": seconds, "beats": number, "up": up} for at, seconds, number, up in rows]
    return pd.DataFrame(found)


def test_twenty_minutes_of_single_beats_are_twenty_minutes_and_show_when_it_was_down():
    down = range(100, 120)
    [strip] = figures.strips(beats(*[(NOON + timedelta(seconds=5 * turn), 1, 1, int(turn not in down)) for turn in range(240)]))
    assert NOON + 19 * MINUTE < strip.at(len(strip.shares)) <= NOON + 20 * MINUTE
    assert len(strip.shares) > 50
    assert {0.0, 1.0} <= set(strip.shares)


def test_hours_and_the_begin_of_the_next_one_end_with_what_is_known():
    hours = [(NOON + turn * HOUR, 3600, 720, 720) for turn in range(3)]
    now = [(NOON + 3 * HOUR + timedelta(seconds=5 * turn), 1, 1, 1) for turn in range(60)]
    [strip] = figures.strips(beats(*hours, *now))
    assert strip.shares == (1.0,) * 4
    assert strip.at(3) == NOON + 3 * HOUR
    assert strip.at(4) == NOON + 3 * HOUR + 5 * MINUTE - timedelta(seconds=4)


@pytest.mark.parametrize("hours", [1, 24, 168])
def test_the_frame_says_how_long_each_of_its_spans_is_and_nothing_is_plotted_of_the_future(place, city, hours):
    place.runner("alpha", minutes=70)
    if hours > 2:
        with place.store.write() as connection:
            history.roll_up(connection, now=place.at)
    health = Health(city.link, PAINTER, hours=hours)
    assert set(health.frame()["span_s"]) <= {1, 60, 3600}
    ends = health.frame()["at"] + pd.to_timedelta(health.frame()["span_s"], unit="s")
    latest = max(ends).to_pydatetime()
    assert latest <= place.at + MINUTE
    assert max(health.figure().data[0].x) == latest
    assert f"to {latest:%Y-%m-%d %H:%M:%S} UTC" in health.static()
