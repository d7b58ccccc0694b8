"""The engine as a real process, with real services: killed, raced, starved, and never fooled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcity_nb.io.files import is_locked
from qcity_nb.store.database import Store
from qcity_nb.testing.real_engine import COMET, COUNTER, RealEngine, alive, engine_of, kill, until

pytestmark = pytest.mark.real


@pytest.fixture
def engine(store: Store, store_url: str | None) -> Iterator[RealEngine]:
    with engine_of(store, store_url) as running:
        yield running


def program(tmp_path: Path, text: str, name: str = "program.py") -> list[str]:
    path = tmp_path / name
    path.write_text(text)
    return [sys.executable, "-I", "-S", str(path)]


def test_a_killed_service_runs_again_and_the_incident_says_why(engine: RealEngine) -> None:
    row = engine.run("agent", "sh", "-c", "echo ready; sleep 1000")
    assert row.pid is not None
    kill(row.pid)
    again = engine.reborn("agent", row.pid)
    assert alive(again)
    engine.phase("agent", "running")
    incident = until(lambda: engine.incidents() and engine.incidents()[0].closed and engine.incidents()[0])
    assert incident.state == "healthy"
    assert "signal 9" in incident.cause
    assert "ready" in incident.cause
    assert any("started it again after" in line for line in incident.done)
    assert incident.proof


def test_an_engine_killed_is_replaced_and_what_it_supervised_is_adopted(engine: RealEngine) -> None:
    row = engine.run("agent", "sleep", "1000")
    kill(engine.started[-1].pid)
    until(lambda: not is_locked(engine.home.lock))
    assert alive(row.pid or 0), "a service does not end with its engine"
    engine.start()
    assert engine.row("agent").pid == row.pid
    assert engine.generation() == 2
    kill(row.pid or 0)
    assert engine.reborn("agent", row.pid) != row.pid, "an adopted service is watched like any other"


def test_what_dies_while_no_engine_lives_is_seen_by_the_next_one(engine: RealEngine) -> None:
    row = engine.run("agent", "sh", "-c", "sleep 1000; exit 7")
    kill(engine.started[-1].pid)
    subprocess.run(["pkill", "-P", str(row.pid)], check=True)  # its sleep: the shell then exits with 7
    until(lambda: not alive(row.pid or 0))
    engine.start()
    engine.reborn("agent", row.pid)
    assert "exit code 143" in engine.incidents()[0].cause or "exit code 7" in engine.incidents()[0].cause


def test_eight_engines_started_at_once_leave_one(engine: RealEngine) -> None:
    engine.run("agent", "sleep", "1000")
    others = [engine.spawn() for _ in range(8)]
    for process in others:
        assert process.wait(30) == 0
    assert engine.started[0].poll() is None
    assert engine.generation() == 1


def test_a_commanded_stop_outlives_the_engine(engine: RealEngine) -> None:
    row = engine.run("agent", "sleep", "1000")
    engine.ask("runner.stop", "agent")
    engine.phase("agent", "stopped")
    assert not alive(row.pid or 0)
    kill(engine.started[-1].pid)
    until(lambda: not is_locked(engine.home.lock))
    engine.start()
    assert engine.row("agent").state.phase.value == "stopped"


def test_a_keeper_shares_nearly_all_of_its_memory(engine: RealEngine) -> None:
    """A hundred services cost a hundred times what a keeper has of its own: 0.28 to 0.38 MB on Python 3.10 to 3.13."""
    engine.run("other", "sleep", "1000")
    engine.run("agent", "sleep", "1000")
    keeper = json.loads((engine.home.service("agent") / "proc.json").read_text())["keeper"]
    (own,) = [line.split()[1] for line in Path(f"/proc/{keeper}/smaps_rollup").read_text().splitlines() if line.startswith("Private_Dirty:")]
    assert int(own) < 480  # kB


@pytest.mark.parametrize("how", ["stop", "kill", "kill keeper too"])
def test_no_descendant_is_left(engine: RealEngine, tmp_path: Path, how: str) -> None:
    """setsid, double-forked and fork-and-exit descendants end with their service; a counter that moves on would show one that lives."""
    count = tmp_path / "count"
    comet = " ".join([*program(tmp_path, COMET), str(count)])
    row = engine.run("tree", "sh", "-c", f"setsid sleep 4711 & (setsid sh -c 'sleep 4712 & sleep 4713' &) ; {comet}")
    until(lambda: count.exists() and int(count.read_text() or 0) > 50)
    if how != "stop":
        keeper = json.loads((engine.home.service("tree") / "proc.json").read_text())["keeper"]
        for pid in ([keeper] if how == "kill keeper too" else []) + [row.pid or 0]:
            kill(pid)
        engine.reborn("tree", row.pid)
    engine.ask("runner.stop", "tree")
    engine.phase("tree", "stopped")
    last = count.read_text()
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        assert count.read_text() == last, "something of it lives"
    assert subprocess.run(["pgrep", "-f", "sleep 471[123]"], check=False, capture_output=True).stdout == b""


def test_a_bad_command_and_a_crash_loop_harm_nobody_else(engine: RealEngine) -> None:
    good = engine.run("good", "sleep", "1000")
    engine.ask("runner.start", "typo", kind="command", options={"command": ["no-such-program"]})
    command = ["sh", "-c", "echo cannot find my file >&2; exit 3"]
    engine.ask("runner.start", "loop", kind="command", options={"command": command}, policy={"base": 0.05, "cap": 0.1})
    row = engine.phase("loop", "quarantined")
    assert "5 restarts in 10 minutes" in row.state.reason
    assert "exit code 3" in row.state.reason
    assert "no-such-program" in engine.row("typo").state.reason
    assert engine.row("good").pid == good.pid
    states = {incident.service: incident for incident in engine.incidents()}
    assert states["loop"].state == "quarantined"
    assert "cannot find my file" in states["loop"].cause
    assert states["typo"].title == "typo could not be started"


def test_a_frozen_service_is_noticed_ended_and_started_again(engine: RealEngine) -> None:
    row = engine.run("chatty", "sh", "-c", "while true; do echo beat; sleep 0.2; done", silent_after=1.5, grace=0.2)
    os.kill(row.pid or 0, signal.SIGSTOP)
    engine.reborn("chatty", row.pid)
    assert not alive(row.pid or 0)
    assert "silent" in engine.incidents()[0].cause


def test_a_stop_that_is_ignored_ends_in_a_kill(engine: RealEngine) -> None:
    row = engine.run("deaf", "sh", "-c", "trap '' TERM; while true; do sleep 1; done", grace=0.5)
    engine.ask("runner.stop", "deaf")
    engine.phase("deaf", "stopped")
    assert not alive(row.pid or 0)


def test_names_and_verbs_that_make_no_sense_are_refused_with_a_sentence(engine: RealEngine) -> None:
    cases = [
        ("runner.stop", "nobody", {}, "there is no runner"),
        ("runner.start", "../evil", {"kind": "command", "options": {"command": ["true"]}}, "not a name"),
        ("runner.start", "x", {"kind": "command", "options": {}}, "needs a command"),
        ("runner.start", "x", {"kind": "nonesuch"}, "no kind"),
        ("runner.start", "x", {"kind": "command", "options": {"command": ["true"]}, "grace": "soon"}, "cannot be used"),
        ("job.rerun", "999", {}, "no job"),
        ("job.cancel", "x", {}, "no job"),
        ("dance", "", {}, "does not know"),
    ]
    for verb, subject, args, words in cases:
        answer = engine.ask(verb, subject, **args)
        assert answer.status == "refused", verb
        assert answer.result is not None
        assert words in str(answer.result["error"])
        assert answer.result["todo"]


@pytest.mark.slow
def test_kills_of_the_engine_at_random_moments_double_and_lose_nothing(store: Store, store_url: str | None, tmp_path: Path) -> None:
    """Engines are killed, half of the time within 50 ms of a start, often two of them race; the service itself tells when there are two of it."""
    seed = 20261123
    dice = random.Random(seed)
    path = tmp_path / "witness"
    argv = [*program(tmp_path, COUNTER), str(path), "1000"]
    with engine_of(store, store_url) as engine:
        row = engine.run("agent", *argv, policy={"burst": 1000, "base": 0.0})
        for _round in range(12):
            if dice.random() < 0.5:
                kill(row.pid or 0)
                time.sleep(dice.random() * 0.05)  # the moment of the fault, not a wait
            kill(engine.started[-1].pid)
            engine.spawn()
            if dice.random() < 0.5:
                engine.spawn()
            until(lambda: is_locked(engine.home.lock))
            row = until(lambda: engine.row("agent") if alive(engine.row("agent").pid or 0) else None)
        engine.phase("agent", "running")
        births = [int(line) for line in Path(f"{path}.births").read_text().split()]
        assert not Path(f"{path}.DOUBLE").exists(), f"two at once (seed {seed})"
        assert sum(map(alive, births)) == 1, f"lost or doubled (seed {seed})"
        assert len(births) > 1, "the faults did happen"


def test_no_service_is_told_where_the_store_is(engine: RealEngine, store_url: str | None) -> None:
    """The address may hold a password."""
    row = engine.run("agent", "sleep", "1000")
    environ = Path(f"/proc/{row.pid}/environ").read_bytes()
    assert b"QCITY_SERVICE=" in environ
    assert b"QCITY_STORE" not in environ
    assert store_url is None or store_url.encode() not in environ


def test_a_log_stays_below_its_bound_and_its_newest_half_is_kept(engine: RealEngine) -> None:
    """The writer keeps its descriptor and goes on in the emptied file."""
    engine.run("loud", "sh", "-c", "seq 1 2000000; while true; do echo still here; sleep 0.2; done")
    log = engine.home.service("loud") / "log"
    kept = log.with_name("log.1")
    until(lambda: kept.exists() and b"still here" in log.read_bytes(), seconds=30)
    assert log.stat().st_size < 8 << 20
    assert kept.stat().st_size <= 4 << 20
    assert b"2000000" in kept.read_bytes() + log.read_bytes()
