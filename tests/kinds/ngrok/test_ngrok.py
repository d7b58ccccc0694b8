"""The provider ngrok: what its agent says is understood, a session that comes back is kept, and the token is nowhere but in its file."""

from __future__ import annotations

import asyncio
import time

import pytest
import requests
from pyngrok import installer

from qcity_nb.errors import TunnelError
from qcity_nb.io import secrets
from qcity_nb.kinds.tunnels import ngrok_session
from qcity_nb.kinds.tunnels.ngrok import Ngrok
from qcity_nb.model.tunnel import Fault
from qcity_nb.ports import Target
from qcity_nb.testing import ngrok_agent

pytestmark = pytest.mark.real
PATIENCE = 10.0


def test_a_session_that_comes_back_is_kept(stage):
    async def work(session):
        stage.tell(session="closed")
        await stage.until(session.unwell, "it is unwell")
        losing = asyncio.ensure_future(session.lost())
        stage.tell()
        await stage.until(lambda: _well(session), "it is well")
        assert not losing.done()
        losing.cancel()

    stage.open(work)


async def _well(session):
    return await session.unwell() is None


def test_a_session_that_is_refused_is_not_waited_for(stage):
    """Its code says why."""

    async def work(session):
        stage.tell(session="closed", session_code=107)
        error = await session.lost()
        assert error.fault is Fault.TOKEN
        assert "107" in error.what

    stage.open(work)


def test_an_address_of_our_own_last_life_is_waited_for(stage, monkeypatch):
    monkeypatch.setattr(ngrok_session, "AGAIN_SECONDS", 0.05)
    stage.tell(endpoint_codes=[104, 104, 334, 334])

    async def work(session):
        assert session.url

    stage.open(work)
    stage.tell(endpoint_codes=[334] * 99)
    error = stage.fails(deadline=1.0)
    assert error.fault is Fault.CONFLICT
    assert "334" in error.what
    monkeypatch.setattr(ngrok_session, "ONLINE_SECONDS", 0.1)
    assert stage.fails().fault is Fault.CONFLICT


def test_an_agent_that_does_not_answer_ends_at_the_deadline(stage):
    stage.tell(endpoint_codes=[0])
    assert stage.fails(deadline=1.0).fault is Fault.DEADLINE


@pytest.mark.parametrize(("code", "fault"), [(4018, Fault.TOKEN), (105, Fault.TOKEN), (108, Fault.CONFLICT), (121, Fault.TOO_OLD)])
def test_a_start_that_is_refused_says_why(stage, code, fault, caplog):
    """105 quotes the token: it is in no error and in no log."""
    stage.tell(start_code=code)
    error = stage.fails()
    assert error.fault is fault
    assert str(code) in error.what
    assert stage.token not in caplog.text


def test_a_machine_without_a_network_is_said_to_be_one(stage):
    """Long before the deadline, so that the next provider gets its chance."""
    stage.tell(offline=True)
    began = time.monotonic()
    error = stage.fails(deadline=60.0)
    assert time.monotonic() - began < PATIENCE
    assert error.fault is Fault.NETWORK
    assert "unreachable" in error.what


def test_a_wrong_token_is_said_to_be_one(stage):
    secrets.keep(stage.home, "mine", "another")
    error = stage.fails(token="mine")
    assert error.fault is Fault.TOKEN
    assert "107" in error.what
    assert error.permanent


def test_the_last_words_of_an_agent_that_ends_are_heard(stage):
    async def work(session):
        stage.tell(die=108)
        error = await session.lost()
        assert error.fault is Fault.CONFLICT

    for _ in range(5):  # they come with its end, in either order
        stage.tell()
        stage.open(work)


def test_a_proxy_in_the_environment_is_not_asked_for_the_agent(stage, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "a.example")
    monkeypatch.setenv("NO_PROXY", "a.example")

    async def work(session):
        assert await session.unwell() is None

    stage.open(work)


def test_the_token_comes_from_the_home_or_the_environment(stage, monkeypatch):
    secrets.forget(stage.home, "ngrok")
    error = stage.fails()
    assert error.fault is Fault.MISSING
    assert "NGROK_AUTHTOKEN" in error.todo
    monkeypatch.setenv("NGROK_AUTHTOKEN", stage.token)

    async def work(session):
        assert session.url

    stage.open(work)


def test_the_page_for_people_is_passed(stage):
    stage.tell(interstitial=True)

    async def work(session):
        def get(headers):
            return requests.get(f"{session.url}/abc", headers=headers, timeout=PATIENCE).text

        assert await asyncio.to_thread(get, dict(session.headers)) == "/abc"
        assert "6024" in await asyncio.to_thread(get, {})

    stage.open(work)


def test_another_program_than_the_named_one_is_not_started(stage):
    error = stage.fails(sha256="0" * 64)
    assert error.fault is Fault.REFUSED
    assert not stage.agents()


def test_pyngrok_s_own_command_is_not_taken_for_the_agent(stage, monkeypatch):
    """It is called ngrok too, and is on PATH wherever pyngrok is; it would download an agent."""
    command = stage.root / "bin" / "ngrok"
    command.parent.mkdir()
    command.write_text("#!/usr/bin/env python3\nfrom pyngrok.ngrok import main\nmain()\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}")
    with pytest.raises(TunnelError) as caught:
        asyncio.run(Ngrok().open(Target(name="t", port=1, folder=stage.root, home=stage.home)))
    assert caught.value.fault is Fault.MISSING
    assert "download" in caught.value.todo


@pytest.mark.parametrize("allowed", [True, False])
def test_it_is_downloaded_only_when_that_was_allowed(stage, allowed, monkeypatch):
    path = stage.root / "bin" / "ngrok"

    def install(where):  # pyngrok's installer would go to the network
        assert where == str(path)
        ngrok_agent.make(path.parent, token=stage.token)

    monkeypatch.setattr(installer, "install_ngrok", install)

    async def work(session):
        assert str(path) in session.binary

    if allowed:
        stage.open(work, path=str(path), download="yes")
    else:
        assert stage.fails(path=str(path), download="no").fault is Fault.MISSING
        assert not path.exists()
