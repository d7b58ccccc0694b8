"""What to do about a finding, and when not to. Findings and memory in, a step and the new memory out; pure.

The ladder: seen twice, soft, hard, new session, new registration (only with proof), a person. Never a busy agent, never a foreign one,
one repair at a time, and budgets of their own for registrations and deletions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ..model.agent import Act, Evidence, Finding, Suspicion, Trust
from . import symptoms
from .failures import BY_CODE, proven
from .wording import span

REPEAT = timedelta(seconds=30)
"""How far apart two looks have to be to count as two."""
FORGET = timedelta(minutes=10)
"""A suspicion that was not seen again for so long is dropped."""
PROOF_WITHIN = timedelta(minutes=5)
"""A repair that has not proved itself by then has failed, and the next rung is tried."""
REGISTRATIONS_AN_HOUR = 2
HOUR = timedelta(hours=1)

ENDS = frozenset({Act.RESTART, Act.RESESSION, Act.WAIT_CLOCK, Act.REGISTER, Act.RENAME, Act.INSTALL, Act.RENEW})
"""The acts that end a living agent: being busy protects it from them."""
REGISTERS = frozenset({Act.REGISTER, Act.RENAME})
NEXT_RUNG = {
    Act.RESTART: Act.REGISTER,
    Act.RESESSION: Act.RENAME,
    Act.WAIT_CLOCK: Act.HOLD,
    Act.REGISTER: Act.RENAME,
    Act.RENAME: Act.HOLD,
    Act.INSTALL: Act.HOLD,
    Act.RENEW: Act.HOLD,
    Act.RERUN: Act.HOLD,
}
"""What is tried when an act did not prove itself. What is not listed is tried again."""
PATIENT = frozenset({"F23", "F30"})
"""What passes by itself: waiting for it is no failure, however long it takes."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Do this about that."""

    finding: Finding
    act: Act


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Nothing is done, and why: it is busy, foreign, seen once only, or a repair has still to prove itself."""

    finding: Finding
    why: str


@dataclass(frozen=True, kw_only=True)
class Proved:
    """The repair of this row worked; `how` says how that is known."""

    code: str
    how: str


Verdict = Step | Watched | Proved


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What is remembered of one agent between two looks. `open` is the repair that has to prove itself, with its act and when it was done."""

    suspicions: tuple[Suspicion, ...] = ()
    open: tuple[str, Act, datetime] | None = None
    tries: tuple[tuple[str, Act, datetime], ...] = field(default=())

    def registrations(self, now: datetime) -> int:
        """How often it was registered again in the last hour."""
        return sum(1 for _, act, at in self.tries if act in REGISTERS and now - at < HOUR)


def consider(findings: Sequence[Finding], evidence: Evidence, memory: Memory) -> tuple[tuple[Verdict, ...], Memory]:
    """What to do about what was found: at most one step, and for every other finding why it waits."""
    now = evidence.at
    verdicts: list[Verdict] = []
    if memory.open is not None and (how := proven(memory.open[0], evidence)):
        verdicts.append(Proved(code=memory.open[0], how=how))
        memory = replace(memory, open=None)
    memory = replace(memory, suspicions=_seen(findings, memory.suspicions, now), tries=tuple(one for one in memory.tries if now - one[2] < HOUR))
    step: Step | None = None
    for finding in findings:
        why = "another repair comes first" if step else _why_not(finding, evidence, memory)
        if why:
            verdicts.append(Watched(finding=finding, why=why))
            continue
        step = Step(finding=finding, act=_rung(finding, memory, now))
        verdicts.append(step)
        kept = tuple(one for one in memory.suspicions if one.code != finding.code)
        memory = replace(memory, suspicions=kept, open=(finding.code, step.act, now), tries=(*memory.tries, (finding.code, step.act, now)))
    return tuple(verdicts), memory


def _seen(findings: Sequence[Finding], known: Sequence[Suspicion], now: datetime) -> tuple[Suspicion, ...]:
    """The suspicions after this look. What was not found is dropped: a symptom that went away was none."""
    before = {one.code: one for one in known if now - one.since < FORGET}
    after = []
    for finding in findings:
        one = before.get(finding.code)
        if one is None:
            after.append(Suspicion(code=finding.code, since=now))
        elif now - one.since >= REPEAT:
            after.append(replace(one, seen=one.seen + 1))
        else:
            after.append(one)
    return tuple(after)


def _why_not(finding: Finding, e: Evidence, memory: Memory) -> str:
    """Why nothing is done about it now; empty when something is."""
    row, now = BY_CODE[finding.code], e.at
    if e.foreign:
        return "somebody else started it: it is watched, never touched"
    if memory.open is not None:
        code, act, at = memory.open
        if code == finding.code and code in PATIENT:
            return "it passes by itself"
        if now - at < PROOF_WITHIN:
            return f"what was done about {code} ({act.value}) has {span(PROOF_WITHIN - (now - at))} left to prove itself"
    if finding.trust is Trust.HUMAN:
        return ""  # asking disturbs nobody
    if finding.act in ENDS and e.alive and symptoms.working(e) and not row.dead:
        return "it is busy"
    if finding.trust is Trust.VERIFIED:
        seen = next((one.seen for one in memory.suspicions if one.code == finding.code), 1)
        if e.alive and seen < 2:
            return f"seen once; it has to be seen again after {span(REPEAT)}"
        if not row.second(e):
            return "there is no second, independent proof yet"
    if _rung(finding, memory, now) in REGISTERS and memory.registrations(now) >= REGISTRATIONS_AN_HOUR:
        return f"it was registered {REGISTRATIONS_AN_HOUR} times within the hour already"
    return ""


def _rung(finding: Finding, memory: Memory, now: datetime) -> Act:
    """The finding's own act at first; the next rung when the last one for the same row did not help."""
    if finding.trust is Trust.HUMAN:
        return Act.HOLD
    if finding.code in PATIENT:
        return finding.act
    mine = [act for code, act, at in memory.tries if code == finding.code and now - at < HOUR]
    return NEXT_RUNG.get(mine[-1], mine[-1]) if mine else finding.act
