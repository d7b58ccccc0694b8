"""One agent as the attendant knows it between two looks, and the look at this machine."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec

from ....model.agent import Clue, Evidence
from ....model.home import Home
from ....model.service import Exit
from ....model.wire import AgentCard, AgentView
from . import look, packages
from . import memory as memories
from .canary import Canary
from .evidence import Local
from .options import Options

PASSED = frozenset({"disk_full", "lost_communication", "not_owned", "gl_long_polling", "gl_prepare"})
"""Clues of what an act mends while the agent lives: the lines stay in its log and count no more afterwards."""


class Patient:
    """One agent.

    Args:
        card: how the engine has it.
        home: where its files are.
    """

    def __init__(self, card: AgentCard, home: Home) -> None:
        self.card, self.home, self.options = card, home, options_of(card)
        self.root = Path(str(card.options["folder"])) if self.foreign else home.service(card.name) / "agent"
        self.memory = memories.load(home, card.name)
        self.well = 0  # the incarnation that was said to be up
        self.refused, self.refusals = "", 0
        self.told: AgentView | None = None
        self.told_at = datetime.min.replace(tzinfo=timezone.utc)
        self.last: Evidence | None = None
        self.seen = look.Seen()
        self.canary = Canary(card.name, self.root, self.options.url, every=timedelta(seconds=0 if self.foreign else self.options.canary))
        self._adrift: list[int] = []
        self._cpu: tuple[float, float] | None = None
        self._passed: set[tuple[str, str]] = set()

    @property
    def foreign(self) -> bool:
        """Whether somebody else started it."""
        return self.card.kind == "foreign"

    @property
    def busy(self) -> bool:
        """Whether its platform showed it busy at the last look."""
        return self.last is not None and self.last.remote is not None and self.last.remote.busy

    @property
    def pid(self) -> int | None:
        """Its process, as it wrote it down itself before it became the agent."""
        if self.foreign:
            return int(str(self.card.options.get("pid") or 0)) or None
        record = _record(self.home, self.card.name)
        return int(record["pid"]) if record.get("incarnation") == self.card.incarnation else self.card.pid

    def look(self, now: datetime) -> Local:
        """What this machine shows of it now."""
        card, root = self.card, self.root
        record = {} if self.foreign else _record(self.home, card.name)
        mine = record.get("incarnation") == card.incarnation
        before = set(self._adrift)
        self.seen = look.processes(self.pid, keeper=record.get("keeper") if mine else None)
        self._adrift = self.seen.orphans
        self.seen.orphans = [pid for pid in self._adrift if pid in before]  # seen twice: a job that begins just now leaves nothing
        clues, silence = look.log_of(self.home.service(card.name), root, now=now, life=None if self.foreign else card.incarnation)
        return Local(
            seen=self.seen,
            clues=tuple(clue for clue in clues if (clue.name, clue.line) not in self._passed),
            silence=silence,
            free=look.disk(root if root.exists() else self.home.root),
            not_ours=() if self.seen.worker or self.foreign else look.not_ours(root / "_work"),
            cpu=self._share(),
            ended=Exit() if self.memory.lost and not self.foreign else None,
            version=packages.installed(root),
            refused=self.refused,
            refusals=self.refusals,
        )

    def mended(self, clues: tuple[Clue, ...]) -> None:
        """What was mended while it lives: the lines that showed it are history."""
        self._passed |= {(clue.name, clue.line) for clue in clues if clue.name in PASSED}

    def save(self) -> None:
        """Remember."""
        if not self.foreign:
            memories.save(self.home, self.card.name, self.memory)

    def _share(self) -> float | None:
        """The share of a core that its job used since the last look."""
        used, before = (time.monotonic(), self.seen.cpu_seconds), self._cpu
        self._cpu = used
        if before is None or used[0] - before[0] < 1 or not self.seen.worker:
            return None
        return max(0.0, used[1] - before[1]) / (used[0] - before[0])


def options_of(card: AgentCard) -> Options:
    """The options on a card; what a foreign agent's card has besides is left out."""
    known = {key: value for key, value in card.options.items() if key in Options.__dataclass_fields__}
    return msgspec.convert({"forge": "github", "scope": "", **known}, Options, strict=False)


def _record(home: Home, name: str) -> dict[str, Any]:
    """Who the service's process is, as it wrote itself; empty when it did not."""
    try:
        found = json.loads((home.service(name) / "proc.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
