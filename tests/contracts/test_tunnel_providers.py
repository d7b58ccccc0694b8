"""Every provider of tunnels keeps the same contract: SSH, ngrok's agent by pyngrok, cloudflared, localtunnel."""

from __future__ import annotations

import os
import socket

import pytest

from qcity_nb.io import secrets
from qcity_nb.kinds.tunnels.cloudflared import Cloudflared
from qcity_nb.kinds.tunnels.localtunnel import Localtunnel
from qcity_nb.kinds.tunnels.ngrok import Ngrok
from qcity_nb.kinds.tunnels.ssh import Ssh
from qcity_nb.testing import ngrok_agent, quick
from qcity_nb.testing.edge import starts
from qcity_nb.testing.localtunnel_server import LocaltunnelServer
from qcity_nb.testing.sshd import Sshd
from qcity_nb.testing.tunnel_contract import TunnelContract

pytestmark = pytest.mark.real
TOKEN = "2aBcD_stand-in-token"


def kill_last(folder):
    os.kill([one["pid"] for one in starts(folder) if len(one["argv"]) > 1][-1], 9)


class TestSsh(TunnelContract):
    """A real OpenSSH server."""

    has_program = False
    bad = ({"no-such-option": "1"}, {"port": "ssh"}, {"remote_port": "70000"}, {"host": "-oProxyCommand=x"})

    def prepare(self):
        self.server = Sshd()
        self.server.__enter__()
        self.mute = socket.create_server(("127.0.0.1", 0))

    def clean_up(self):
        self.mute.close()
        self.server.__exit__(None, None, None)

    def provider(self):
        return Ssh()

    def options(self):
        return self.server.options

    def kill(self):
        self.server.cut()

    def silent(self):
        return {**self.server.options, "port": str(self.mute.getsockname()[1])}

    def missing(self):
        return {}

    def processes(self):
        return []  # those are the server's: one for each connection, and the connection is gone when it is closed


class TestNgrok(TunnelContract):
    """pyngrok drives a stand-in of the agent, which refuses any other token and notes how it was started."""

    bad = (
        {"no-such-option": "1"},
        {"domain": "https://a.ngrok.app"},
        {"domain": "a b"},
        {"region": "Europe"},
        {"download": "maybe"},
        {"sha256": "12"},
        {"token": ""},
    )

    def prepare(self):
        self.agent = ngrok_agent.make(self.root / "agent", token=TOKEN)
        secrets.keep(self.home, "ngrok", TOKEN)

    def clean_up(self):
        for one in starts(self.root / "agent"):
            assert TOKEN not in " ".join(one["argv"])

    def provider(self):
        return Ngrok()

    def options(self):
        return {"path": str(self.agent)}

    def kill(self):
        kill_last(self.root / "agent")

    def silent(self):
        return {"path": str(ngrok_agent.make(self.root / "mute", mute=True))}

    def missing(self):
        return {"path": str(self.root / "nothing")}


class TestCloudflared(TunnelContract):
    bad = ({"no-such-option": "1"}, {"protocol": "h3"}, {"sha256": "g" * 64}, {"path": "a\nb"})

    def prepare(self):
        self.agent = quick.make(self.root / "agent")

    def provider(self):
        return Cloudflared()

    def options(self):
        return {"path": str(self.agent)}

    def kill(self):
        kill_last(self.root / "agent")

    def silent(self):
        return {"path": str(quick.make(self.root / "mute", mute=True))}

    def missing(self):
        return {"path": str(self.root / "nothing")}


class TestLocaltunnel(TunnelContract):
    """Our client and a stand-in of the server."""

    has_program = False
    bad = (
        {"no-such-option": "1"},
        {"host": "localtunnel.me"},
        {"host": "ftp://a"},
        {"host": "https://u:p@a.example"},
        {"host": "https://a.example/x?y"},
        {"subdomain": "No"},
        {"subdomain": "a.b.c.d"},
    )

    def prepare(self):
        self.servers = [LocaltunnelServer(self.root / "server")]
        self.servers[0].start()

    def clean_up(self):
        for server in self.servers:
            server.kill()

    def provider(self):
        return Localtunnel()

    def options(self):
        return {"host": self.servers[0].url}

    def kill(self):
        self.servers[0].kill()

    def silent(self):
        self.servers.append(LocaltunnelServer(self.root / "mute", mute=True))
        self.servers[-1].start()
        return {"host": self.servers[-1].url}
