"""Failover with real engines, real keepers and a real git repository between them: what is killed, frozen or cut off never acts beside another."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
import sqlalchemy as sa

from qcity_nb.cli.demo import living_in
from qcity_nb.cli.drill import RUNNER, Drill, doubled, spells_of
from qcity_nb.client import shapes
from qcity_nb.client.fleet import Spell
from qcity_nb.client.view import look
from qcity_nb.io import fence
from qcity_nb.model.service import Phase
from qcity_nb.store.schema import intents
from qcity_nb.testing.real_engine import alive, kill, until

pytestmark = pytest.mark.real
DRILL = [sys.executable, "-c", "import sys; from qcity_nb.cli import main; sys.exit(main())", "fleet", "drill"]


@pytest.fixture
def one(tmp_path, monkeypatch, request):
    """A place that holds a claim, alone with it."""
    monkeypatch.delenv("QCITY_STORE", raising=False)
    drill = Drill(tmp_path / "drill", places=1, term=getattr(request, "param", timedelta(seconds=4)), say=print)
    drill.folder.mkdir()
    drill.prepare()
    yield drill.places[0]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    drill.clear()
    for number, handler in before.items():
        signal.signal(number, handler)


def pids(place) -> tuple[int, int]:
    engine, witness = look(place.city.link.store, uptime=False).engine.pid, place.city.runners[RUNNER].pid
    assert engine
    assert witness
    return engine, witness


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_service_of_a_claim_does_not_outlive_its_fence_when_its_engine_is(one, number):
    engine, witness = pids(one)
    os.kill(engine, number)
    until(lambda: not alive(witness), seconds=30)
    spell = max(one.spells(), key=lambda one: one.begin)
    limit = fence.of(one.city.link.store.home.service(RUNNER))
    assert spell.end < limit.kill - time.clock_gettime(time.CLOCK_BOOTTIME) + time.monotonic() + 2
    os.kill(engine, signal.SIGCONT) if number == signal.SIGSTOP else one.city.link.ensure()
    until(lambda: one.city.runners[RUNNER].phase is Phase.RUNNING and max(one.spells(), key=lambda one: one.begin) != spell, seconds=30)
    assert doubled(one.spells()) == []


@pytest.mark.parametrize("one", [timedelta(seconds=15)], indirect=True, ids=["15-s"])  # a busy machine must be able to renew in time
def test_renewals_keep_it_alive_and_its_epoch_is_in_its_environment_and_on_its_intents(one):
    _engine, witness = pids(one)
    first = fence.of(one.city.link.store.home.service(RUNNER))
    until(lambda: fence.of(one.city.link.store.home.service(RUNNER)).stop > first.kill + 4, seconds=60)
    assert alive(witness)
    assert f"QCITY_EPOCH={first.epoch}\0".encode() in Path(f"/proc/{witness}/environ").read_bytes()
    with one.city.link.read() as connection:
        keys = connection.execute(sa.select(intents.c.key).where(intents.c.subject == RUNNER)).scalars().all()
    assert keys
    assert all(re.search(r"/e[1-9]\d*$", key) for key in keys)


def test_a_new_engine_takes_over_what_lives_without_a_new_start(one):
    engine, witness = pids(one)
    kill(engine)
    until(one.city.link.host.ensure)  # its threads may hold its lock for a moment longer than it lives
    first = fence.of(one.city.link.store.home.service(RUNNER))
    until(lambda: fence.of(one.city.link.store.home.service(RUNNER)).stop > first.stop, seconds=30)
    if alive(witness):  # on a machine that was too slow for the fence it is started anew
        assert pids(one)[1] == witness


def test_up_with_a_fleet_runs_a_claim_once_and_its_other_place_stands_by(city, tmp_path):
    """Two homes, one qcity.toml. `city` is the first one; what a place is called is said to it once."""
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "leases.git"], check=True)
    repo = tmp_path / "repo"
    repo.mkdir()
    claims = '[runner.bot]\nkind = "command"\ncommand = ["sleep", "1000"]\nclaim = true\n'
    places = "[fleet.places]\ndesk = {}\nlab = {}\n"
    (repo / "qcity.toml").write_text(f'[fleet]\nlease = "git:{tmp_path}/leases.git"\nterm = "20 s"\n{places}{claims}')
    other = type(city)(tmp_path / "other home")
    try:
        city("fleet", "join", f"git:{tmp_path}/leases.git", "--term", "20 s", "--me", "desk")
        city("up", "--repo", str(repo))
        other("fleet", "join", f"git:{tmp_path}/leases.git", "--term", "20 s", "--me", "lab")
        assert "stands by: bot is held by desk (epoch 1)" in other("up", "--repo", str(repo))
        first, second = city.json("fleet", "status"), other.json("fleet", "status")
        assert [(one["claims"][0]["holder"], one["claims"][0]["mine"], one["me"]) for one in (first, second)] == [
            ("desk", True, "desk"),
            ("desk", False, "lab"),
        ]
        city("runner", "stop", "bot")
        other.until(lambda: other.json("runner", "show", "bot")["phase"] == "running", seconds=60)
        assert "leases" in other("fleet", "status").casefold()
        assert "first" in other("fleet", "leave", code=1)
    finally:
        other("engine", "stop", "--runners")
    assert "in no fleet" in city("fleet", "leave")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_drill_has_its_documented_shape_and_finds_no_double_holder():
    done = subprocess.run([*DRILL, "--json", "--term", "4 s", "--places", "3"], capture_output=True, text=True, timeout=280, check=False)
    found = json.loads(done.stdout)
    schema = shapes.schema()
    jsonschema.Draft202012Validator({**schema, "$ref": "#/$defs/drill"}).validate(found)
    assert found["doubles"] == []
    assert [one["fault"] for one in found["rounds"]] == ["killed", "paused", "cut off"]
    assert all(one["taker"] != one["holder"] for one in found["rounds"])
    assert done.returncode == (0 if found["ok"] else 1)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_drill_that_is_interrupted_leaves_nothing(tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*DRILL, "--term", "4 s"], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("round 1"):
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []
    assert living_in(tmp_path) == []


@pytest.mark.parametrize(
    "spells",
    [
        [(0.0, 2.0, "a", 1), (1.0, 3.0, "b", 2)],
        [(0.0, 1.0, "a", 1), (2.0, 3.0, "b", 1)],
        [(0.0, 9.0, "a", 1), (1.0, 2.0, "a", 2), (3.0, 4.0, "b", 3)],
    ],
)
def test_the_drill_would_find_a_double_holder(spells):
    assert doubled([Spell(begin=begin, end=end, place=place, epoch=epoch) for begin, end, place, epoch in spells])


def test_half_a_line_of_a_witness_that_was_killed_counts_for_nothing():
    (spell,) = spells_of("a", ["1.0 begin 3 77", "1.5 beat 3 77", "1.7 be"])
    assert (spell.begin, spell.end, spell.epoch) == (1.0, 1.5, 3)
