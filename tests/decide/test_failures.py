"""The catalogue of failures: each row is found by what shows it, believed before what it would make us misread, and never found on the healthy."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.decide import repair
from qcity_nb.decide.agentlog import clue, clues, life, parse, worker_code
from qcity_nb.decide.failures import BY_CODE, ROWS, codes, diagnose, proven
from qcity_nb.model.agent import Act, Clue, Evidence, Reach, Remote, RemoteJob, Trust
from qcity_nb.model.service import Exit

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
FINE = timedelta(seconds=1)


def said(*names: str, at: datetime = NOW) -> tuple[Clue, ...]:
    return tuple(Clue(name=name, line=f"({name})", at=at) for name in names)


def remote(**changes: object) -> Remote:
    return replace(Remote(id=7, name="gh-1", online=True), **changes)  # type: ignore[arg-type]


OFFLINE, BUSY = remote(online=False), remote(busy=True)
WELL = Evidence(at=NOW, alive=True, worker=False, connected=True, reach=Reach.FINE, skew=FINE, remote=remote(), clues=said("connected", "listening"))
ENDED = replace(WELL, alive=False, worker=None, connected=None, remote=OFFLINE, ended=Exit(code=1))
LOST = RemoteJob(id=1, run=2, name="test", status="completed", conclusion="failure")

SAMPLES: dict[str, Evidence] = {
    "F1": replace(WELL, remote=OFFLINE, silence=95 * timedelta(seconds=1), waiting=2 * MINUTE, clues=said("listening", "acknowledging")),
    "F2": replace(WELL, remote=BUSY, connected=False, silence=6 * MINUTE, clues=said("listening", "running", "completed")),
    "F3": replace(WELL, waiting=4 * MINUTE, silence=4 * MINUTE, clues=said("listening", "running", "completed", "new_status")),
    "F4": replace(WELL, remote=OFFLINE, clues=said("listening", *["broker_migration"] * 4)),
    "F5": replace(ENDED, ended=Exit(code=5), clues=said("session_exists")),
    "F6": replace(ENDED, remote=None, absent=True, clues=said("registration_deleted")),
    "F7": replace(ENDED, remote=None, absent=True, skew=10 * MINUTE, clues=said("registration_deleted")),
    "F8": replace(ENDED, clues=said("clock")),
    "F9": replace(ENDED, ended=Exit(code=3), same_version_starts=2, version="2.335.0"),
    "F10": replace(ENDED, ended=Exit(code=7), clues=said("version_deprecated")),
    "F11": replace(ENDED, ended=Exit(code=0), clues=said("updating", "update_exit", "update_finished")),
    "F12": replace(ENDED, ended=Exit(signal=9)),
    "F13": replace(WELL, cpu=0.99, worker=True, clues=said("lost_communication")),
    "F14": replace(WELL, free_disk=1 << 30, clues=said("listening", "disk_full")),
    "F15": replace(WELL, free_inodes_share=0.001),
    "F16": replace(WELL, not_ours=("_work/app/build: root",)),
    "F17": replace(WELL, orphans=2),
    "F18": replace(WELL, remote=BUSY, silence=11 * MINUTE, clues=said("listening", "running")),
    "F19": replace(ENDED, ended=Exit(code=0), clues=said("running", "worker_hung")),
    "F20": replace(WELL, remote=BUSY, worker=True, cpu=0.0, running_for=50 * MINUTE, worst=10 * MINUTE),
    "F21": replace(ENDED, remote=None, refused="register: not_found", refusals=1),
    "F22": replace(WELL, reach=Reach.DENIED, reach_text="401", needed="administration=write"),
    "F23": replace(WELL, reach=Reach.LIMITED, reach_text="wait 60 s"),
    "F24": replace(ENDED, clues=said("already_configured")),
    "F25": replace(ENDED, refused="delete: busy", refusals=2),
    "F26": replace(WELL, twins_offline=(3, 4)),
    "F27": replace(ENDED, ephemeral=True, configured=False, ended=Exit(code=0)),
    "F28": replace(ENDED, remote=None, refused="register: conflict"),
    "F29": replace(ENDED, ended=Exit(code=0), unseen=timedelta(days=8)),
    "F30": replace(WELL, path="dns", reach=Reach.DOWN, clues=said("listening", "connect_error")),
    "F30b": replace(WELL, remote=OFFLINE, clues=(*said("connect_error", at=NOW - 12 * MINUTE), *said("connect_error"))),
    "F31": replace(ENDED, clues=said("sudo")),
    "F32": replace(WELL, unmatched=("gpu", "arm64")),
    "F33": replace(ENDED, fingerprint_differs=True, remote=remote(), ended=None),
    "F34": replace(ENDED, ended=Exit(signal=15), job=LOST),
    "F35": replace(WELL, forge="gitlab", clues=said("gl_forbidden"), refused="verify: forbidden"),
    "F36": replace(WELL, forge="gitlab", clues=said("gl_ready", "gl_long_polling")),
    "F37": replace(ENDED, forge="gitlab", ended=Exit(code=1), job=replace(LOST, status="running", conclusion="")),
    "F38": replace(WELL, forge="gitlab", clues=said("gl_ready", "gl_prepare")),
    "F39": replace(ENDED, forge="gitlab", twin=4711, ended=None),
    "F40": replace(ENDED, ended=Exit(), remote=OFFLINE),
    "F41": replace(WELL, canary_failures=2, canary="clone: no room"),
}


def test_every_failure_has_a_row_and_a_sample():
    assert set(SAMPLES) == set(BY_CODE)
    assert {f"F{number}" for number in range(1, 41)} <= set(BY_CODE)
    assert len(BY_CODE) == len(ROWS)


@pytest.mark.parametrize("code", SAMPLES)
def test_a_row_is_found_first_by_what_shows_it(code):
    [first, *_] = diagnose(SAMPLES[code])
    assert first.code == code, codes(diagnose(SAMPLES[code]))
    assert first.evidence, "a cause without evidence is a guess"
    assert first.cause


@pytest.mark.parametrize("code", SAMPLES)
def test_a_row_is_acted_on_as_its_trust_says(code):
    evidence, row = SAMPLES[code], BY_CODE[code]
    if code == "F20":
        assert row.trust is Trust.HUMAN
    verdicts, memory = repair.consider(diagnose(evidence), evidence, repair.Memory())
    steps = [one for one in verdicts if isinstance(one, repair.Step)]
    if row.trust is Trust.VERIFIED and evidence.alive:
        assert not steps, "a living agent is not touched on a first look"
        later = replace(evidence, at=NOW + repair.REPEAT)
        verdicts, memory = repair.consider(diagnose(later), later, memory)
        steps = [one for one in verdicts if isinstance(one, repair.Step)]
    [step] = steps
    assert step.finding.code == code
    assert step.act is row.act
    assert memory.open is not None or code in [asked for asked, _ in memory.asked]


@pytest.mark.parametrize("code", SAMPLES)
def test_a_foreign_agent_is_watched_and_never_touched(code):
    evidence, memory = replace(SAMPLES[code], foreign=True), repair.Memory()
    for look in range(5):
        later = replace(evidence, at=NOW + look * MINUTE)
        verdicts, memory = repair.consider(diagnose(later), later, memory)
        assert not [one for one in verdicts if isinstance(one, repair.Step)]


@pytest.mark.parametrize("code", [code for code, e in SAMPLES.items() if e.alive and BY_CODE[code].act in repair.ENDS and not BY_CODE[code].dead])
def test_a_busy_agent_is_never_ended(code):
    evidence, memory = replace(SAMPLES[code], worker=True, remote=BUSY), repair.Memory()
    for look in range(5):
        later = replace(evidence, at=NOW + look * MINUTE)
        verdicts, memory = repair.consider(diagnose(later), later, memory)
        assert not [one for one in verdicts if isinstance(one, repair.Step) and one.act in repair.ENDS]


def test_the_same_words_have_two_causes():
    """`registration has been deleted` is also what a wrong clock looks like: only the platform's clock and its list can tell."""
    assert diagnose(SAMPLES["F6"])[0].code == "F6"
    assert diagnose(SAMPLES["F7"])[0].act is Act.WAIT_CLOCK
    unknown = replace(SAMPLES["F6"], skew=None)
    verdicts, _ = repair.consider(diagnose(unknown), unknown, repair.Memory())
    assert all(isinstance(one, repair.Watched) for one in verdicts), "without the platform's clock nothing is registered again"
    listed = replace(SAMPLES["F6"], absent=False, remote=OFFLINE)
    verdicts, _ = repair.consider(diagnose(listed), listed, repair.Memory())
    assert all(isinstance(one, repair.Watched) for one in verdicts), "a registration that is still listed is not made again"


