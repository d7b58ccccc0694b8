"""The real clocks."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from ..model.fleet import Instant


class SystemClock:
    """The steady clock starts at the wall clock's time and then follows the kernel's monotonic one.

    It never jumps and does not run while the machine sleeps.
    """

    def __init__(self) -> None:
        self._begin, self._mark = self.wall(), time.monotonic()

    def now(self) -> datetime:
        """The steady clock."""
        return self._begin + timedelta(seconds=time.monotonic() - self._mark)

    def wall(self) -> datetime:
        """The wall clock."""
        return datetime.now(timezone.utc)


def instant() -> Instant:
    """Now, on the kernel's two clocks: the one that stands still in sleep and, where there is one, the one that does not."""
    return Instant(time.monotonic(), time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)))
