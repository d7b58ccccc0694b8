"""When schedules ask for runs: the days on which clocks change, in every zone that has any, downtime, catching up, what is never a cron line."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcity_nb.decide import schedule as plan
from qcity_nb.errors import BadInput
from qcity_nb.model.schedule import CatchUp, Retry, RunPlan, Schedule

UTC = timezone.utc


def nightly(cron: str = "0 3 * * *", zone: str = "UTC", **more: object) -> Schedule:
    return Schedule(name="nightly", cron=cron, zone=zone, **{"plan": RunPlan(notebook="n.ipynb"), **more})  # type: ignore[arg-type]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def walls(cron: str, zone: str, day: str, number: int) -> list[str]:
    """The next moments after a day's begin, on the zone's wall."""
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)) - timedelta(seconds=1)
    return [f"{one.astimezone(ZoneInfo(zone)):%m-%d %H:%M}" for one in islice(plan.fires(nightly(cron, zone), after=begin.astimezone(UTC)), number)]


@pytest.mark.parametrize(
    ("cron", "zone", "day", "expected"),
    [
        ("30 2 * * *", "America/New_York", "2026-03-08", ["03-08 03:00", "03-09 02:30"]),
        ("30 1 * * *", "America/New_York", "2026-11-01", ["11-01 01:30", "11-02 01:30"]),
        ("0 0 * * *", "America/New_York", "2026-03-08", ["03-08 00:00", "03-09 00:00", "03-10 00:00"]),
        ("0 0 * * *", "Europe/Berlin", "2026-03-29", ["03-29 00:00", "03-30 00:00"]),
        ("0 0 * * *", "Australia/Sydney", "2026-10-04", ["10-04 00:00", "10-05 00:00"]),
        ("15 0 * * *", "America/Santiago", "2026-09-06", ["09-06 01:00", "09-07 00:15"]),  # midnight itself is skipped
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["10-04 02:30", "10-05 02:15"]),  # half an hour only
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25", ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00", "10-25 02:30"]),
    ],
)
def test_days_on_which_clocks_change(cron, zone, day, expected):
    assert walls(cron, zone, day, len(expected)) == expected


def changes() -> list[tuple[str, datetime]]:
    """Every change of a zone's offset from 2024 to 2027, each kind of change once for each offset and month."""
    found: dict[tuple[object, ...], tuple[str, datetime]] = {}
    for name in sorted(available_timezones()):
        zone, day = ZoneInfo(name), datetime(2024, 1, 1, tzinfo=UTC)
        before = day.astimezone(zone).utcoffset()
        while day.year < 2028:
            day += timedelta(days=1)
            offset = day.astimezone(zone).utcoffset()
            if offset != before:
                found.setdefault((before, offset, day.year, day.month, day.day), (name, day))
                before = offset
    return list(found.values())


@pytest.mark.parametrize(("zone", "day"), [pytest.param(zone, day, id=f"{zone} {day:%Y-%m-%d}") for zone, day in changes()])
def test_in_every_zone_a_daily_run_comes_once_a_day_and_an_hourly_one_each_hour(zone, day):
    begin, end = day - timedelta(days=3), day + timedelta(days=3)
    for cron in ("30 2 * * *", "0 0 * * *", "30 1 * * *", "59 23 * * *"):
        seen = list(takewhile(lambda one: one <= end, plan.fires(nightly(cron, zone), after=begin)))
        assert len(seen) in (5, 6, 7), cron
        apart = [later - earlier for earlier, later in pairwise(seen)]
        assert timedelta(hours=22) <= min(apart) <= max(apart) <= timedelta(hours=26), cron
    hours = list(takewhile(lambda one: one <= end, plan.fires(nightly("*/60 * * * *", zone), after=begin)))
    assert 138 <= len(hours) <= 150


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 3 * *", "has 4 fields"),
        ("", "has 0 fields"),
        ("61 3 * * *", 'its minute is "61"'),
        ("0 24 * * *", 'its hour is "24"'),
        ("0 3 0 * *", 'its day of month is "0"'),
        ("0 3 * 13 *", 'its month is "13"'),
        ("0 3 * * FRY", 'its day of week is "FRY"'),
        ("0 3 * * 1-", 'its day of week is "1-"'),
        ("*/0 3 * * *", 'its minute is "*/0"'),
        ("0 3 30 2 *", "never comes"),
        ("5 0 3 * * * *", "has 7 fields"),
    ],
)
def test_what_is_no_cron_line_is_said_with_its_field(line, says):
    with pytest.raises(BadInput, match=says.replace("*", r"\*")):
        plan.check(nightly(line))


