"""A clock that moves only when it is told to, with everything that real ones do: jumps of the wall clock, a machine that slept."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

BEGIN = datetime(2026, 1, 5, 8, 0, tzinfo=timezone.utc)


class FakeClock:
    """Both clocks of `ports.Clock`.

    Args:
        start: what both show at first.
    """

    def __init__(self, start: datetime = BEGIN) -> None:
        self._steady, self._wall = start, start

    def now(self) -> datetime:
        """The steady clock."""
        return self._steady

    def wall(self) -> datetime:
        """The wall clock."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        step = timedelta(seconds=seconds)
        if step < timedelta(0):
            raise ValueError("the steady clock never goes back")
        self._steady += step
        self._wall += step

    def advance_to(self, moment: datetime) -> None:
        """Let time pass until the steady clock shows `moment`; nothing happens when it does already."""
        self.advance(max(0.0, (moment - self._steady).total_seconds()))

    def jump(self, seconds: float) -> None:
        """Set the wall clock, forward or back, as a time server or a person does."""
        self._wall += timedelta(seconds=seconds)

    def sleep(self, seconds: float) -> None:
        """The machine sleeps: people's time goes on, the steady clock and every process stand still."""
        self._wall += timedelta(seconds=seconds)
