"""What the master is told when repair is exhausted, and once more when it is well again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One message. `key` is the same for the same message, so that nobody gets it twice; `well` says that it is over."""

    key: str
    place: str
    service: str
    title: str
    since: datetime
    cause: str = ""
    evidence: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    todo: str = ""
    well: bool = False

    def text(self) -> str:
        """The message as a colleague would write it: what, since when, evidence, what was tried, the exact next command."""
        lines = [f"{self.title}.", f"Since {self.since:%Y-%m-%d %H:%M:%S} UTC, at {self.place}."]
        lines += [f"Cause: {self.cause}."] if self.cause else []
        lines += ["Evidence:", *(f"  {line}" for line in self.evidence)] if self.evidence else []
        lines += ["Tried:", *(f"  {line}" for line in self.tried)] if self.tried else []
        lines += [f"Next: {self.todo}"] if self.todo else []
        return "\n".join(lines)