def test_names_and_seconds_are_cron_lines_too():
    assert plan.cron_of("@daily") == "0 0 * * *"
    assert plan.cron_of(" @Hourly ") == "0 * * * *"
    found = list(islice(plan.fires(nightly("*/20 * * * * *"), after=at("2026-01-01T00:00:00")), 3))
    assert [one.second for one in found] == [20, 40, 0]


def test_an_unknown_zone_has_a_nearest_one():
    with pytest.raises(BadInput, match='no time zone "Europe/Pariss"') as caught:
        plan.check(nightly(zone="Europe/Pariss"))
    assert "Europe/Paris" in caught.value.todo
    for name in ("../../etc/passwd", "", "\0"):
        with pytest.raises(BadInput, match="no time zone"):
            plan.zone_of(name)


@pytest.mark.parametrize(
    "more", [{"max_parallel": 0}, {"plan": RunPlan(notebook="n", retry=Retry(times=-1))}, {"plan": RunPlan(notebook="n", timeout=timedelta(0))}]
)
def test_numbers_that_cannot_be_meant(more):
    with pytest.raises(BadInput, match="nightly"):
        plan.check(nightly(**more))


@pytest.mark.parametrize(
    ("catch_up", "stale", "had"),
    [
        (CatchUp.NONE, None, []),
        (CatchUp.LATEST, None, ["2026-01-05"]),
        (CatchUp.ALL, None, ["2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05"]),
        (CatchUp.ALL, timedelta(days=2), ["2026-01-04", "2026-01-05"]),
        (CatchUp.LATEST, timedelta(hours=1), []),
    ],
)
def test_after_four_nights_of_downtime(catch_up, stale, had):
    found = plan.due(nightly(catch_up=catch_up, stale=stale), after=at("2026-01-01T03:00"), now=at("2026-01-05T12:00"))
    assert [f"{one.at:%Y-%m-%d}" for one in found] == ["2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05"], "none is forgotten"
    assert [f"{one.at:%Y-%m-%d}" for one in found if not one.missed] == had


def test_a_moment_that_has_just_come_is_not_late_whatever_catching_up_says():
    for catch_up in CatchUp:
        (one,) = plan.due(nightly(catch_up=catch_up), after=at("2026-01-01T03:00"), now=at("2026-01-02T03:00:30"))
        assert not one.missed


def test_a_paused_one_asks_for_nothing():
    assert plan.due(nightly(paused=True), after=at("2026-01-01T03:00"), now=at("2026-02-01T03:00")) == []


def test_years_of_a_schedule_for_every_minute_do_not_hang():
    found = plan.due(nightly("* * * * *", catch_up=CatchUp.ALL), after=at("2026-01-01T00:00"), now=at("2026-01-08T00:00"))
    assert len(found) == plan.MOST
    assert found[-1].at == at("2026-01-08T00:00")


@settings(max_examples=60, deadline=None)
@given(
    cron=st.sampled_from(["0 3 * * *", "*/15 * * * *", "30 2 * * 0", "0 0 1 * *", "*/20 8-18 * * MON-FRI"]),
    zone=st.sampled_from(["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Pacific/Chatham", "Africa/Casablanca"]),
    cuts=st.lists(st.integers(0, 20 * 86400), min_size=1, max_size=12),
    catch_up=st.sampled_from(CatchUp),
)
def test_however_often_it_is_asked_each_moment_is_dealt_with_once(cron, zone, cuts, catch_up):
    one, begin = nightly(cron, zone, catch_up=catch_up), at("2026-03-20T00:00")
    times = sorted(begin + timedelta(seconds=cut) for cut in cuts)
    last, seen = begin, []
    for now in times:
        found = plan.due(one, after=last, now=now)
        seen += [moment.at for moment in found]
        last = plan.after(found, last)
    whole = [moment.at for moment in plan.due(one, after=begin, now=times[-1])]
    assert seen[-len(whole) :] == whole
    assert len(seen) == len(set(seen))


@given(key=st.text(max_size=20), attempt=st.integers(1, 60))
def test_waits_grow_and_stay_below_the_cap(key, attempt):
    retry = Retry(times=9, base=timedelta(seconds=10), cap=timedelta(minutes=10), jitter=0.2)
    assert timedelta(seconds=8) <= plan.wait(retry, key, attempt) <= timedelta(minutes=12)
    assert plan.wait(retry, key, attempt) == plan.wait(retry, key, attempt)


def test_starts_are_spread_over_their_window():
    names = [Schedule(name=f"s{number}", plan=RunPlan(notebook="n"), cron="0 3 * * *", spread=timedelta(minutes=10)) for number in range(300)]
    found = sorted(plan.spread(one, at("2026-01-01T03:00")).total_seconds() for one in names)
    assert 0 <= found[0] < 30
    assert 570 < found[-1] < 600
    assert len({round(seconds) for seconds in found}) > 150
