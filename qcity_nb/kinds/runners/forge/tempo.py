"""How fast time passes for agents and their attendant. It is 1; tests and drills play an hour in minutes with QCITY_ATTENDANT_SPEED."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

SPEED = max(1.0, float(os.environ.get("QCITY_ATTENDANT_SPEED", "1")))
"""How many seconds a second counts for."""
BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""Where every process begins to count, so that all agree."""


def now() -> datetime:
    """The moment, as suspicions, proofs and budgets count it."""
    return at(datetime.now(timezone.utc))


def at(real: datetime) -> datetime:
    """A moment of the clock on the wall, as it counts."""
    return real if SPEED == 1 else BEGIN + (real - BEGIN) * SPEED


def told(real: timedelta) -> timedelta:
    """A duration that passed, as it counts."""
    return real * SPEED


def real(counted: timedelta) -> float:
    """Seconds to wait for a duration that counts as this long."""
    return counted.total_seconds() / SPEED
