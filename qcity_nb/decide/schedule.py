"""When schedules ask for runs. Times go in and come out as UTC; the wall clock of a zone is cronsim's business, which follows Debian's cron.

In spring, what lies in the hour that is skipped runs right after it; in autumn, what lies in the hour that comes twice runs once.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from ..errors import BadInput
from ..model.schedule import CatchUp, Moment, Retry, Schedule
from .wording import did_you_mean

FIELDS = ("minute", "hour", "day of month", "month", "day of week")
SOME_DAY = datetime(2024, 1, 1, tzinfo=timezone.utc)  # to find out whether a line can be read
MOST = 1000
"""Moments of one schedule that are looked at in one go: a year of downtime and a schedule for every minute are no reason to hang."""
LATE = timedelta(seconds=60)
"""A moment that is noticed within this is no missed one: engines are replaced in seconds."""
NAMES = {"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *"}
NAMES |= {"@midnight": "0 0 * * *", "@hourly": "0 * * * *"}


def check(schedule: Schedule, *, now: datetime | None = None) -> Schedule:
    """The schedule, if it can be kept.

    Args:
        now: a schedule of one moment has to lie after it.

    Raises:
        BadInput: its cron line, zone, or a number is wrong; the sentence says which field.
    """
    zone_of(schedule.zone)
    if schedule.once is None:
        cron_of(schedule.cron)
    if schedule.max_parallel < 1:
        raise BadInput(f"{schedule.name}: max_parallel is {schedule.max_parallel}", "It has to be 1 or more")
    if schedule.plan.retry.times < 0:
        raise BadInput(f"{schedule.name}: retries is {schedule.plan.retry.times}", "It has to be 0 or more")
    if schedule.plan.timeout is not None and schedule.plan.timeout <= timedelta(0):
        raise BadInput(f"{schedule.name}: its timeout is not more than nothing", "Leave it out, or write 30m")
    if schedule.once is not None and now is not None and schedule.once <= now:
        raise BadInput(f"{schedule.name}: {schedule.once:%Y-%m-%d %H:%M} UTC is in the past", "Give a moment that is still to come, or a cron line")
    if schedule.once is None and upcoming(schedule, after=SOME_DAY) is None:
        raise BadInput(f'{schedule.name}: "{schedule.cron}" never comes', "Such a day is in no month")
    return schedule


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name.

    Raises:
        BadInput: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(f'there is no time zone "{name}"', did_you_mean(name, sorted(available_timezones()), what="zone")) from None


def cron_of(line: str) -> str:
    """A cron line with five or six fields.

    Raises:
        BadInput: a field is wrong; the sentence says which and what it may hold.
    """
    text = NAMES.get(line.strip().lower(), line.strip())
    parts = text.split()
    if len(parts) not in (5, 6):
        todo = 'Five fields: minute hour day month weekday, as "0 3 * * *" for three in the morning'
        raise BadInput(f'the cron line "{line}" has {len(parts)} field{"s" if len(parts) != 1 else ""}', todo)
    names = FIELDS if len(parts) == 5 else ("second", *FIELDS)
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        alone = ["*"] * len(parts)
        alone[number] = part
        try:
            CronSim(" ".join(alone), SOME_DAY)
        except CronSimError:
            raise BadInput(f'the cron line "{line}": its {name} is "{part}"', f"It may be {_ALLOWED[name]}, a list, a range or a step") from None
    try:
        CronSim(text, SOME_DAY)
    except CronSimError:
        raise BadInput(f'the cron line "{line}" never comes', "Such a day is in no month") from None
    return text


_ALLOWED = {
    "second": "0-59 or *",
    "minute": "0-59 or *",
    "hour": "0-23 or *",
    "day of month": "1-31, L for the last, or *",
    "month": "1-12, JAN-DEC or *",
    "day of week": "0-7 (0 and 7 are Sunday), SUN-SAT or *",
}


def fires(schedule: Schedule, *, after: datetime) -> Iterator[datetime]:
    """The moments of a schedule after a time, in UTC, without end."""
    if schedule.once is not None:
        if schedule.once > after:
            yield schedule.once
        return
    zone = zone_of(schedule.zone)
    last = after
    for found in CronSim(cron_of(schedule.cron), after.astimezone(zone)):
        at = found.astimezone(timezone.utc)
        if at > last:  # two wall times of a skipped hour are one moment
            last = at
            yield at


def upcoming(schedule: Schedule, *, after: datetime) -> datetime | None:
    """The next moment after a time; None when there is none in fifty years."""
    try:
        return next(fires(schedule, after=after), None)
    except CronSimError:
        return None


def due(schedule: Schedule, *, after: datetime, now: datetime) -> list[Moment]:
    """What a schedule asks for between the last moment that was dealt with and now, oldest first.

    Args:
        after: the last moment that was dealt with.
    """
    if schedule.paused:
        return []
    passed: list[datetime] = []
    for at in fires(schedule, after=after):
        if at > now:
            break
        passed.append(at)
        if len(passed) > MOST:  # only the newest matter, and how many there were is not counted for ever
            passed.pop(0)
    wanted = set(_wanted(schedule, passed, now))
    return [Moment(at=at, start=at + spread(schedule, at), missed=at not in wanted) for at in passed]


def _wanted(schedule: Schedule, passed: list[datetime], now: datetime) -> Iterable[datetime]:
    fresh = [at for at in passed if now - at <= LATE]
    late = [at for at in passed if now - at > LATE and (schedule.stale is None or now - at <= schedule.stale)]
    if schedule.catch_up is CatchUp.ALL:
        return [*late, *fresh]
    if schedule.catch_up is CatchUp.LATEST and not fresh:
        return late[-1:]
    return fresh


def spread(schedule: Schedule, at: datetime) -> timedelta:
    """How much later than its moment a run begins, so that a hundred nightly ones do not begin at once. Always the same for the same moment."""
    return schedule.spread * (zlib.crc32(f"{schedule.name}/{at.timestamp()}".encode()) / 0x100000000)


def wait(retry: Retry, key: str, attempt: int) -> timedelta:
    """How long after attempt number `attempt` the next one begins."""
    plain = min(retry.base * float(2 ** min(attempt - 1, 32)), retry.cap)
    draw = zlib.crc32(f"{key}/{attempt}".encode()) / 0xFFFFFFFF * 2 - 1
    return plain * (1 + retry.jitter * draw)


def after(moments: Iterable[Moment], otherwise: datetime) -> datetime:
    """The last moment that has been dealt with when these have."""
    return max((moment.at for moment in moments), default=otherwise)
