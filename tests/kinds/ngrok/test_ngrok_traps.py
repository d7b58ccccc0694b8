"""The provider ngrok does not fall into the seven traps of pyngrok 9.1 that were measured; plain pyngrok beside it shows that they are there."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path

import psutil
import pytest
from pyngrok import process
from pyngrok.exception import PyngrokError, PyngrokNgrokHTTPError
from pyngrok.ngrok import api_request, get_tunnels

from qcity_nb.kinds.tunnels import ngrok_session
from qcity_nb.model.tunnel import Fault

pytestmark = pytest.mark.real
PATIENCE = 10.0


def refused(config):
    with pytest.raises(PyngrokError):
        process.get_process(config)


def written(path):
    """A file's text, and who may read it and its folder."""
    return path.read_text(), path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777


def test_trap_1_a_start_that_prints_nothing_ends_at_our_deadline(stage):
    """Pyngrok's own timeout has no effect."""
    stage.tell(mute=True)
    began = time.monotonic()
    error = stage.fails(deadline=1.0)
    assert error.fault is Fault.DEADLINE
    assert time.monotonic() - began < 1.0 + 0.5 + 1.0  # the last one for a busy machine
    with stage.plain(startup_timeout=1) as config:
        blocked = threading.Thread(target=lambda: refused(config), daemon=True)
        blocked.start()
        blocked.join(2.0)
        assert blocked.is_alive()
        for one in psutil.Process().children(recursive=True):
            one.kill()
        blocked.join(PATIENCE)


@pytest.mark.parametrize("how", ["heartbeat", "closed"])
def test_trap_2_a_session_that_is_gone_is_known(stage, how, monkeypatch):
    """From the log, at once; and given up when it does not come back. Pyngrok's health stays good."""
    monkeypatch.setattr(ngrok_session, "AWAY_SECONDS", 0.5)  # the rule is the same, and the test shorter

    async def work(session):
        stage.tell(session=how)
        began = time.monotonic()
        await stage.until(session.unwell, "it is unwell")
        noticed = time.monotonic() - began
        error = await session.lost()
        assert error.fault is Fault.SILENT
        print(f"a session that is gone: known after {noticed:.2f} s, given up {time.monotonic() - began:.2f} s after it")

    stage.open(work)
    stage.tell()
    with stage.plain() as config:
        agent = process.get_process(config)
        stage.tell(session=how)
        asyncio.run(stage.until(lambda: asyncio.to_thread(lambda: any("session closed" in one.line for one in agent.logs)), "it says so"))
        assert agent.healthy()


def test_trap_3_looking_at_a_dead_agent_starts_none(stage):
    """Pyngrok's list of tunnels does."""

    async def work(session):
        os.kill(stage.agents()[-1]["pid"], 9)
        assert (await session.lost()).fault is Fault.DIED
        assert (await session.unwell()).fault is Fault.DIED
        assert len(stage.agents()) == 1

    stage.open(work)
    assert len(stage.agents()) == 1
    with stage.plain() as config:
        agent = process.get_process(config)
        agent.proc.kill()
        agent.proc.wait()
        get_tunnels(config)
        assert len(stage.agents()) == 3


CODES = [(320, Fault.PLAN), (702, Fault.LIMITED), (725, Fault.QUOTA), (324, Fault.CONFLICT), (12345, Fault.OTHER)]


@pytest.mark.parametrize(("code", "fault"), CODES)
def test_trap_4_the_code_in_an_answer_is_read(stage, code, fault):
    """Pyngrok has none for an error of its API."""
    stage.tell(endpoint_codes=[code])
    error = stage.fails()
    assert error.fault is fault
    assert str(code) in error.what
    with stage.plain() as config:
        agent = process.get_process(config)
        with pytest.raises(PyngrokNgrokHTTPError) as caught:
            api_request(f"{agent.api_url}/api/endpoints", "POST", {"name": "a", "upstream": {"url": "http://127.0.0.1:1"}})
        assert str(code) in caught.value.body
        assert caught.value.ngrok_error_code is None


def test_trap_5_the_token_is_in_no_argv_and_no_environment(stage, monkeypatch):
    """Although it is in ours; and its file is for us alone and goes away. Pyngrok puts it into the argv."""
    monkeypatch.setenv("NGROK_AUTHTOKEN", stage.token)

    async def work(session):
        agent = stage.agents()[-1]
        assert stage.token not in " ".join(agent["argv"])
        assert stage.token not in psutil.Process(agent["pid"]).environ().values()
        text, mode, folder_mode = written(Path(agent["argv"][agent["argv"].index("--config") + 1]))
        assert stage.token in text
        assert (mode, folder_mode) == (0o600, 0o700)

    stage.open(work)
    assert not [path for path in (stage.root / "t").rglob("*") if path.is_file()]
    with stage.plain() as config:
        process.get_process(config)
        assert stage.token in " ".join(stage.agents()[-1]["argv"])


def test_trap_6_an_api_that_hangs_is_not_waited_for(stage):
    """For more than a second; pyngrok's health waits for ever."""

    async def work(session):
        stage.tell(hang=True)
        began = time.monotonic()
        error = await session.unwell()
        assert error.fault is Fault.SILENT
        assert time.monotonic() - began < ngrok_session.ANSWER_SECONDS + 1.0

    stage.open(work)
    stage.tell()
    with stage.plain() as config:
        agent = process.get_process(config)
        stage.tell(hang=True)
        blocked = threading.Thread(target=agent.healthy, daemon=True)
        blocked.start()
        blocked.join(2.0)
        assert blocked.is_alive()
        stage.tell()
        blocked.join(PATIENCE)


@pytest.mark.parametrize("setting", [{"web_addr": False}, {"log_format": "json"}, {"log_level": "warn"}])
def test_trap_7_a_person_s_own_configuration_does_not_matter(stage, setting):
    """Pyngrok refuses to start with these."""
    async def work(session):
        assert session.url

    own = stage.root / "own.yml"
    own.write_text(json.dumps({"version": "3", "agent": setting}))
    stage.open(work)
    with stage.plain(config_path=str(own)) as config, pytest.raises(PyngrokError):
        process.get_process(config)
