"""Random troubles on many agents: budgets are kept, foreign and busy ones are never ended, each ends healthy or with a person.

The figures of liveness are here too, in a time that only the test knows.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.decide import repair, symptoms
from qcity_nb.decide.failures import BY_CODE, diagnose
from qcity_nb.model.agent import Act, Clue, Evidence, Reach, Remote, RemoteJob
from qcity_nb.model.service import Exit

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
LOOK = timedelta(seconds=5)
MINUTE = timedelta(minutes=1)
SEEDS = range(40)
LOST = RemoteJob(id=1, run=2, name="test", status="completed", conclusion="failure")


def clues(*names: str) -> tuple[Clue, ...]:
    return tuple(Clue(name=name, line=f"({name})", at=NOW) for name in names)


OFFLINE, BUSY = Remote(id=7, name="gh-1", online=False), Remote(id=7, name="gh-1", online=True, busy=True)
ONLINE = replace(OFFLINE, online=True)
WELL = Evidence(at=NOW, alive=True, worker=False, connected=True, reach=Reach.FINE, skew=timedelta(0), remote=ONLINE, clues=clues("listening"))
ENDED = replace(WELL, alive=False, worker=None, connected=None, remote=OFFLINE, clues=())
TROUBLES: tuple[Evidence, ...] = (
    replace(WELL, remote=OFFLINE, silence=2 * MINUTE, waiting=2 * MINUTE),
    replace(WELL, remote=BUSY, connected=False, silence=6 * MINUTE),
    replace(WELL, waiting=4 * MINUTE, silence=4 * MINUTE, clues=clues("listening", "new_status")),
    replace(WELL, remote=OFFLINE, clues=clues("listening", *["broker_migration"] * 4)),
    replace(WELL, forge="gitlab", clues=clues("gl_forbidden"), refused="verify: forbidden"),
    replace(WELL, unmatched=("gpu",)),
    replace(WELL, orphans=2),
    replace(WELL, twins_offline=(3,)),
    replace(ENDED, ended=Exit(code=5), clues=clues("session_exists")),
    replace(ENDED, remote=None, absent=True, clues=clues("registration_deleted")),
    replace(ENDED, remote=None, absent=True, skew=10 * MINUTE, clues=clues("registration_deleted")),
    replace(ENDED, ended=Exit(code=7)),
    replace(ENDED, ended=Exit(signal=9)),
    replace(ENDED, ended=Exit()),
    replace(ENDED, clues=clues("sudo")),
    replace(ENDED, ephemeral=True, configured=False, ended=Exit(code=0)),
    replace(WELL, job=LOST, lost=True),
)


def steps(evidence, memory):
    verdicts, after = repair.consider(diagnose(evidence), evidence, memory)
    return [one for one in verdicts if isinstance(one, repair.Step)], after


class Agent:
    """One agent: a trouble that stays until the right act, or until so many acts were in vain."""

    def __init__(self, draw: random.Random) -> None:
        self.draw, self.memory, self.life, self.trouble, self.stubborn = draw, repair.Memory(), 1, WELL, 0
        self.foreign = draw.random() < 0.2
        self.registered: list[datetime] = []
        self.held = False

    def look(self, at: datetime, *, quiet: bool) -> None:
        if not quiet and self.trouble is WELL and self.draw.random() < 0.01:
            self.trouble, self.stubborn = self.draw.choice(TROUBLES), self.draw.choice((0, 0, 0, 1, 2, 9))
        works = self.trouble is WELL and self.draw.random() < 0.3
        evidence = replace(self.trouble, at=at, life=self.life, foreign=self.foreign, worker=True if works else self.trouble.worker)
        taken, self.memory = steps(evidence, self.memory)
        for step in taken:
            assert not self.foreign, "somebody else's"
            assert not (step.act in repair.ENDS and evidence.alive and symptoms.working(evidence) and not BY_CODE[step.finding.code].dead)
            self.do(step.act, at)
        assert sum(one.act is not Act.HOLD for one in taken) <= 1, "one repair at a time"

    def do(self, act: Act, at: datetime) -> None:
        if act in repair.REGISTERS:
            self.registered.append(at)
        if act is Act.HOLD:
            self.held = True
        if act in repair.ENDS:
            self.life += 1
        if self.stubborn and act is not Act.HOLD:
            self.stubborn -= 1
        elif act is not Act.HOLD:
            self.trouble = WELL


@pytest.mark.parametrize("seed", SEEDS)
def test_random_troubles_keep_to_budgets_and_end_healthy_or_with_a_person(seed):
    draw = random.Random(seed)
    agents = [Agent(draw) for _ in range(4)]
    for number in range(800):  # three hours and twenty minutes; nothing new befalls them in the last two
        for agent in agents:
            agent.look(NOW + number * 3 * LOOK, quiet=number > 320)
    for agent in agents:
        for at in agent.registered:
            assert sum(timedelta(0) <= other - at < repair.HOUR for other in agent.registered) <= repair.REGISTRATIONS_AN_HOUR
        assert agent.foreign or agent.trouble is WELL or agent.held, (agent.trouble, agent.memory)


def found_after(trouble, *, wait):
    """How long after it fell silent a repair begins; the job that it could take has waited as long, if one does."""
    memory = repair.Memory()
    for number in range(1200):
        passed = number * LOOK
        evidence = replace(trouble, at=NOW + passed, silence=passed, waiting=passed if wait else None)
        taken, memory = steps(evidence, memory)
        if taken:
            return passed
    return None


SILENT = replace(WELL, remote=OFFLINE, clues=clues("listening", "acknowledging"))


def test_a_zombie_is_found_within_its_silence_and_within_90_seconds_when_a_job_waits():
    """The second look, half a minute later, comes on top: what was seen once only is not touched."""
    assert found_after(SILENT, wait=True) <= symptoms.WAITING_SILENCE + repair.REPEAT + LOOK
    assert found_after(SILENT, wait=False) <= symptoms.IDLE_SILENCE + repair.REPEAT + LOOK
    assert symptoms.silent(replace(SILENT, silence=symptoms.WAITING_SILENCE, waiting=symptoms.WAITING_SILENCE)), "seen at 90 s"
    assert symptoms.silent(replace(SILENT, silence=symptoms.IDLE_SILENCE)), "seen at the end of its documented silence"


def test_a_repair_that_worked_is_not_climbed_from_ten_minutes_later():
    evidence = replace(ENDED, ended=Exit(signal=9), life=1)
    taken, memory = steps(evidence, repair.Memory())
    assert [one.act for one in taken] == [Act.RESTART]
    _, memory = repair.consider((), replace(WELL, at=NOW + MINUTE, life=2), memory)
    assert memory.open is None
    taken, memory = steps(replace(evidence, at=NOW + 2 * MINUTE, life=2), memory)
    assert [one.act for one in taken] == [Act.RESTART], "one that was killed is started, however often; its restarts have a budget of their own"


def test_a_new_cause_of_the_next_end_is_not_kept_waiting_by_the_last_repair():
    _, memory = steps(replace(ENDED, ended=Exit(signal=9), life=1), repair.Memory())
    taken, _ = steps(replace(ENDED, ended=Exit(code=5), clues=clues("session_exists"), at=NOW + MINUTE, life=2), memory)
    assert [one.act for one in taken] == [Act.RESESSION]


def test_a_question_to_a_person_keeps_nobody_from_a_repair_and_is_asked_once():
    memory, asked, mended = repair.Memory(), 0, 0
    for number in range(120):
        trouble = replace(WELL, unmatched=("gpu",), orphans=2 if number == 60 else 0, at=NOW + number * LOOK)
        taken, memory = steps(trouble, memory)
        asked += sum(one.act is Act.HOLD for one in taken)
        mended += sum(one.act is Act.REAP for one in taken)
    assert (asked, mended) == (1, 1)