def test_what_does_not_help_climbs_the_ladder_and_ends_with_a_person():
    evidence, memory, acts = SAMPLES["F5"], repair.Memory(), []
    for look in range(60):
        later = replace(evidence, at=NOW + look * MINUTE / 2)
        verdicts, memory = repair.consider(diagnose(later), later, memory)
        acts += [one.act for one in verdicts if isinstance(one, repair.Step)]
    assert acts[:3] == [Act.RESESSION, Act.RENAME, Act.HOLD]


def test_registrations_have_a_budget_of_their_own():
    memory, done = repair.Memory(), 0
    for look in range(50):
        evidence = replace(SAMPLES["F6"], at=NOW + look * MINUTE)
        verdicts, memory = repair.consider(diagnose(evidence), evidence, memory)
        done += sum(isinstance(one, repair.Step) and one.act in repair.REGISTERS for one in verdicts)
        memory = replace(memory, open=None)  # as if each had been proved at once
    assert done <= repair.REGISTRATIONS_AN_HOUR


def test_a_repair_proves_itself_by_new_evidence():
    evidence = SAMPLES["F12"]
    verdicts, memory = repair.consider(diagnose(evidence), evidence, repair.Memory())
    assert isinstance(verdicts[0], repair.Step)
    assert proven("F12", evidence) == ""
    old_life, _ = repair.consider((), replace(WELL, at=NOW + MINUTE), memory)
    assert old_life == (), "the old life proves nothing"
    well = replace(WELL, at=NOW + MINUTE, life=1)
    verdicts, memory = repair.consider(diagnose(well), well, memory)
    assert [one for one in verdicts if isinstance(one, repair.Proved)]
    assert memory.open is None


