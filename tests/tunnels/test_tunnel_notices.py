"""The master hears once of another address, and once when there is none; status and its watcher show it beside the runners."""

from __future__ import annotations

import pytest

from qcity_nb.cli import main
from qcity_nb.client import notify

pytestmark = pytest.mark.real


def test_another_address_is_told_once_with_both_and_why(over, sshd, city, hook, monkeypatch, until, capsys):
    address, got = hook
    monkeypatch.setenv("QCITY_WEBHOOK", address)
    notify.set_up(city, "webhook")
    tunnel = over(sshd)
    first = tunnel.url
    sshd.cut()
    tunnel.wait(after=1)
    until(lambda: got, seconds=30)
    assert got[0]["title"] == f"The tunnel app has another address: {tunnel.url}"
    assert first in got[0]["cause"]
    assert main(["status", "--home", str(city.home)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("● 1 tunnel is up.")
    assert f"app: {tunnel.url}" in said
    assert main(["status", "--watch", "--for", "1", "--home", str(city.home)]) == 0
    assert "tunnel app: up by ssh, proved" in capsys.readouterr().out
    until(lambda: city.tunnels.rows()[0].view.proved is not None)
    assert len(got) == 1
