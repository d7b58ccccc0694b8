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
RESTING = frozenset({"F25", "F26", "F29", "F34", "F37"})
"""What is seen to of an agent that is not up: what it left behind on its platform."""
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
    """What is remembered of one agent between two looks.

    `open` is the repair that has to prove itself, with its act and when it was done; `life` the agent's life in which that was decided.
    `asked` are the rows that a person was asked about, each with the life that showed it; `climbed` the last act for each row that has not
    held for ten minutes yet: the next rung begins there.
    """

    suspicions: tuple[Suspicion, ...] = ()
    open: tuple[str, Act, datetime] | None = None
    life: int = 0
    asked: tuple[tuple[str, int], ...] = ()
    climbed: tuple[tuple[str, Act, datetime], ...] = ()
    tries: tuple[tuple[str, Act, datetime], ...] = field(default=())

    def registrations(self, now: datetime) -> int:
        """How often it was registered again in the last hour."""
        return sum(1 for _, act, at in self.tries if act in REGISTERS and now - at < HOUR)


def consider(findings: Sequence[Finding], evidence: Evidence, memory: Memory) -> tuple[tuple[Verdict, ...], Memory]:
    """What to do about what was found: at most one step, and for every other finding why it waits."""
    now = evidence.at
    verdicts: list[Verdict] = []
    if memory.open is not None and (how := _proved(memory, evidence)):
        verdicts.append(Proved(code=memory.open[0], how=how))
        held = tuple((code, act, now if code == memory.open[0] else at) for code, act, at in memory.climbed)
        memory = replace(memory, open=None, climbed=held)
    for code, _ in memory.asked:
        if how := proven(code, evidence):
            verdicts.append(Proved(code=code, how=how))
            memory = replace(memory, asked=tuple(one for one in memory.asked if one[0] != code))
    memory = replace(memory, suspicions=_seen(findings, memory.suspicions, now), tries=tuple(one for one in memory.tries if now - one[2] < HOUR))
    step: Step | None = None
    for finding in findings:
        why = "another repair comes first" if step else _why_not(finding, evidence, memory)
        if why:
            verdicts.append(Watched(finding=finding, why=why))
            continue
        asks = Step(finding=finding, act=_rung(finding, evidence, memory))
        verdicts.append(asks)
        kept = tuple(one for one in memory.suspicions if one.code != finding.code)
        if asks.act is Act.HOLD:  # asking is no repair: it keeps nobody from one
            others = tuple(one for one in memory.asked if one[0] != finding.code)
            memory = replace(memory, suspicions=kept, asked=(*others, (finding.code, evidence.life)))
            continue
        step, tried = asks, (finding.code, asks.act, now)
        climbed = (*(one for one in memory.climbed if one[0] != finding.code), tried)
        memory = replace(memory, suspicions=kept, open=tried, life=evidence.life, climbed=climbed, tries=(*memory.tries, tried))
    return tuple(verdicts), memory


def _proved(memory: Memory, evidence: Evidence) -> str:
    """How it is known that the open repair worked. What is mended by a new life is not proved by the old one, which looked well at times too."""
    assert memory.open is not None
    code, act, _ = memory.open
    return "" if act in ENDS and evidence.life <= memory.life else proven(code, evidence)


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
    if (finding.code, e.life) in memory.asked:
        return "a person was asked"
    if finding.act not in ENDS and (how := proven(finding.code, e)):
        return f"it is over already: {how}"
    if why := _is_waited_for(finding, e, memory):
        return why
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
    if _rung(finding, e, memory) in REGISTERS and memory.registrations(now) >= REGISTRATIONS_AN_HOUR:
        return f"it was registered {REGISTRATIONS_AN_HOUR} times within the hour already"
    return ""


def _is_waited_for(finding: Finding, e: Evidence, memory: Memory) -> str:
    """Why the open repair keeps another from being done; empty when it does not, or there is none."""
    if memory.open is None:
        return ""
    code, act, at = memory.open
    if code == finding.code and code in PATIENT:
        return "it passes by itself"
    over = e.at - at >= PROOF_WITHIN or (not e.alive and e.life > memory.life)  # the life that it began has ended
    if over or finding.trust is Trust.HUMAN:
        return ""
    return f"what was done about {code} ({act.value}) has {span(PROOF_WITHIN - (e.at - at))} left to prove itself"


def _rung(finding: Finding, e: Evidence, memory: Memory) -> Act:
    """The finding's own act at first; the next rung when the last one for the same row did not help, or not for ten minutes."""
    if finding.trust is Trust.HUMAN:
        return Act.HOLD
    if finding.code in PATIENT:
        return finding.act
    for code, act, at in memory.climbed:
        if code == finding.code and e.at - at < (FORGET if memory.open is None or memory.open[0] != code else HOUR):
            return act if act is Act.RESTART and not e.alive else NEXT_RUNG.get(act, act)  # one that ended is started again, that is all
    return finding.act
