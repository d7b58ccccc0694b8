"""The provider cloudflared: an address counts when the agent has a connection; what it says at the end has a class; its log has a bound.

Where a real cloudflared is on PATH it is asked too, against a stand-in of the service that gives out quick tunnels.
"""

from __future__ import annotations

import asyncio
import shutil
import time

import psutil
import pytest

from qcity_nb.errors import TunnelError
from qcity_nb.io import agents
from qcity_nb.kinds.tunnels.cloudflared import Cloudflared
from qcity_nb.model.home import Home
from qcity_nb.model.tunnel import Fault
from qcity_nb.ports import Target
from qcity_nb.testing import quick
from qcity_nb.testing.edge import NonceApp, starts, tell

pytestmark = pytest.mark.real
PATIENCE = 10.0


@pytest.fixture
def app():
    made = NonceApp()
    yield made
    made.close()


def target(root, app, deadline=10.0, **options):
    return Target(name="t", port=app.port, folder=root / "t", home=Home(root / "home"), options=options, deadline=deadline)


def fails(root, app, deadline=10.0, **options):
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    with pytest.raises(TunnelError) as caught:
        asyncio.run(Cloudflared().open(target(root, app, deadline, **options)))
    assert not [one for one in psutil.Process().children(recursive=True) if one.pid not in before and one.status() != psutil.STATUS_ZOMBIE]
    assert caught.value.todo
    return caught.value


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (['Error unmarshaling QuickTunnel response: error code: 1015 error="invalid character" status_code="429"'], Fault.LIMITED),
        (["failed to parse quick Tunnel ID: invalid UUID length: 0"], Fault.LIMITED),
        (["failed to request quick Tunnel: dial tcp: lookup a.example: no such host"], Fault.NETWORK),
        (["something new"], Fault.DIED),
    ],
)
def test_an_agent_that_ends_says_why(tmp_path, app, words, fault):
    path = quick.make(tmp_path / "agent", last_words=words)
    error = fails(tmp_path, app, path=str(path))
    assert error.fault is fault
    assert words[0].partition(":")[0] in error.what


def test_an_address_without_a_connection_is_none(tmp_path, app):
    """Although the agent has printed it and names it."""
    path = quick.make(tmp_path / "agent", ready=False)
    error = fails(tmp_path, app, deadline=1.0, path=str(path))
    assert error.fault is Fault.DEADLINE
    assert "no connection" in error.what


def test_a_lost_connection_is_known_to_its_agent(tmp_path, app):
    path = quick.make(tmp_path / "agent")

    async def run():
        session = await Cloudflared().open(target(tmp_path, app, path=str(path)))
        assert await session.unwell() is None
        tell(tmp_path / "agent", ready=False)
        assert (await session.unwell()).fault is Fault.SILENT
        tell(tmp_path / "agent")
        assert await session.unwell() is None
        await session.close()
        assert (await session.unwell()).fault is Fault.DIED

    asyncio.run(run())


def test_a_person_s_settings_do_not_matter(tmp_path, app, monkeypatch):
    """Neither flags in the environment nor a configuration with ingress rules."""
    path = quick.make(tmp_path / "agent")
    monkeypatch.setenv("TUNNEL_TOKEN", "secret")
    (tmp_path / ".cloudflared").mkdir()
    (tmp_path / ".cloudflared" / "config.yml").write_text("ingress: []\n")
    monkeypatch.setenv("HOME", str(tmp_path))

    async def run():
        session = await Cloudflared().open(target(tmp_path, app, path=str(path), protocol="http2", edge="127.0.0.1:1"))
        started = starts(tmp_path / "agent")[-1]
        assert "TUNNEL_TOKEN" not in psutil.Process(started["pid"]).environ()
        assert started["argv"][started["argv"].index("--protocol") + 1] == "http2"
        await session.close()

    asyncio.run(run())


def test_an_agent_that_talks_a_lot_neither_stops_nor_fills_the_disk(tmp_path, app, monkeypatch):
    monkeypatch.setattr(agents, "LOG_SECONDS", 0.02)
    path = quick.make(tmp_path / "agent", flood=20_000)

    async def run():
        session = await Cloudflared().open(target(tmp_path, app, path=str(path)))
        log, end = next((tmp_path / "t").rglob("log")), time.monotonic() + PATIENCE
        while log.stat().st_size > agents.LOG_BYTES:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)  # between two looks
        assert sum(one.stat().st_size for one in log.parent.glob("log*")) <= 2 * agents.LOG_BYTES
        await session.close()

    asyncio.run(run())


def test_a_file_that_is_no_program_is_a_sentence(tmp_path, app):
    path = tmp_path / "cloudflared"
    path.write_bytes(b"\x7fELF nothing")
    assert fails(tmp_path, app, path=str(path)).fault is Fault.MISSING
    path.chmod(0o755)
    error = fails(tmp_path, app, path=str(path))
    assert error.fault is Fault.MISSING
    assert not list((tmp_path / "t").iterdir())
    assert fails(tmp_path, app, path=str(path), sha256="0" * 64).fault is Fault.REFUSED


@pytest.mark.skipif(not shutil.which("cloudflared"), reason="no cloudflared on PATH")
@pytest.mark.parametrize(("mode", "fault"), [("good", Fault.DEADLINE), ("limited", Fault.LIMITED), ("empty", Fault.LIMITED)])
def test_the_real_agent_and_a_service_of_ours(tmp_path, app, mode, fault):
    """Its flags, its words and its metrics; without Cloudflare it has an address and never a connection."""
    service = quick.QuickService(mode)
    try:
        error = fails(tmp_path, app, deadline=5.0, **{"quick-service": service.url, "edge": f"127.0.0.1:{agents.free_port()}"})
    finally:
        service.close()
    assert service.asked
    assert error.fault is fault, error
