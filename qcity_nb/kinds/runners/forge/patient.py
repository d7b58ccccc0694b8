"""One agent as the attendant knows it between two looks, and the look at this machine."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec

from ....decide.symptoms import IDLE_CPU, WORKER_CODES
from ....model.agent import Clue, Evidence
from ....model.home import Home
from ....model.wire import AgentCard, AgentView
from . import look, packages
from . import memory as memories
from .canary import Canary
from .evidence import About, Local
from .options import Options

SHARE_SECONDS = 1.0
"""Over how long a share of the processor is taken at least."""
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
        self.verified = 0.0  # when its platform was last asked about its token (monotonic)
        self.told: AgentView | None = None
        self.told_at = datetime.min.replace(tzinfo=timezone.utc)
        self.last: Evidence | None = None
        self.seen = look.Seen()
        self.canary = Canary(card.name, self.root, self.options.url, every=timedelta(seconds=0 if self.foreign else self.options.canary))
        self._adrift: list[int] = []
        self._cpu: tuple[float, float] | None = None
        self._used: float | None = None
        self._busy_since: datetime | None = None
        self._passed: set[tuple[str, str]] = set()
        self._took: tuple[int, str, float] | None = None  # the job under way: its id, its name, how long it has worked, in seconds

    @property
    def foreign(self) -> bool:
        """Whether somebody else started it."""
        return self.card.kind == "foreign"

    @property
    def busy(self) -> bool:
        """Whether its platform showed it busy at the last look."""
        return self.last is not None and self.last.remote is not None and self.last.remote.busy

    @property
    def crashed(self) -> bool:
        """Whether the worker of its last job ended as no job does."""
        code = self.last.worker_code if self.last is not None else None
        return code is not None and code not in WORKER_CODES

    @property
    def about(self) -> About:
        """Whose evidence its is."""
        card, options = self.card, self.options
        return About(
            name=card.name, forge=options.forge, scope=options.scope, root=str(self.root), life=card.incarnation, foreign=self.foreign
        )

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
            phantom=self._phantom(now),
            version=packages.installed(root),
            refused=self.refused,
            refusals=self.refusals,
        )

    def learn(self, found: Evidence) -> None:
        """Remember how long a job took, so that one that hangs can be told: once it is over, because it is no measure for itself."""
        job = found.job if found.running_for is not None and self.seen.worker else None
        if self._took is not None and (job is None or job.id != self._took[0]):
            _, name, seconds = self._took
            self._took, self.memory.worst[name] = None, max(self.memory.worst.get(name, 0.0), seconds)
            self.save()
        if job is not None and found.running_for is not None and (found.cpu or 0.0) >= IDLE_CPU:
            self._took = (job.id, job.name, found.running_for.total_seconds())

    def mended(self, clues: tuple[Clue, ...]) -> None:
        """What was mended while it lives: the lines that showed it are history."""
        self._passed |= {(clue.name, clue.line) for clue in clues if clue.name in PASSED}

    def save(self) -> None:
        """Remember. Where an opening has written meanwhile, its word counts, and ours on jobs is added."""
        if self.foreign:
            return
        there, mine = memories.load(self.home, self.card.name), self.memory
        if there.begun > mine.begun:
            there.rerun = [*there.rerun, *(job for job in mine.rerun if job not in there.rerun)]
            there.lost = {id_: name for id_, name in there.lost.items() if id_ in mine.lost or id_ not in mine.known}
            there.worst = {**there.worst, **mine.worst}
            self.memory = there
        memories.save(self.home, self.card.name, self.memory)

    def _phantom(self, now: datetime) -> timedelta | None:
        """For how long its platform has shown it busy without a process that could be."""
        if not self.busy or self.seen.worker:
            self._busy_since = None
            return None
        self._busy_since = self._busy_since or now
        return now - self._busy_since

    def _share(self) -> float | None:
        """The share of a core that its job used since the last look."""
        used, before = (time.monotonic(), self.seen.cpu_seconds), self._cpu
        if before is not None and self.seen.worker and used[0] - before[0] < SHARE_SECONDS:
            return self._used
        self._cpu, self._used = used, None
        if before is not None and self.seen.worker:
            self._used = max(0.0, used[1] - before[1]) / (used[0] - before[0])
        return self._used


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
