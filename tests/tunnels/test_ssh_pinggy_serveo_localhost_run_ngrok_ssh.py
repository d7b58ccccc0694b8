"""Services over SSH: a real server that prints what they print. What they print today nobody could look at from here."""

from __future__ import annotations

import asyncio
import getpass

import pytest

from qcity_nb.errors import BadInput, TunnelError
from qcity_nb.kinds import load
from qcity_nb.kinds.tunnels.door import Door
from qcity_nb.kinds.tunnels.ssh import PRESETS
from qcity_nb.model.tunnel import Fault, Reach
from qcity_nb.ports import Target
from qcity_nb.testing.sshd import Sshd

pytestmark = pytest.mark.real

BANNERS = {
    "localhost.run": '{"event":"tcpip-forward","message":"","address":"abc123def.lhr.life"}\\nabc123def.lhr.life tunneled with tls, https://abc123def.lhr.life',
    "pinggy": "You are not authenticated.\\nYour tunnel will expire in 60 minutes.\\n\\nhttp://rnabc-1-2-3-4.a.free.pinggy.link\\nhttps://rnabc-1-2-3-4.a.free.pinggy.link",
    "serveo": "Forwarding HTTP traffic from https://0123abcd.serveo.net",
    "ngrok-ssh": "ngrok (via SSH) (Ctrl+C to quit)\\nAccount x (Plan: Free)\\nRegion eu\\nForwarding https://abcd-1-2.ngrok-free.app",
}
ADDRESSES = {
    "localhost.run": "https://abc123def.lhr.life",
    "pinggy": "https://rnabc-1-2-3-4.a.free.pinggy.link",
    "serveo": "https://0123abcd.serveo.net",
    "ngrok-ssh": "https://abcd-1-2.ngrok-free.app",
}


def asked(name, server, home, tmp_path, **more):
    given = {**server.options, "user": getpass.getuser(), "remote_port": "0", **more}

    async def run():
        door = Door(1)
        port = await door.open()
        try:
            provider = load("tunnels", name)
            provider.check(given)
            session = await provider.open(Target(name="app", port=port, folder=tmp_path, home=home, options=given, deadline=5))
            seen = (session.url, session.reach, session.every, await session.unwell())
            server.cut()
            lost = await asyncio.wait_for(session.lost(), 5)
            await session.close()
            return seen, lost
        finally:
            await door.close()

    return asyncio.run(run())


@pytest.mark.parametrize("name", PRESETS)
def test_the_address_is_read_from_what_the_service_prints(name, home, tmp_path):
    with Sshd(command=f"printf '{BANNERS[name]}\\n'; sleep 60") as server:
        seen, lost = asked(name, server, home, tmp_path)
    assert seen[:2] == (ADDRESSES[name], Reach.PUBLIC)
    assert seen[2] >= 60, "a service that is free is not asked every second"
    assert lost.fault is Fault.DIED


def test_a_service_that_prints_none_is_said_with_its_last_word(home, tmp_path):
    with Sshd(command="echo 'we are full today'") as server, pytest.raises(TunnelError, match="its last word: we are full today"):
        asked("pinggy", server, home, tmp_path)


def test_without_a_host_there_is_no_server(home):
    with pytest.raises(TunnelError, match="no server is named") as caught:
        load("tunnels", "ssh").check({})
    assert caught.value.fault is Fault.MISSING
    with pytest.raises(BadInput, match='no option "hots"'):
        load("tunnels", "ssh").check({"hots": "x"})