@pytest.mark.parametrize(
    "evidence",
    [
        WELL,
        replace(WELL, silence=29 * MINUTE, clues=said("listening", "heartbeat")),
        replace(WELL, remote=BUSY, worker=True, silence=timedelta(seconds=50), clues=said("listening", "running", "renewed")),
        replace(WELL, remote=OFFLINE, silence=timedelta(seconds=30)),
        replace(WELL, remote=None, reach=Reach.UNKNOWN, skew=None, silence=35 * MINUTE),
        replace(WELL, waiting=20 * timedelta(seconds=1)),
        replace(WELL, remote=None, reach=Reach.DOWN, reach_text="503"),
    ],
)
def test_nothing_is_found_on_the_healthy(evidence):
    assert diagnose(evidence) == ()


def _life(draw: random.Random, hours: int) -> list[Evidence]:
    """Looks at a healthy runner every 30 s: idle and working by turns, a platform that is away at times and lags behind, short reconnects."""
    looks, at, log, busy_until, away_until = [], NOW, NOW, NOW, NOW
    told = list(said("connected", "listening"))
    for _ in range(hours * 120):
        at += timedelta(seconds=30)
        if at >= busy_until and told[-1].name in ("running", "renewed"):
            told, log = [*told, *said("completed", at=at)], at
        elif at < busy_until:
            told, log = [*told, *said("renewed", at=at)], at
        elif draw.random() < 0.02:
            busy_until, log = at + timedelta(minutes=draw.uniform(0.5, 30)), at
            told = [*told, *said("running", at=at)]
        elif draw.random() < 0.002:
            told, log = [*told, *said("connect_error", "reconnected", at=at)], at
        elif at - log >= 30 * MINUTE:
            told, log = [*told, *said("heartbeat", at=at)], at
        if draw.random() < 0.003:
            away_until = at + timedelta(minutes=draw.uniform(1, 60))
        away, busy = at < away_until, at < busy_until
        lag = draw.random() < 0.05  # its list is a minute old
        seen = None if away else remote(busy=busy != lag)
        looks.append(
            replace(
                WELL, at=at, silence=at - log, worker=busy, clues=clues_of(told), remote=seen, cpu=draw.random() if busy else None,
                reach=Reach.DOWN if away else Reach.FINE, skew=None if away else timedelta(seconds=draw.uniform(-5, 5)),
                waiting=None if busy or draw.random() < 0.9 else timedelta(seconds=draw.uniform(1, 60)), foreign=draw.random() < 0.1,
            )
        )  # fmt: skip
    return looks


