"""The page over a real engine: through a tunnel of a real OpenSSH server, proved by nonce and told live; and the engine's own word on roles."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import time

import httpx
import pytest

import qcity_nb
from qcity_nb import cli
from qcity_nb.client.city import QCity
from qcity_nb.errors import NotFound, Refused
from qcity_nb.model.tunnel import TunnelState
from qcity_nb.store import commands
from qcity_nb.testing.sshd import Sshd, program
from qcity_nb.ui.painter import PAINTER

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def city(tmp_path):
    with qcity_nb.open(tmp_path / "home") as place:
        yield place
        with contextlib.suppress(NotFound):
            place.stop()


def test_the_page_is_proved_and_live_from_outside(city, tmp_path, capsys):
    if not program():
        pytest.skip("sshd is not installed; .ci/run installs it")
    home = ["--home", str(city.home)]
    said = tmp_path / "said"
    with Sshd() as server, said.open("wb") as file:
        options = [text for key, value in server.options.items() for text in ("--option", f"ssh.{key}={value}")]
        command = [sys.executable, "-m", "qcity_nb", "serve", *home, "--port", "0", "--tunnel", "--chain", "ssh", *options]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            deadline = time.monotonic() + 60
            while "proved by nonce" not in said.read_text():
                assert time.monotonic() < deadline, said.read_text()
                assert process.poll() is None, said.read_text()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
            tunnel = city.tunnels["page"]
            assert tunnel.test().proved is not None  # a nonce came back through it, from our own door
            assert cli.main(["serve", "link", *home, "--role", "operator", "--name", "ada"]) == 0
            inside, outside = capsys.readouterr().out.split()
            assert outside.startswith(f"{tunnel.url}/login#")
            assert inside.partition("#")[2] == outside.partition("#")[2]
            with httpx.Client(base_url=tunnel.url, timeout=20) as client:
                answer = client.get(f"/.well-known/qcity/{secrets.token_hex(16)}")
                assert len(bytes.fromhex(answer.text)) == 32
                assert client.post("/login", json={"token": outside.partition("#")[2]}).json() == {"ok": True}
                assert client.get("/healthz").json()["ok"] is True
                with client.stream("GET", "/events") as events:
                    lines = events.iter_lines()
                    while not next(lines).startswith("event: tick"):
                        pass
        finally:
            process.terminate()
            assert process.wait(30) == 0, said.read_text()
        assert "Traceback" not in said.read_text()
    assert city.tunnels["page"].view.state is TunnelState.OFF


def test_the_engine_itself_refuses_what_a_role_may_not(city):
    """Whatever the page would let through."""
    city.runners.start("command", "a", command=["sleep", "1000"])
    for actor, may in (("web:viewer:eve", False), ("web:operator:ada", True)):
        other = QCity(city.link.store, city.link.host, say=print, painter=PAINTER, actor=actor)
        with contextlib.nullcontext() if may else pytest.raises(Refused, match=f"runner.stop needs the role operator, and {actor} is viewer"):
            other.runners["a"].stop()
        with pytest.raises(Refused, match=r"engine\.stop needs the role master"):
            other.stop()
    with city.link.read() as connection:
        told = {(one.actor, one.verb, one.status) for one in commands.latest(connection, city.link.place) if one.actor.startswith("web:")}
    assert told == {
        ("web:viewer:eve", "runner.stop", "refused"), ("web:viewer:eve", "engine.stop", "refused"),
        ("web:operator:ada", "runner.stop", "done"), ("web:operator:ada", "engine.stop", "refused"),
    }  # fmt: skip
