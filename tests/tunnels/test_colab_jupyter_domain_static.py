"""Addresses that somebody else gives: proved in ways of their own, and never started by us."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import subprocess
import sys
import time

import pytest

from qcity_nb.errors import BadInput, TunnelError
from qcity_nb.kinds import load
from qcity_nb.kinds.tunnels.door import Door
from qcity_nb.model.tunnel import Fault, Reach
from qcity_nb.ports import Proving, Target


def proved(name, options, home, tmp_path, *, app_port=1):
    """What one proof of a session of this provider says."""

    async def run():
        door = Door(app_port)
        port = await door.open()
        try:
            provider = load("tunnels", name)
            provider.check(options)
            session = await provider.open(Target(name="app", port=port, folder=tmp_path, home=home, options=options))
            assert isinstance(session, Proving)
            took = await asyncio.to_thread(session.prove, door.answer, 5.0)
            return session, took
        finally:
            await door.close()

    return asyncio.run(run())


def test_colab_gives_what_its_kernel_was_given_and_only_there(home, tmp_path):
    session, _ = proved("colab", {"url": "https://8888-gpu.colab.googleusercontent.example/"}, home, tmp_path)
    assert (session.url, session.reach) == ("https://8888-gpu.colab.googleusercontent.example", Reach.ACCOUNT)
    with pytest.raises(TunnelError, match="only a kernel with a browser"):
        proved("colab", {}, home, tmp_path)


def test_a_domain_that_is_well_that_shows_another_app_and_that_is_gone(home, tmp_path, app):
    url = f"http://127.0.0.1:{app.port}"
    session, _ = proved("domain", {"url": url, "expect": "hello"}, home, tmp_path)
    assert session.url == url
    with pytest.raises(TunnelError, match='does not show "goodbye"') as caught:
        proved("domain", {"url": url, "expect": "goodbye"}, home, tmp_path)
    assert caught.value.fault is Fault.WRONG_APP
    app.stop()
    with pytest.raises(TunnelError, match="connection refused"):
        proved("domain", {"url": url}, home, tmp_path)
    with pytest.raises(TunnelError, match="cannot be resolved") as caught:
        proved("domain", {"url": "https://app.invalid"}, home, tmp_path)
    assert caught.value.fault is Fault.NETWORK
    with pytest.raises(BadInput, match="is no address of a domain"):
        proved("domain", {"url": "app.example.org"}, home, tmp_path)
    app.start()


def test_a_static_page_has_to_be_ours(home, tmp_path, app):
    with pytest.raises(TunnelError, match="no fallback page is named"):
        proved("static", {}, home, tmp_path)
    app.word = "a page of QCity:"
    session, _ = proved("static", {"url": f"http://127.0.0.1:{app.port}/app/"}, home, tmp_path)
    assert session.reach is Reach.READERS


@pytest.mark.real
@pytest.mark.skipif(importlib.util.find_spec("jupyter_server") is None, reason="no Jupyter server is installed")
def test_a_jupyter_server_with_its_proxy_and_one_without(home, tmp_path, app, monkeypatch):
    """A real server that runs here; jupyter-server-proxy may or may not be installed beside it."""
    runtime, token = tmp_path / "runtime", secrets.token_hex(8)
    folders = {"JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_DATA_DIR": str(tmp_path / "data")}
    for key, value in folders.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(TunnelError, match="no Jupyter server of yours runs"):
        proved("jupyter", {}, home, tmp_path)
    command = [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser", "--ip=127.0.0.1", "--port=0"]
    command.append(f"--IdentityProvider.token={token}")
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env={**os.environ, **folders}, stdout=log, stderr=log) as server:
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and not list(runtime.glob("jpserver-*.json")):
                time.sleep(0.05)
            if importlib.util.find_spec("jupyter_server_proxy") is not None:
                session, _ = proved("jupyter", {}, home, tmp_path, app_port=app.port)
                assert session.reach is Reach.ACCOUNT
                assert "/proxy/" in session.url
            else:
                with pytest.raises(TunnelError, match="has no proxy") as caught:
                    proved("jupyter", {}, home, tmp_path, app_port=app.port)
                assert "jupyter-server-proxy" in caught.value.todo
        finally:
            server.terminate()