def clues_of(told: list[Clue]) -> tuple[Clue, ...]:
    return tuple(told[-8:])


def test_a_thousand_healthy_hours_bring_no_repair():
    repairs = []
    for seed in range(20):
        memory = repair.Memory()
        for evidence in _life(random.Random(seed), 50):
            verdicts, memory = repair.consider(diagnose(evidence), evidence, memory)
            repairs += [(seed, evidence, one) for one in verdicts if isinstance(one, repair.Step)]
    assert repairs == []


LINES = {
    "2026-01-02 03:04:05Z: Listening for Jobs": "listening",
    "√ Connected to GitHub": "connected",
    "2026-01-02 03:04:05Z: Running job: build (3.10)": "running",
    "2026-01-02 03:04:05Z: Job build completed with result: Succeeded": "completed",
    "2026-01-02 03:04:05Z: Runner connect error: The HTTP request timed out. Retrying until reconnected.": "connect_error",
    "[2026-01-02 03:04:05Z INFO Terminal] WRITE LINE: 2026-01-02 03:04:05Z: Runner reconnected.": "reconnected",
    "[2026-01-02 03:04:05Z ERR  Terminal] WRITE ERROR: A session for this runner already exists.": "session_exists",
    "Failed to create a session. The runner registration has been deleted from the server, please re-configure.": "registration_deleted",
    "The runner no longer exists on the server. Please reconfigure the runner.": "no_longer_exists",
    "The local machine's clock may be out of sync with the server time by more than five minutes.": "clock",
    "Runner version v2.300.0 is deprecated and cannot receive messages.": "version_deprecated",
    "[2026-01-02 03:04:05Z INFO MessageListener] No message retrieved from session 'x' within last 30 minutes.": "heartbeat",
    "[2026-01-02 03:04:05Z INFO JobDispatcher] Successfully renew job 1, job is valid till 01/02/2026 03:14:05": "renewed",
    "[2026-01-02 03:04:05Z INFO JobDispatcher] Worker finished for job 1. Code: 139": "worker_exit",
    "[2026-01-02 03:04:05Z INFO BrokerMessageListener] BrokerMigration message received. Polling Broker for messages...": "broker_migration",
    "[RUNNER 2026-01-02 03:04:05Z INFO MessageListener] Acknowledging runner request 'r'.": "acknowledging",
    "Must not run with sudo": "sudo",
    "System.IO.IOException: No space left on device : '/r/_diag/Worker_1.log'": "disk_full",
    'ERROR: Checking for jobs... forbidden  runner=abc status="POST https://gitlab: 403 Forbidden"': "gl_forbidden",
    '{"level":"error","msg":"Runner \\"x\\" is unhealthy and will be disabled for 1h0m0s","time":"2026-01-02T03:04:05Z"}': "gl_unhealthy",
    "WARNING: CONFIGURATION: Long polling issues detected.": "gl_long_polling",
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_understood(line):
    found = clue(line)
    assert found is not None
    assert found.name == LINES[line]
    stamped = "2026-01-02" in line and "01/02" not in line
    assert (found.at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)) is (stamped or found.at is not None)


def test_lines_that_mean_nothing_are_no_clues_and_never_fail():
    for line in ("", "\ufeff", "{", '{"msg": 3}', "[2026-99-99 99:99:99Z INFO x] y"[:20], "√", "time=2026-13-13T00:00:00Z x", "\x00" * 10):
        assert clue(line) is None
        parse(line)


def test_runs_of_the_same_clue_are_shortened_and_a_life_begins_with_listening():
    listening = "2026-01-02 03:04:05Z: Listening for Jobs"
    found = clues([listening, *["x BrokerMigration message received"] * 50, listening])
    assert [one.name for one in found] == ["listening", *["broker_migration"] * 4, "listening"]
    assert [one.name for one in life(found)] == ["listening"]
    assert worker_code(clues(["Worker finished for job a. Code: 102", "Worker finished for job b. Code: 139"])) == 139
